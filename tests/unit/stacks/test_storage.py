"""What outlives a node, what outlives the federation, and what a bucket refuses."""

from __future__ import annotations

from typing import Any

import pytest

from infra.federation.derive import nodes
from infra.federation.model import Federation
from stacks.resource_policies import bucket_statements

STORAGE = ("HubStorage", "SiteStorage-hospital-a", "SiteStorage-hospital-b")
KEY = {"Fn::GetAtt": ["Key", "Arn"]}
BUCKET = {"Fn::GetAtt": ["Bucket", "Arn"]}
KEEPS = ("Key", "AccessLog", "AccessLogPolicy", "Bucket", "BucketPolicy", "StateVolume", "LogGroup", "FlowLogGroup")


def _statements(assembly: Any, name: str, stack: str = "SiteStorage-hospital-a") -> dict[str, Any]:
    document = assembly.templates[stack]["Resources"][name]["Properties"]["PolicyDocument"]
    return {statement["Sid"]: statement for statement in document["Statement"]}


@pytest.mark.parametrize("stack", STORAGE)
@pytest.mark.parametrize("name", ["Bucket", "AccessLog"])
def test_a_bucket_is_private_versioned_and_its_owners(example: Any, stack: str, name: str) -> None:
    bucket = example.templates[stack]["Resources"][name]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "BucketName" not in bucket


@pytest.mark.parametrize("stack", STORAGE)
def test_the_bucket_is_encrypted_by_the_accounts_key(example: Any, stack: str) -> None:
    bucket = example.templates[stack]["Resources"]["Bucket"]["Properties"]
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule == {
        "BucketKeyEnabled": True,
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
    }


@pytest.mark.parametrize("stack", STORAGE)
@pytest.mark.parametrize("name", ["BucketPolicy", "AccessLogPolicy"])
def test_a_bucket_is_refused_without_tls_of_today(example: Any, stack: str, name: str) -> None:
    bucket = {"Fn::GetAtt": [{"BucketPolicy": "Bucket", "AccessLogPolicy": "AccessLog"}[name], "Arn"]}
    for sid, condition in (
        ("TlsOnly", {"Bool": {"aws:SecureTransport": "false"}}),
        ("Tls12OrNewer", {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
    ):
        deny = _statements(example, name, stack)[sid]
        assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", {"AWS": "*"}, ["s3:*"])
        assert deny["Condition"] == condition
        assert deny["Resource"] == [bucket, {"Fn::Join": ["", [bucket, "/*"]]}]


def test_a_buckets_policy_allows_nobody_anything(example: Any) -> None:
    assert {statement["Effect"] for statement in _statements(example, "BucketPolicy").values()} == {"Deny"}


def test_other_accounts_are_refused_whatever_their_roles_allow(example: Any) -> None:
    deny = _statements(example, "BucketPolicy")["OtherAccounts"]
    assert deny["Action"] == ["s3:*"]
    assert deny["Condition"] == {
        "StringNotEquals": {"aws:PrincipalAccount": "111111111111"},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
    }


def test_every_action_that_gives_the_content_of_data_is_the_nodes_alone(example: Any) -> None:
    deny = _statements(example, "BucketPolicy")["DataIsReadByTheNodeAlone"]
    assert {"s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectVersionForReplication"} <= set(deny["Action"])
    assert deny["Resource"] == [{"Fn::Join": ["", [BUCKET, "/data/*"]]}]
    role = example.templates["SiteNode-hospital-a"]["Resources"]["Role"]["Properties"]["RoleName"]
    assert deny["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::111111111111:role/{role}"}}


def test_what_an_existing_buckets_owner_is_told_to_refuse_is_the_data_below_the_prefix(data: Any) -> None:
    data["participants"][0] |= {"bucket": "hospital-a-research", "bucket_prefix": "federate/"}
    home = nodes(Federation.model_validate(data))[1]
    statements = {one["Sid"]: one for one in bucket_statements(home, "arn:aws:s3:::hospital-a-research", "key")}
    assert statements["DataIsReadByTheNodeAlone"]["Resource"] == ["arn:aws:s3:::hospital-a-research/federate/data/*"]


def test_the_access_log_is_kept_a_year_in_a_bucket_that_only_the_logging_service_writes_to(example: Any) -> None:
    resources = example.templates["SiteStorage-hospital-a"]["Resources"]
    logging = resources["Bucket"]["Properties"]["LoggingConfiguration"]
    assert logging == {"DestinationBucketName": {"Ref": "AccessLog"}, "LogFilePrefix": "hospital-a/"}
    assert "AccessLogPolicy" in resources["Bucket"]["DependsOn"]
    (rule,) = resources["AccessLog"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == 365
    (encryption,) = resources["AccessLog"]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    statements = _statements(example, "AccessLogPolicy")
    (allowed,) = [statement for statement in statements.values() if statement["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": "111111111111"}
    deny = statements["NobodyElseWrites"]
    assert deny["Action"] == ["s3:PutObject"]
    assert deny["Condition"] == {"StringNotEquals": {"aws:PrincipalServiceName": "logging.s3.amazonaws.com"}}


@pytest.mark.parametrize(
    ("choice", "policy", "replaced"), [("retain", "RetainExceptOnCreate", "Retain"), ("delete", "Delete", "Delete")]
)
def test_all_that_is_kept_follows_the_account(data: Any, synth: Any, choice: str, policy: str, replaced: str) -> None:
    data["participants"][0]["on_destroy"] = choice
    assembly = synth(data)
    resources = assembly.templates["SiteStorage-hospital-a"]["Resources"]
    for name in KEEPS:
        assert resources[name]["DeletionPolicy"] == policy
        assert resources[name]["UpdateReplacePolicy"] == replaced
    (plan,) = [stack for stack in assembly.plan.stacks if stack.id == "SiteStorage-hospital-a"]
    assert set(plan.retained) == (set(KEEPS) if choice == "retain" else set())


def test_nothing_is_retained_that_the_plan_does_not_declare(example: Any) -> None:
    for stack in example.plan.stacks:
        resources = example.templates[stack.id]["Resources"]
        retained = {n for n, r in resources.items() if r.get("DeletionPolicy", "Delete") != "Delete"}
        assert set(stack.retained) == retained


def test_the_log_is_found_under_the_nodes_name_and_kept_a_year(example: Any) -> None:
    group = example.templates["SiteStorage-hospital-a"]["Resources"]["LogGroup"]["Properties"]
    assert group["LogGroupName"] == "/federate/eicu/hospital-a"
    assert group["RetentionInDays"] == 365


def test_a_bucket_that_is_there_already_is_used_and_left_as_it_is(data: Any, synth: Any) -> None:
    data["participants"][0] |= {"bucket": "hospital-a-research", "bucket_prefix": "eicu/"}
    assembly = synth(data)
    resources = assembly.templates["SiteStorage-hospital-a"]["Resources"]
    assert not [name for name, resource in resources.items() if resource["Type"].startswith("AWS::S3::")]
    outputs = assembly.templates["SiteStorage-hospital-a"]["Outputs"]
    assert outputs["BucketName"]["Value"] == "hospital-a-research"


def test_in_a_bucket_that_is_there_already_the_node_has_its_prefix_and_nothing_else(data: Any, synth: Any) -> None:
    data["participants"][0] |= {"bucket": "hospital-a-research", "bucket_prefix": "eicu/"}
    role = synth(data).templates["SiteNode-hospital-a"]["Resources"]["Role"]["Properties"]
    statements = next(p["PolicyDocument"]["Statement"] for p in role["Policies"] if p["PolicyName"] == "s3")
    by_sid = {statement["Sid"]: statement for statement in statements}
    bucket = "arn:aws:s3:::hospital-a-research"
    readable = ["eicu/run/*", "eicu/releases/*", "eicu/data/*"]
    assert by_sid["ListOwnBucket"]["Condition"] == {"StringLike": {"s3:prefix": readable}}
    assert by_sid["ReadWhatTheNodeIsGiven"]["Resource"] == [f"{bucket}/{prefix}" for prefix in readable]
    assert by_sid["WriteResults"]["Resource"] == [f"{bucket}/eicu/results/*"]


def test_the_node_is_told_its_prefix_and_a_node_without_one_is_not(data: Any, synth: Any, example: Any) -> None:
    def told(assembly: Any) -> str:
        instance = assembly.templates["SiteNode-hospital-a"]["Resources"]["Instance"]["Properties"]
        return str(instance["UserData"])

    assert "bucket_prefix" not in told(example)
    data["participants"][0] |= {"bucket": "hospital-a-research", "bucket_prefix": "eicu/"}
    assert '"bucket_prefix": "eicu/"' in told(synth(data)).replace("\\", "")


@pytest.mark.parametrize("choice", ["retain", "delete"])
def test_a_named_bucket_and_key_are_declared_retained_whatever_on_destroy_says(
    data: Any, synth: Any, choice: str
) -> None:
    """They may be what an earlier deployment left; the audit would take them for leftovers."""
    key = "arn:aws:kms:us-east-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef"
    data["participants"][0] |= {"bucket": "hospital-a-research", "kms_key": key, "on_destroy": choice}
    (plan,) = [stack for stack in synth(data).plan.stacks if stack.id == "SiteStorage-hospital-a"]
    assert {"Bucket", "AccessLog", "Key"} <= set(plan.retained)
