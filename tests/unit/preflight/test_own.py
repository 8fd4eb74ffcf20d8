"""A bucket and a key of the account's own, as their owner keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from stubbed_aws import StubbedAccounts

from infra.errors import Severity
from infra.preflight import own
from infra.preflight.run import _ask
from stacks.resource_policies import own_bucket_statements, own_key_statements

KEY = "arn:aws:kms:us-east-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef"
OTHER = KEY.replace("01234567", "76543210")
ASKED = {"Bucket": "their-data", "ExpectedBucketOwner": "111111111111"}
BLOCK = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)


@pytest.fixture
def place(visit: Any) -> Any:
    """The site's account, with a bucket and a key of its own."""
    return visit(site={"bucket": "their-data", "bucket_prefix": "research/", "kms_key": KEY})


def has_policy(aws: StubbedAccounts, statements: Sequence[Any]) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    aws.answers("s3.get_bucket_policy", {"Policy": document}, ASKED)


def test_a_bucket_whose_policy_has_the_statements_beside_its_own_is_in_order(aws: StubbedAccounts, place: Any) -> None:
    its_own = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:*", "Resource": "*"}
    has_policy(aws, [its_own, *own_bucket_statements(place.nodes[0])])
    assert list(own.bucket_policy(place)) == []


def test_the_statement_that_a_buckets_policy_lacks_is_named_with_the_command_that_prints_it(
    aws: StubbedAccounts, place: Any
) -> None:
    has_policy(aws, [one for one in own_bucket_statements(place.nodes[0]) if one["Sid"] != "DataIsReadByTheNodeAlone"])
    (problem,) = own.bucket_policy(place)
    assert problem.severity is Severity.WARNING
    assert "does not refuse what it is to: DataIsReadByTheNodeAlone. Whoever may read" in problem.found
    assert "federate permissions hospital-a --for bucket" in problem.remedy


def test_a_bucket_without_a_policy_lacks_all_of_it(aws: StubbedAccounts, place: Any) -> None:
    aws.refuses("s3.get_bucket_policy", "NoSuchBucketPolicy")
    (problem,) = own.bucket_policy(place)
    assert all(one["Sid"] in problem.found for one in own_bucket_statements(place.nodes[0]))


@pytest.mark.parametrize(("status", "warnings"), [("Enabled", 0), ("Suspended", 1), (None, 1)])
def test_a_bucket_keeps_old_versions(aws: StubbedAccounts, place: Any, status: str | None, warnings: int) -> None:
    aws.answers("s3.get_bucket_versioning", {"Status": status} if status else {}, ASKED)
    found = list(own.bucket_versions(place))
    assert [problem.severity for problem in found] == [Severity.WARNING] * warnings
    assert all("put-bucket-versioning --bucket their-data" in problem.remedy for problem in found)


@pytest.mark.parametrize(
    ("block", "named"),
    [(BLOCK, ""), (BLOCK | {"BlockPublicPolicy": False}, "BlockPublicPolicy"), ({}, "BlockPublicAcls")],
)
def test_a_bucket_blocks_public_access(aws: StubbedAccounts, place: Any, block: dict[str, bool], named: str) -> None:
    aws.answers("s3.get_public_access_block", {"PublicAccessBlockConfiguration": block}, ASKED)
    found = list(own.public_access(place))
    assert [problem.severity for problem in found] == [Severity.WARNING] * bool(named)
    assert all(named in problem.found for problem in found)


def test_a_bucket_for_which_no_block_was_ever_set_is_told_of_all_four(aws: StubbedAccounts, place: Any) -> None:
    aws.refuses("s3.get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
    (problem,) = own.public_access(place)
    assert all(name in problem.found for name in BLOCK)


def encrypts(aws: StubbedAccounts, algorithm: str, key: str = "") -> None:
    rule = {"SSEAlgorithm": algorithm} | ({"KMSMasterKeyID": key} if key else {})
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]}
    aws.answers("s3.get_bucket_encryption", {"ServerSideEncryptionConfiguration": rules}, ASKED)


@pytest.mark.parametrize(
    ("algorithm", "key", "named", "severities"),
    [
        ("aws:kms", KEY, KEY, []),
        ("aws:kms", KEY.rpartition("/")[2], KEY, []),
        ("aws:kms:dsse", KEY, KEY, []),
        ("aws:kms", OTHER, KEY, [Severity.ERROR]),
        ("aws:kms", OTHER, None, [Severity.ERROR]),
        ("aws:kms", "", KEY, [Severity.WARNING]),
        ("aws:kms", "alias/aws/s3", KEY, [Severity.WARNING]),
        ("AES256", "", KEY, [Severity.WARNING]),
        ("AES256", "", None, []),
        ("aws:kms", "", None, []),
    ],
)
def test_a_bucket_encrypts_by_the_key_that_its_block_names(
    aws: StubbedAccounts, visit: Any, algorithm: str, key: str, named: str | None, severities: list[Severity]
) -> None:
    encrypts(aws, algorithm, key)
    found = own.encryption(visit(site={"bucket": "their-data", "kms_key": named}))
    assert [problem.severity for problem in found] == severities


@pytest.mark.parametrize(("behind", "errors"), [(KEY, 0), (OTHER, 1)])
def test_an_alias_is_looked_up(aws: StubbedAccounts, place: Any, behind: str, errors: int) -> None:
    encrypts(aws, "aws:kms", "alias/research")
    aws.answers("kms.describe_key", {"KeyMetadata": {"KeyId": "1", "Arn": behind}}, {"KeyId": "alias/research"})
    assert [problem.severity for problem in own.encryption(place)] == [Severity.ERROR] * errors


def test_a_bucket_that_was_never_set_to_encrypt_is_told_of_the_key(aws: StubbedAccounts, place: Any) -> None:
    aws.refuses("s3.get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
    (problem,) = own.encryption(place)
    assert KEY in problem.allowed
    assert "put-bucket-encryption" in problem.remedy


@pytest.mark.parametrize(
    ("check", "call"),
    [
        (own.bucket_policy, "get_bucket_policy"),
        (own.bucket_versions, "get_bucket_versioning"),
        (own.public_access, "get_public_access_block"),
        (own.encryption, "get_bucket_encryption"),
    ],
)
def test_a_bucket_that_is_not_there_is_another_checks_matter(
    aws: StubbedAccounts, place: Any, check: Any, call: str
) -> None:
    aws.refuses(f"s3.{call}", "NoSuchBucket")
    assert list(check(place)) == []


@pytest.mark.parametrize(
    "id_", ["bucket-policy", "bucket-versions", "bucket-public", "bucket-encryption", "key-policy"]
)
def test_what_may_not_be_asked_is_a_warning_that_names_the_permission(
    aws: StubbedAccounts, place: Any, id_: str
) -> None:
    calls = {
        "bucket-policy": "s3.get_bucket_policy",
        "bucket-versions": "s3.get_bucket_versioning",
        "bucket-public": "s3.get_public_access_block",
        "bucket-encryption": "s3.get_bucket_encryption",
        "key-policy": "kms.get_key_policy",
    }
    aws.refuses(calls[id_], "AccessDenied")
    (check,) = [one for one in own.CHECKS if one.id == id_]
    (problem,) = _ask(check, place).problems
    assert problem.severity is Severity.WARNING
    assert problem.found.startswith("not checked: ")
    assert check.permissions[0] in problem.allowed


def key_has(aws: StubbedAccounts, statements: Sequence[Any]) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    aws.answers("kms.get_key_policy", {"Policy": document}, {"KeyId": KEY, "PolicyName": "default"})


def test_a_key_whose_policy_has_the_statements_is_in_order(aws: StubbedAccounts, place: Any) -> None:
    key_has(aws, own_key_statements(place.nodes[0]))
    assert list(own.key_policy(place)) == []


#: What KMS gives a key that is made without a policy of one's own.
DEFAULT = {
    "Sid": "Enable IAM User Permissions",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
    "Action": "kms:*",
    "Resource": "*",
}


def test_a_key_whose_policy_does_not_name_cloudwatch_logs_is_an_error(aws: StubbedAccounts, place: Any) -> None:
    key_has(aws, [DEFAULT])
    (problem,) = own.key_policy(place)
    assert problem.severity is Severity.ERROR
    assert "needs: LogsOfThisNode, AlarmsOfThisNode. It names CloudWatch Logs nowhere" in problem.found
    assert "federate permissions hospital-a --for key" in problem.remedy


def test_a_key_whose_policy_may_say_it_in_other_words_is_a_warning(aws: StubbedAccounts, place: Any) -> None:
    logs, alarms = own_key_statements(place.nodes[0])[-2:]
    somehow = {"Condition": {"StringEquals": {"kms:EncryptionContext:aws:logs:arn": "x"}}}
    key_has(aws, [DEFAULT, logs | somehow, alarms])
    (problem,) = own.key_policy(place)
    assert problem.severity is Severity.WARNING
    assert "needs: LogsOfThisNode." in problem.found
    assert "in other words" in problem.allowed


def test_a_key_that_is_not_there_is_another_checks_matter(aws: StubbedAccounts, place: Any) -> None:
    aws.refuses("kms.get_key_policy", "NotFoundException")
    assert list(own.key_policy(place)) == []
