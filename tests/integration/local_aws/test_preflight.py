"""The checks of a preflight against the emulated AWS: in order as it is, and each thing that a test breaks is found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from emulated_accounts import EmulatedAccounts
from small_visit import federation
from werkzeug.test import Client

from infra.federation.derive import nodes
from infra.preflight import Answer, Desk, own, run, visits
from stacks.permissions import policy
from stacks.resource_policies import own_bucket_statements, own_key_statements

GPUS = "L-DB2E81BA"


@pytest.fixture
def ask(new_account: Any, clients: Any) -> Any:
    """Make all checks of both accounts; return what is not in order, by place and check."""
    hub, site = new_account(), new_account()

    def checks(**changes: Any) -> dict[tuple[str, str], Answer]:
        changes["images"] = {"us-east-1": changes.pop("image", "ami-0fed0000000000001")}
        changes["hub"] = {"account": hub.id, **changes.get("hub", {})}
        changes["site"] = {"account": site.id, **changes.get("site", {})}
        fed = federation(**changes)
        accounts = EmulatedAccounts(clients, {"aggregator": hub.id, "hospital-a": site.id})
        answers = run(visits(fed, nodes(fed), accounts), Desk(fed, None), local_checks=())
        assert len(answers) > 30
        # in this process there is no server that would tell the time
        return {(one.place, one.check): one for one in answers if one.state != "ok" and one.check != "clock"}

    checks.hub, checks.site = hub, site  # type: ignore[attr-defined]
    return checks


def test_a_new_account_of_the_emulator_is_cleared(ask: Any) -> None:
    found = ask()
    roles = {(place, "service-roles"): "notice" for place in ("aggregator", "hospital-a")}
    assert {key: answer.state for key, answer in found.items()} == roles


def test_a_quota_that_was_lowered_is_found_in_that_account_alone(ask: Any, emulator: Any) -> None:
    body = {"account": ask.site.id, "region": "us-east-1", "service": "ec2", "code": GPUS, "value": 3}
    answer = Client(emulator).post("/_federate/quotas", data=json.dumps(body), content_type="application/json")
    assert answer.status_code == 200
    found = ask()
    assert found["hospital-a", "vcpu-quota"].state == "error"
    assert ("aggregator", "vcpu-quota") not in found


def test_a_quota_that_is_not_known_cannot_be_set(ask: Any, emulator: Any) -> None:
    body = {"account": ask.site.id, "region": "us-east-1", "service": "ec2", "code": "L-0", "value": 3}
    answer = Client(emulator).post("/_federate/quotas", data=json.dumps(body), content_type="application/json")
    assert answer.status_code == 400


def test_a_vpc_that_is_in_the_way_an_image_and_a_type_that_are_not_there_are_found(ask: Any) -> None:
    ask.site.client("ec2").create_vpc(CidrBlock="10.10.0.0/17")
    found = ask(image="ami-0fed0000000000099", site={"instance_type": "p4de.24xlarge", "availability_zone": "a"})
    assert found["hospital-a", "cidr"].state == "warning"
    assert found["hospital-a", "image"].state == found["aggregator", "image"].state == "error"


def test_a_zone_that_the_account_does_not_have_is_found(ask: Any) -> None:
    found = ask(site={"availability_zone": "x"})
    assert found["hospital-a", "zone"].state == found["hospital-a", "instance-type"].state == "error"


def test_a_key_that_is_disabled_is_found(ask: Any) -> None:
    kms = ask.site.client("kms")
    made = kms.create_key()["KeyMetadata"]
    key = made["Arn"]
    assert ("hospital-a", "key") not in ask(site={"kms_key": key})
    kms.disable_key(KeyId=made["KeyId"])
    assert ask(site={"kms_key": key})["hospital-a", "key"].state == "error"


def test_another_accounts_profile_is_found_and_nothing_else_is_asked_with_it(ask: Any) -> None:
    found = ask(site={"account": "999999999999"})
    assert found["hospital-a", "credentials"].state == "error"
    assert found["hospital-a", "vcpu-quota"].state == "not asked"


def test_an_existing_bucket_and_key_are_in_order_once_they_are_kept_as_is_printed_for_them(
    new_account: Any, clients: Any
) -> None:
    account = new_account()
    kms, s3 = account.client("kms"), account.client("s3")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    name = f"data-of-{account.id}"
    s3.create_bucket(Bucket=name)
    site = {"account": account.id, "bucket": name, "bucket_prefix": "research/", "kms_key": key}
    fed = federation(site=site)
    node = nodes(fed)[1]

    def states() -> list[str]:
        places = visits(fed, [node], EmulatedAccounts(clients, {"hospital-a": account.id}))
        return [one.state for one in run(places, Desk(fed, None), checks=own.CHECKS, local_checks=())][1:]

    assert states() == ["warning", "warning", "warning", "warning", "error"]
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy(*own_bucket_statements(node))))
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True))
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    document = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    document["Statement"] += own_key_statements(node)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(document))
    assert states() == ["ok"] * len(own.CHECKS)
