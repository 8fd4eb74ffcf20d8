"""The account's key: who may use it, through which service, and that nobody else may."""

from __future__ import annotations

from typing import Any

import pytest

OWN = "arn:aws:kms:us-east-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef"
STORAGE = ("HubStorage", "SiteStorage-hospital-a", "SiteStorage-hospital-b")


def _policy(assembly: Any, stack: str = "SiteStorage-hospital-a") -> dict[str, Any]:
    document = assembly.templates[stack]["Resources"]["Key"]["Properties"]["KeyPolicy"]
    return {statement["Sid"]: statement for statement in document["Statement"]}


@pytest.mark.parametrize("stack", STORAGE)
def test_each_account_has_a_key_that_is_rotated_and_found_by_its_name(example: Any, stack: str) -> None:
    resources = example.templates[stack]["Resources"]
    assert resources["Key"]["Properties"]["EnableKeyRotation"] is True
    assert resources["Key"]["Properties"]["PendingWindowInDays"] == 30
    node = "aggregator" if stack == "HubStorage" else stack.removeprefix("SiteStorage-")
    assert resources["KeyAlias"]["Properties"]["AliasName"] == f"alias/federate/eicu/{node}"
    assert resources["KeyAlias"]["Properties"]["TargetKeyId"] == {"Ref": "Key"}


def test_what_is_kept_is_encrypted_by_that_key(example: Any) -> None:
    resources = example.templates["SiteStorage-hospital-a"]["Resources"]
    key = {"Fn::GetAtt": ["Key", "Arn"]}
    assert resources["StateVolume"]["Properties"]["KmsKeyId"] == key
    assert resources["LogGroup"]["Properties"]["KmsKeyId"] == key
    instance = example.templates["SiteNode-hospital-a"]["Resources"]["Instance"]["Properties"]
    (root,) = instance["BlockDeviceMappings"]
    assert "SiteStorage-hospital-a:ExportsOutputFnGetAttKeyArn" in root["Ebs"]["KmsKeyId"]["Fn::ImportValue"]


def test_nobody_of_another_account_is_in_a_keys_policy(example: Any) -> None:
    for statement in _policy(example).values():
        principal = statement["Principal"]
        assert principal in (
            {"AWS": "arn:aws:iam::111111111111:root"},
            {"Service": "logs.us-east-1.amazonaws.com"},
            {"Service": "cloudwatch.amazonaws.com"},
        )


def test_data_is_encrypted_and_decrypted_only_where_a_service_asks_for_it(example: Any) -> None:
    using = {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext"}
    for sid, statement in _policy(example).items():
        if using & set(statement["Action"]) and "AWS" in statement["Principal"]:
            services = statement["Condition"]["StringEquals"]["kms:ViaService"]
            assert all(service.endswith(".us-east-1.amazonaws.com") for service in services), sid
    assert not using & set(_policy(example)["AdministeredByTheAccount"]["Action"])


def test_the_account_can_always_change_its_keys_policy(example: Any) -> None:
    """KMS refuses a key whose policy would lock everybody out; so do we."""
    administered = _policy(example)["AdministeredByTheAccount"]
    assert "kms:PutKeyPolicy" in administered["Action"]
    assert "Condition" not in administered


def test_the_logs_service_uses_the_key_for_the_nodes_log_groups_alone(example: Any) -> None:
    own = "arn:aws:logs:us-east-1:111111111111:log-group:/federate/eicu/hospital-a"
    assert _policy(example)["LogsOfThisNode"]["Condition"] == {
        "ArnLike": {"kms:EncryptionContext:aws:logs:arn": [own, f"{own}/*"]}
    }


def test_grants_are_for_aws_resources_only(data: Any, synth: Any) -> None:
    data["participants"][0]["spot"] = True
    granting = [s for s in _policy(synth(data)).values() if "kms:CreateGrant" in s["Action"]]
    assert len(granting) == 2
    for statement in granting:
        assert statement["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}


def test_spot_capacity_adds_the_service_linked_role_of_the_same_account(data: Any, synth: Any, example: Any) -> None:
    assert "SpotVolumes" not in _policy(example)
    data["participants"][0]["spot"] = True
    condition = _policy(synth(data))["SpotVolumes"]["Condition"]
    assert condition["StringEquals"] == {"kms:CallerAccount": "111111111111"}
    role = condition["ArnEquals"]["aws:PrincipalArn"]
    assert role == "arn:aws:iam::111111111111:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"


def test_the_nodes_role_uses_that_key_through_two_services_and_no_other_key(example: Any) -> None:
    role = example.templates["SiteNode-hospital-a"]["Resources"]["Role"]["Properties"]
    (statement,) = next(p["PolicyDocument"]["Statement"] for p in role["Policies"] if p["PolicyName"] == "kms")
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    (resource,) = statement["Resource"]
    assert "SiteStorage-hospital-a:ExportsOutputFnGetAttKeyArn" in resource["Fn::ImportValue"]
    services = ["s3.us-east-1.amazonaws.com", "secretsmanager.us-east-1.amazonaws.com"]
    assert statement["Condition"] == {"StringEquals": {"kms:ViaService": services}}


@pytest.mark.parametrize(("choice", "policy"), [("retain", "RetainExceptOnCreate"), ("delete", "Delete")])
def test_the_key_stays_with_what_it_encrypts_and_its_name_goes(data: Any, synth: Any, choice: str, policy: str) -> None:
    data["participants"][0]["on_destroy"] = choice
    resources = synth(data).templates["SiteStorage-hospital-a"]["Resources"]
    assert resources["Key"]["DeletionPolicy"] == resources["StateVolume"]["DeletionPolicy"] == policy
    assert resources["KeyAlias"]["DeletionPolicy"] == "Delete"


def test_a_key_that_is_there_already_is_used_and_none_is_made(data: Any, synth: Any) -> None:
    data["participants"][0]["kms_key"] = OWN
    templates = synth(data).templates
    resources = templates["SiteStorage-hospital-a"]["Resources"]
    assert not [name for name, resource in resources.items() if resource["Type"].startswith("AWS::KMS::")]
    assert resources["StateVolume"]["Properties"]["KmsKeyId"] == OWN
    role = templates["SiteNode-hospital-a"]["Resources"]["Role"]["Properties"]
    (statement,) = next(p["PolicyDocument"]["Statement"] for p in role["Policies"] if p["PolicyName"] == "kms")
    assert statement["Resource"] == [OWN]
