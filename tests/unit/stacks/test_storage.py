"""What outlives a node, and what outlives the federation."""

from __future__ import annotations

from typing import Any

import pytest

STORAGE = ("HubStorage", "SiteStorage-hospital-a", "SiteStorage-hospital-b")


@pytest.mark.parametrize("stack", STORAGE)
def test_the_bucket_is_private_versioned_and_encrypted(example: Any, stack: str) -> None:
    bucket = example.templates[stack]["Resources"]["Bucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "BucketName" not in bucket


@pytest.mark.parametrize("stack", STORAGE)
def test_the_bucket_is_refused_without_tls(example: Any, stack: str) -> None:
    policy = example.templates[stack]["Resources"]["BucketPolicy"]["Properties"]
    (deny,) = policy["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    bucket = {"Fn::GetAtt": ["Bucket", "Arn"]}
    assert deny["Resource"] == [bucket, {"Fn::Join": ["", [bucket, "/*"]]}]


@pytest.mark.parametrize(("choice", "policy"), [("retain", "Retain"), ("delete", "Delete")])
def test_bucket_and_state_volume_follow_the_account_and_the_log_goes(
    data: Any, synth: Any, choice: str, policy: str
) -> None:
    data["participants"][0]["on_destroy"] = choice
    assembly = synth(data)
    resources = assembly.templates["SiteStorage-hospital-a"]["Resources"]
    for name in ("Bucket", "BucketPolicy", "StateVolume"):
        assert resources[name]["DeletionPolicy"] == policy
        assert resources[name]["UpdateReplacePolicy"] == policy
    assert resources["LogGroup"]["DeletionPolicy"] == "Delete"
    (plan,) = [stack for stack in assembly.plan.stacks if stack.id == "SiteStorage-hospital-a"]
    assert set(plan.retained) == {n for n, r in resources.items() if r.get("DeletionPolicy") == "Retain"}


def test_nothing_is_retained_that_the_plan_does_not_declare(example: Any) -> None:
    for stack in example.plan.stacks:
        resources = example.templates[stack.id]["Resources"]
        retained = {n for n, r in resources.items() if r.get("DeletionPolicy", "Delete") != "Delete"}
        assert set(stack.retained) == retained


def test_the_log_is_found_under_the_nodes_name(example: Any) -> None:
    group = example.templates["SiteStorage-hospital-a"]["Resources"]["LogGroup"]["Properties"]
    assert group["LogGroupName"] == "/federate/eicu/hospital-a"
    assert group["RetentionInDays"] == 365
