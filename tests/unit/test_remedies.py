"""What AWS says is explained; each sentence below is one that AWS's documentation or its users quote."""

from __future__ import annotations

import pytest

from infra.remedies import KNOWN, meaning

_DENIED = "is not authorized to perform: iam:CreateRole on resource: *"
_USER = f"User: arn:aws:sts::111111111111:assumed-role/deployer/me {_DENIED}"
_STACK = "arn:aws:cloudformation:us-east-1:111111111111:stack/s/1"
_BUSY = f"Stack:{_STACK} is in UPDATE_IN_PROGRESS state and can not be updated."
#: Meaning to words of AWS's or the CDK's. Service messages are without their codes where a stack's event has none.
WORDS = {
    "vcpu-quota": "You have requested more vCPU capacity than your current vCPU limit of 4 allows for the instance "
    "bucket "
    "that the specified instance type belongs to.",
    "no-capacity": "We currently do not have sufficient g5.xlarge capacity in the Availability Zone you requested "
    "(us-east-1a). Our system will be working on provisioning additional capacity. You can currently get g5.xlarge "
    "capacity by not specifying an Availability Zone in your request or choosing us-east-1b, us-east-1c.",
    "zone-without-type": "Your requested instance type (g5.xlarge) is not supported in your requested Availability "
    "Zone "
    "(us-east-1e). Please retry your request by not specifying an Availability Zone or choosing us-east-1a, "
    "us-east-1b.",
    "image-missing": "The image id '[ami-0123456789abcdef0]' does not exist",
    "image-not-shared": "Not authorized for images: [ami-0123456789abcdef0]",
    "image-architecture": "The architecture 'arm64' of the specified instance type does not match the architecture "
    "'x86_64' of the specified AMI.",
    "unsupported": "The requested configuration is currently not supported. Please check the documentation.",
    "spot-quota": "Max spot instance count exceeded",
    "vpc-quota": "The maximum number of VPCs has been reached.",
    "peering-quota": "You've reached the limit on the number of active VPC peering connections you can have for the "
    "specified VPC.",
    "peering-failed": "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range",
    "address-in-use": "Address 10.0.0.5 is in use.",
    "subnet-conflict": "The CIDR '10.0.0.0/24' conflicts with another subnet",
    "in-use": "The vpc 'vpc-1' has dependencies and cannot be deleted.",
    "bucket-exists": "The requested bucket name is not available. The bucket namespace is shared by all users.",
    "bucket-not-empty": "The bucket you tried to delete is not empty",
    "exists": "Role with name federate-fed-hospital-a already exists.",
    "kms-key": "arn:aws:kms:us-east-1:111111111111:key/1 is disabled.",
    "peering-role": "User: arn:aws:iam::111111111111:root is not authorized to perform: sts:AssumeRole on resource: "
    "arn:aws:iam::333333333333:role/federate-fed-peering-hospital-a",
    "denied-by-scp": f"{_USER} with an explicit deny in a service control policy",
    "denied-by-boundary": f"{_USER} because no permissions boundary allows the iam:CreateRole action",
    "denied": f"{_USER} because no identity-based policy allows the iam:CreateRole action",
    "clock": "Signature expired: 20261126T010000Z is now earlier than 20261126T015500Z (20261126T020000Z - 5 min.)",
    "expired": "The security token included in the request is expired",
    "key-unknown": "The security token included in the request is invalid.",
    "key-wrong": "SignatureDoesNotMatch: The request signature we calculated does not match the signature you "
    "provided.",
    "no-profile": "The config profile (hospital-a) could not be found",
    "no-credentials": "Unable to locate credentials",
    "region-off": "OptInRequired: You are not subscribed to this service.",
    "throttled": "An error occurred (Throttling) when calling the DescribeStacks operation: Rate exceeded",
    "aws-ill": "An error occurred (InternalFailure) when calling the DescribeStacks operation",
    "stack-busy": _BUSY,
    "protected": "Stack [fed-HubNode] cannot be deleted while TerminationProtection is enabled",
    "cdk-version": "This CDK CLI is not compatible with the CDK library used by your application. Please upgrade the "
    "CLI.",
    "cdk-bootstrap": "SSM parameter /cdk-bootstrap/hnb659fds/version not found. Has the environment been bootstrapped?",
    "quota": "Cannot exceed quota for RolesPerAccount: 1000",
}


def test_every_meaning_has_words_here() -> None:
    assert set(WORDS) == set(KNOWN)


@pytest.mark.parametrize("id_", WORDS)
def test_words_have_their_own_meaning_and_none_that_stands_before_it(id_: str) -> None:
    found = meaning(WORDS[id_], profile="hospital-a", region="us-east-1")
    assert found is not None
    assert found.id == id_
    assert "{" not in found.cause + found.remedy.replace("{UserId=ACCOUNT}", "")


def test_what_the_words_name_is_in_the_meaning() -> None:
    found = meaning(WORDS["zone-without-type"])
    assert found is not None
    assert found.cause == "us-east-1e does not offer g5.xlarge; that is so for good."
    assert "(us-east-1a, us-east-1b)" in found.remedy


def test_commands_name_the_profile_that_was_used() -> None:
    found = meaning(WORDS["expired"], profile="hospital-a")
    assert found is not None
    assert "aws sso login --profile hospital-a" in found.remedy


def test_words_that_are_not_known_get_no_meaning() -> None:
    assert meaning("Something that nobody has ever seen") is None
