"""Images, processors and keys."""

from __future__ import annotations

from typing import Any

import pytest
from small_visit import IMAGE, stack
from stubbed_aws import StubbedAccounts

from infra.errors import Severity
from infra.preflight.machine import architecture, default_key, image, named_key, shared

KEY = "arn:aws:kms:us-east-1:333333333333:key/01234567-89ab-cdef-0123-456789abcdef"
OWN_KEY = KEY.replace("333333333333", "111111111111")


def shown(aws: StubbedAccounts, *, owner: str = "333333333333", encrypted: bool = False, **more: Any) -> None:
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": encrypted, "SnapshotId": "snap-1"}}
    told = {"ImageId": IMAGE, "State": "available", "OwnerId": owner, "BlockDeviceMappings": [disk], **more}
    aws.answers("ec2.describe_images", {"Images": [told]}, {"ImageIds": [IMAGE]})


def test_an_unencrypted_image_of_the_hubs_account_is_in_order(aws: StubbedAccounts, visit: Any) -> None:
    shown(aws)
    assert list(image(visit())) == []


@pytest.mark.parametrize("code", ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"])
def test_an_image_that_the_account_does_not_see_is_an_error_with_its_owners_command(
    aws: StubbedAccounts, visit: Any, code: str
) -> None:
    aws.refuses("ec2.describe_images", code)
    (problem,) = image(visit())
    assert "does not see the image" in problem.found
    assert "federate image share" in problem.remedy
    assert "Add=[{UserId=111111111111}]" in problem.remedy


@pytest.mark.parametrize(("there", "errors"), [([], 1), ([{"StackName": "fed-SiteNode-hospital-a"}], 0)])
def test_a_node_that_is_to_be_made_needs_an_image(
    aws: StubbedAccounts, visit: Any, there: list[dict[str, str]], errors: int
) -> None:
    told = [{**one, "StackStatus": "CREATE_COMPLETE", "CreationTime": "2026-11-26T00:00:00Z"} for one in there]
    aws.answers("cloudformation.list_stacks", {"StackSummaries": told})
    planned = (stack("SiteNode-hospital-a"), stack("SiteStorage-hospital-a"))
    problems = list(image(visit(images={}, stacks=planned)))
    assert [problem.found for problem in problems] == ["no machine image is pinned for hospital-a."] * errors


def test_an_image_that_is_still_made_is_an_error(aws: StubbedAccounts, visit: Any) -> None:
    shown(aws, State="pending")
    (problem,) = image(visit())
    assert "is pending" in problem.found


def test_an_encrypted_image_whose_key_is_shared_is_in_order(aws: StubbedAccounts, visit: Any) -> None:
    shown(aws, encrypted=True)
    aws.answers("ec2.describe_snapshots", {"Snapshots": [{"KmsKeyId": KEY}]}, {"SnapshotIds": ["snap-1"]})
    aws.answers("kms.describe_key", {"KeyMetadata": {"KeyId": KEY}}, {"KeyId": KEY})
    assert list(image(visit())) == []


def test_an_encrypted_image_whose_key_is_not_shared_is_an_error(aws: StubbedAccounts, visit: Any) -> None:
    shown(aws, encrypted=True)
    aws.answers("ec2.describe_snapshots", {"Snapshots": [{"KmsKeyId": KEY}]})
    said = "is not authorized to perform kms:DescribeKey because no resource-based policy allows it"
    aws.refuses("kms.describe_key", "AccessDeniedException", said)
    (problem,) = image(visit())
    assert problem.severity is Severity.ERROR
    assert "its key is not shared" in problem.found


def test_an_encrypted_image_whose_key_the_profile_may_not_look_at_is_a_warning(
    aws: StubbedAccounts, visit: Any
) -> None:
    shown(aws, encrypted=True)
    aws.answers("ec2.describe_snapshots", {"Snapshots": [{"KmsKeyId": KEY}]})
    aws.refuses("kms.describe_key", "AccessDeniedException", "no identity-based policy allows the action")
    (problem,) = image(visit())
    assert problem.severity is Severity.WARNING
    assert "kms:DescribeKey" in problem.allowed


def test_an_image_of_a_stranger_is_told(aws: StubbedAccounts, visit: Any) -> None:
    shown(aws, owner="999999999999")
    (problem,) = image(visit())
    assert problem.severity is Severity.NOTICE


@pytest.mark.parametrize(("arch", "errors"), [("x86_64", 0), ("arm64", 1)])
def test_image_and_instance_type_must_be_for_the_same_processors(
    aws: StubbedAccounts, visit: Any, arch: str, errors: int
) -> None:
    type_ = {"InstanceType": "g4dn.xlarge", "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]}}
    aws.answers("ec2.describe_instance_types", {"InstanceTypes": [type_]})
    shown(aws, Architecture=arch)
    assert [problem.severity for problem in architecture(visit())] == [Severity.ERROR] * errors


def keys(aws: StubbedAccounts, *, by_default: bool, key: str) -> None:
    aws.answers("ec2.get_ebs_encryption_by_default", {"EbsEncryptionByDefault": by_default})
    aws.answers("ec2.get_ebs_default_kms_key_id", {"KmsKeyId": key})


@pytest.mark.parametrize(
    ("by_default", "state", "severities"),
    [(False, "Enabled", []), (True, "Disabled", [Severity.ERROR]), (False, "PendingDeletion", [Severity.WARNING])],
)
def test_the_default_key_for_volumes_must_be_enabled(
    aws: StubbedAccounts, visit: Any, by_default: bool, state: str, severities: list[Severity]
) -> None:
    keys(aws, by_default=by_default, key=OWN_KEY)
    aws.answers("kms.describe_key", {"KeyMetadata": {"KeyId": OWN_KEY, "KeyState": state, "KeyManager": "CUSTOMER"}})
    assert [problem.severity for problem in default_key(visit())] == severities


def test_a_hub_that_encrypts_by_default_is_told_that_it_cannot_share_images(aws: StubbedAccounts, visit: Any) -> None:
    keys(aws, by_default=True, key="alias/aws/ebs")
    (problem,) = default_key(visit(to_hub=True))
    assert problem.severity is Severity.NOTICE


@pytest.mark.parametrize(
    ("state", "spec", "errors"),
    [("Enabled", "SYMMETRIC_DEFAULT", 0), ("PendingDeletion", "SYMMETRIC_DEFAULT", 1), ("Enabled", "RSA_2048", 1)],
)
def test_a_key_that_is_named_must_be_enabled_and_symmetric(
    aws: StubbedAccounts, visit: Any, state: str, spec: str, errors: int
) -> None:
    told = {"KeyId": OWN_KEY, "KeyState": state, "KeySpec": spec}
    aws.answers("kms.describe_key", {"KeyMetadata": told}, {"KeyId": OWN_KEY})
    assert [problem.severity for problem in named_key(visit(site={"kms_key": OWN_KEY}))] == [Severity.ERROR] * errors


@pytest.mark.parametrize(
    ("state", "spec", "remedy"),
    [
        ("Disabled", "SYMMETRIC_DEFAULT", "aws kms enable-key --key-id"),
        ("PendingDeletion", "SYMMETRIC_DEFAULT", "aws kms cancel-key-deletion --key-id"),
        ("Enabled", "RSA_2048", "Name another."),
    ],
)
def test_a_key_that_cannot_be_used_is_told_with_what_brings_it_back(
    aws: StubbedAccounts, visit: Any, state: str, spec: str, remedy: str
) -> None:
    aws.answers("kms.describe_key", {"KeyMetadata": {"KeyId": OWN_KEY, "KeyState": state, "KeySpec": spec}})
    (problem,) = named_key(visit(site={"kms_key": OWN_KEY}))
    assert problem.remedy.startswith(remedy)


def test_a_key_that_is_named_must_be_there(aws: StubbedAccounts, visit: Any) -> None:
    aws.refuses("kms.describe_key", "NotFoundException")
    (problem,) = named_key(visit(site={"kms_key": OWN_KEY}))
    assert f"there is no key {OWN_KEY}" in problem.found


@pytest.mark.parametrize(("may", "warnings"), [([], 1), ([{"UserId": "111111111111"}], 0), ([{"Group": "all"}], 0)])
def test_a_site_that_may_not_launch_the_hubs_image_is_a_warning_with_the_command(
    aws: StubbedAccounts, visit: Any, may: list[dict[str, str]], warnings: int
) -> None:
    shown(aws)
    asked = {"ImageId": IMAGE, "Attribute": "launchPermission"}
    aws.answers("ec2.describe_image_attribute", {"ImageId": IMAGE, "LaunchPermissions": may}, asked)
    problems = list(shared(visit(to_hub=True, site={"operated_by": "site"})))
    assert [problem.severity for problem in problems] == [Severity.WARNING] * warnings
    for problem in problems:
        assert "account 111111111111 (hospital-a) may not launch" in problem.found
        assert "federate image share" in problem.remedy


def test_who_may_launch_another_accounts_image_is_not_asked(aws: StubbedAccounts, visit: Any) -> None:
    shown(aws, owner="999999999999")
    assert list(shared(visit(to_hub=True))) == []
