"""What cannot be deleted is told with its cause and what to do; then the same command deletes the rest."""

from __future__ import annotations

from typing import Any

import pytest
from failure_desk import ACCOUNTS, FailureDesk
from failure_table import Tell

SITE, ACCOUNT = "hospital-a", ACCOUNTS["hospital-a"]
DESTROY = ("destroy", "--yes", "--only", SITE)
NODE, NETWORK, STORAGE = f"SiteNode-{SITE}", f"SiteNetwork-{SITE}", f"SiteStorage-{SITE}"
WENT_ON = "deletes the rest"


@pytest.fixture(scope="module")
def deployed(desk: FailureDesk) -> FailureDesk:
    """Return the desk once everything is deployed."""
    said = desk.run("deploy", "--stacks-only")
    assert said.code == 0, said.err
    return desk


def refusal(service: str, operation: str, code: str, message: str) -> dict[str, Any]:
    return {"service": service, "operation": operation, "account": ACCOUNT, "code": code, "message": message}


# In this order: each test finds what the one before it has left, and the last deletes everything.
@pytest.mark.failure("protected")
def test_a_stack_that_is_protected_is_told(deployed: FailureDesk, tell: Tell) -> None:
    protect = deployed.client(SITE, "cloudformation").update_termination_protection
    protect(StackName=f"fed-{NODE}", EnableTerminationProtection=True)
    said = deployed.run(*DESTROY, real_cdk=True)
    protect(StackName=f"fed-{NODE}", EnableTerminationProtection=False)
    assert said.code == 1
    for words in (
        f"fed-{NODE} in account {ACCOUNT}",
        "Cause: The stack is protected against its deletion.",
        f"--no-enable-termination-protection --stack-name fed-{NODE} --region us-east-1 --profile {SITE}",
        f"Still there, for the same command to delete:\n  fed-{STORAGE} in account {ACCOUNT}: CREATE_COMPLETE",
    ):
        assert words in said.error
    tell(
        injected="somebody has protected a stack against deletion",
        where="`cloudformation:DeleteStack` of SiteNode",
        message=said.error,
        code=said.code,
        after=WENT_ON,
    )


@pytest.mark.failure("in-use")
def test_something_that_hangs_on_a_network_is_to_be_found_and_deleted(deployed: FailureDesk, tell: Tell) -> None:
    message = "The vpc 'vpc-0123456789abcdef0' has dependencies and cannot be deleted."
    with deployed.failing(refusal("ec2", "DeleteVpc", "DependencyViolation", message)):
        said = deployed.run(*DESTROY, real_cdk=True)
    assert said.code == 1
    assert deployed.statuses(SITE)[NETWORK] == "DELETE_FAILED"
    for words in (
        f"fed-{NETWORK} in account {ACCOUNT} (us-east-1): DELETE_FAILED: ",
        message,
        "Cause: Something that Federate has not made hangs on what is to be deleted",
        f"aws ec2 describe-network-interfaces --filters Name=vpc-id,Values=VPC --region us-east-1 --profile {SITE}",
    ):
        assert words in said.error
    tell(
        injected="something that is not Federate's hangs on the site's VPC",
        where="`ec2:DeleteVpc` for SiteNetwork",
        message=said.error,
        code=said.code,
        after=WENT_ON,
    )


@pytest.mark.failure("bucket-not-empty")
def test_a_bucket_that_somebody_goes_on_writing_into_is_told(deployed: FailureDesk, tell: Tell) -> None:
    if STORAGE not in deployed.statuses(SITE):
        assert deployed.run("deploy", "--stacks-only", "--only", SITE).code == 0
    message = "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
    with deployed.failing(refusal("s3", "DELETE bucket", "BucketNotEmpty", message)):
        said = deployed.run(*DESTROY)
    assert said.code == 1
    for words in (
        f"fed-{STORAGE} in account {ACCOUNT} (us-east-1): DELETE_FAILED: ",
        message,
        "Cause: Somebody still writes into the bucket",
        "the next attempt empties the bucket anew",
    ):
        assert words in said.error
    tell(
        injected="somebody goes on writing into a bucket that is to go",
        where="`s3:DeleteBucket` for SiteStorage",
        message=said.error,
        code=said.code,
        after=WENT_ON,
    )


def test_after_the_repairs_the_same_command_deletes_the_stacks_that_were_left(deployed: FailureDesk) -> None:
    said = deployed.run(*DESTROY)
    assert said.code == 0, said.err
    assert deployed.statuses(SITE) == {}
