"""The storage stack's own template on loopback AWS: who gets what out of the bucket, and what stays when it goes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from infra.federation.model import Federation
from infra.local.aws.clients import InProcessClients
from infra.local.aws.server import LoopbackAws

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[3] / "federation.yaml"
#: Of this module alone: what moto keeps belongs to the process.
SITE, HUB, REGION = "880000000001", "880000000003", "us-east-1"
STACK = "eicu-SiteStorage-hospital-a"
TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


@dataclass(frozen=True)
class Deployed:
    """The hospital's account, with its storage stack and its node's role."""

    clients: InProcessClients
    template: str

    def client(self, service: str, account: str = SITE) -> Any:
        return self.clients.client(service, account, REGION)

    @property
    def outputs(self) -> dict[str, str]:
        (stack,) = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    @property
    def bucket(self) -> str:
        return self.outputs["BucketName"]

    def as_role(self, name: str) -> Any:
        """Return an S3 client of a role of the hospital's account."""
        keys = self.client("sts").assume_role(RoleArn=f"arn:aws:iam::{SITE}:role/{name}", RoleSessionName="i-0")
        return self.clients.holding(keys["Credentials"], "s3", REGION)


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> str:

    from stacks.nodejs import use_pinned_node

    os.environ["CDK_VALIDATION"] = "false"
    use_pinned_node()
    from stacks.app import synthesize

    data = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    data["aggregator"]["account"], data["participants"][0]["account"] = HUB, SITE
    folder = synthesize(Federation.model_validate(data), outdir=tmp_path_factory.mktemp("cdk.out"))
    return (folder / "SiteStorage-hospital-a.template.json").read_text("utf-8")


@pytest.fixture(scope="module")
def deployed(synthesized: str) -> Deployed:
    made = Deployed(InProcessClients(LoopbackAws([HUB, SITE])), synthesized)
    for role in ("federate-eicu-hospital-a", "somebody-with-all-of-s3"):
        made.client("iam").create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))
    made.client("cloudformation").create_stack(StackName=STACK, TemplateBody=synthesized)
    (stack,) = made.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    for key in ("data/patient.csv", "results/run-1/report.json", "run/manifest.json"):
        made.client("s3").put_object(Bucket=made.bucket, Key=key, Body=key.encode(), Tagging="sha256=0")
    return made


def refused(act: Callable[[], Any]) -> bool:
    """Say whether S3 refuses; any other failure is one of the test's."""
    try:
        act()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.FORBIDDEN:
            raise
        return True
    return False


def test_the_node_reads_its_data(deployed: Deployed) -> None:
    node = deployed.as_role("federate-eicu-hospital-a")
    assert node.get_object(Bucket=deployed.bucket, Key="data/patient.csv")["Body"].read() == b"data/patient.csv"


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_nobody_else_of_the_account_reads_its_data_the_administrator_included(
    deployed: Deployed, operation: str
) -> None:
    for s3 in (deployed.client("s3"), deployed.as_role("somebody-with-all-of-s3")):
        assert refused(lambda s3=s3: getattr(s3, operation)(Bucket=deployed.bucket, Key="data/patient.csv"))


def test_an_old_version_of_data_is_data(deployed: Deployed) -> None:
    s3 = deployed.client("s3")
    (version, *_) = s3.list_object_versions(Bucket=deployed.bucket, Prefix="data/")["Versions"]
    where = {"Bucket": deployed.bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
    assert refused(lambda: s3.get_object(**where))


def test_the_operator_puts_data_compares_it_by_its_tag_deletes_it_and_reads_results(deployed: Deployed) -> None:
    s3, where = deployed.client("s3"), {"Bucket": deployed.bucket, "Key": "data/new.csv"}
    s3.put_object(**where, Body=b"row", Tagging="sha256=1")
    assert s3.get_object_tagging(**where)["TagSet"] == [{"Key": "sha256", "Value": "1"}]
    s3.delete_object(**where)
    assert s3.get_object(Bucket=deployed.bucket, Key="results/run-1/report.json")["Body"].read()


def test_the_hubs_account_gets_nothing(deployed: Deployed) -> None:
    s3 = deployed.client("s3", HUB)
    for key in ("data/patient.csv", "results/run-1/report.json", "run/manifest.json"):
        assert refused(lambda key=key: s3.get_object(Bucket=deployed.bucket, Key=key))
        assert refused(lambda key=key: s3.put_object(Bucket=deployed.bucket, Key=key, Body=b"planted"))


@pytest.mark.parametrize(
    "asked",
    [
        {"ServerSideEncryption": "AES256"},
        {"ServerSideEncryption": "aws:kms"},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": f"arn:aws:kms:{REGION}:{SITE}:key/another"},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32},
    ],
)
def test_a_put_under_another_key_is_refused(deployed: Deployed, asked: dict[str, str]) -> None:
    s3 = deployed.client("s3")
    assert refused(lambda: s3.put_object(Bucket=deployed.bucket, Key="data/x", Body=b"row", **asked))


def test_a_put_under_the_accounts_key_is_accepted(deployed: Deployed) -> None:
    own = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": deployed.outputs["KeyArn"]}
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key="results/x", Body=b"kept", **own)


def test_nobody_writes_into_the_access_log(deployed: Deployed) -> None:
    told = deployed.client("s3").get_bucket_logging(Bucket=deployed.bucket)["LoggingEnabled"]
    assert told["TargetPrefix"] == "hospital-a/"
    s3 = deployed.client("s3")
    assert refused(lambda: s3.put_object(Bucket=told["TargetBucket"], Key="hospital-a/forged", Body=b"x"))


def test_the_log_group_may_use_the_key_and_another_may_not(deployed: Deployed) -> None:
    logs, key = deployed.client("logs"), deployed.outputs["KeyArn"]
    groups = logs.describe_log_groups(logGroupNamePrefix="/federate/eicu/hospital-a")["logGroups"]
    assert {group["logGroupName"]: group["kmsKeyId"] for group in groups} == {
        "/federate/eicu/hospital-a": key,
        "/federate/eicu/hospital-a/network": key,
    }
    with pytest.raises(ClientError, match="not allowed to be used"):
        logs.create_log_group(logGroupName="/federate/eicu/hospital-b", kmsKeyId=key)


def test_negative_control_without_the_policy_the_administrator_reads_data(deployed: Deployed) -> None:
    s3 = deployed.client("s3")
    policy = s3.get_bucket_policy(Bucket=deployed.bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=deployed.bucket)
    try:
        assert not refused(lambda: s3.get_object(Bucket=deployed.bucket, Key="data/patient.csv"))
    finally:
        s3.put_bucket_policy(Bucket=deployed.bucket, Policy=policy)
    assert refused(lambda: s3.get_object(Bucket=deployed.bucket, Key="data/patient.csv"))


def test_all_of_it_is_changed_in_place_and_stays_when_the_stack_goes(deployed: Deployed) -> None:
    cloudformation = deployed.client("cloudformation")
    changed = json.loads(deployed.template)
    resources = changed["Resources"]
    resources["Key"]["Properties"]["Description"] = "changed"
    resources["LogGroup"]["Properties"]["RetentionInDays"] = 731
    resources["StateVolume"]["Properties"]["Size"] = 40
    for name in ("Bucket", "AccessLog"):
        rule = resources[name]["Properties"]["LifecycleConfiguration"]["Rules"][0]
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": 30}
    for name in ("BucketPolicy", "AccessLogPolicy"):
        resources[name]["Properties"]["PolicyDocument"]["Statement"][0]["Sid"] = "Changed"
    before = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in _resources(deployed)}
    cloudformation.update_stack(StackName=STACK, TemplateBody=json.dumps(changed))
    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    assert {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in _resources(deployed)} == before
    bucket, key = deployed.bucket, deployed.outputs["KeyArn"]

    cloudformation.delete_stack(StackName=STACK)
    (stack,) = cloudformation.describe_stacks(StackName=stack["StackId"])["Stacks"]
    assert stack["StackStatus"] == "DELETE_COMPLETE"
    assert deployed.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    assert refused(lambda: deployed.client("s3").get_object(Bucket=bucket, Key="data/patient.csv"))
    volumes = deployed.client("ec2").describe_volumes(VolumeIds=[before["StateVolume"]])["Volumes"]
    assert [(volume["Size"], volume["KmsKeyId"]) for volume in volumes] == [(40, key)]


def _resources(deployed: Deployed) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deployed.client("cloudformation").list_stack_resources(StackName=STACK)[
        "StackResourceSummaries"
    ]
    return found


def test_a_first_deployment_that_fails_leaves_nothing_of_its_own(deployed: Deployed) -> None:
    """Its log group's name is taken, so it fails; what it had made by then is not retained."""

    def kept() -> tuple[set[str], int]:
        kms = deployed.client("kms")
        states = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] for key in kms.list_keys()["Keys"]]
        buckets = deployed.client("s3").list_buckets()["Buckets"]
        return {bucket["Name"] for bucket in buckets}, states.count("Enabled")

    before, cloudformation = kept(), deployed.client("cloudformation")
    cloudformation.create_stack(StackName="eicu-SiteStorage-again", TemplateBody=deployed.template)
    (stack,) = cloudformation.describe_stacks(StackName="eicu-SiteStorage-again")["Stacks"]
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert kept() == before
