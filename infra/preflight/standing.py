"""What stands in the account already: stacks that are stuck, roles that AWS's services need, buckets that are named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from infra.deployment.condition import REMEDIES, Condition, judge
from infra.errors import Problem, Severity
from infra.preflight.check import Check, Visit, code_of, is_refusal

_BOOTSTRAP = "CDKToolkit"


def stuck(visit: Visit) -> Iterator[Problem]:
    """Find stacks of the federation that only a person can free, and those that somebody works on right now."""
    planned = {stack.name: stack for stack in visit.stacks}
    for stack in visit.stacks_there():
        name, status = stack["StackName"], stack["StackStatus"]
        if name not in planned:
            continue
        condition = judge(status)
        if condition is Condition.STUCK:
            remedy = REMEDIES[status].format(name=name, region=visit.region, profile=visit.profile)
            why = stack.get("StackStatusReason")
            yield visit.problem(f"the stack {name} is {status}{f': {why}' if why else '.'}", "", remedy)
        elif condition is Condition.BUSY:
            yield visit.problem(
                f"the stack {name} is {status}: somebody works on it.",
                "",
                "A deployment waits for its end.",
                Severity.WARNING,
            )
        elif condition is Condition.BROKEN:
            yield visit.problem(
                f"the stack {name} is {status} from an earlier attempt.",
                "",
                "The next deployment deletes it and makes it anew.",
                Severity.NOTICE,
            )


def stack_quota(visit: Visit) -> Iterator[Problem]:
    """Find accounts that may not have the further stacks."""
    there = {stack["StackName"] for stack in visit.stacks_there()}
    needed = len([stack for stack in visit.stacks if stack.name not in there])
    if not needed:
        return
    limits = visit.client("cloudformation").describe_account_limits()["AccountLimits"]
    allowed = next((limit["Value"] for limit in limits if limit["Name"] == "StackLimit"), None)
    if allowed is not None and len(there) + needed > allowed:
        yield visit.problem(
            f"{needed} stacks more are needed, and the Region has {len(there)} of {allowed}.",
            "",
            "Ask for more: quota L-0485CB21 of CloudFormation, in the Service Quotas console.",
        )


def bootstrap(visit: Visit) -> Iterator[Problem]:
    """Find accounts without the CDK's bootstrap stack where the federation deploys by it."""
    if _BOOTSTRAP not in {stack["StackName"] for stack in visit.stacks_there()}:
        yield visit.problem(
            f"there is no stack {_BOOTSTRAP}, and synthesizer: default needs it.",
            "An organisation's own bootstrap may have another name; then this is no error of yours.",
            f"cdk bootstrap aws://{visit.account}/{visit.region} --profile {visit.profile}, or synthesizer: legacy.",
            Severity.WARNING,
        )


def _uses_bootstrap(visit: Visit) -> bool:
    return visit.federation.synthesizer == "default"


def service_roles(visit: Visit) -> Iterator[Problem]:
    """Find roles that AWS makes at first use, if the profile may have it do so."""
    wanted = {"ec2-instance-connect.amazonaws.com": "an EC2 Instance Connect Endpoint"}
    if any(node.spec.spot for node in visit.nodes):
        wanted["spot.amazonaws.com"] = "spot capacity"
    for service, what in wanted.items():
        found = visit.client("iam").list_roles(PathPrefix=f"/aws-service-role/{service}/")["Roles"]
        if not found:
            yield visit.problem(
                f"the account has no service-linked role for {what} yet.",
                "AWS makes it at first use, if the profile may iam:CreateServiceLinkedRole.",
                f"If it may not, an administrator makes it once: aws iam create-service-linked-role "
                f"--aws-service-name {service} --profile {visit.profile}.",
                Severity.NOTICE,
            )


def buckets(visit: Visit) -> Iterator[Problem]:
    """Find buckets that the federation names and the account does not have."""
    for name in _named(visit):
        yield from _bucket(visit, name)


def _named(visit: Visit) -> list[str]:
    return [node.spec.bucket for node in visit.nodes if node.spec.bucket]


def _names_buckets(visit: Visit) -> bool:
    return bool(_named(visit))


def _bucket(visit: Visit, name: str) -> Iterator[Problem]:
    s3 = visit.client("s3")
    try:
        told = s3.head_bucket(Bucket=name, ExpectedBucketOwner=visit.account)
    except ClientError as error:
        if code_of(error) in ("404", "NoSuchBucket"):
            yield visit.problem(
                f"there is no bucket {name}.", "", "Make it, or leave bucket out: Federate makes one of its own."
            )
        elif is_refusal(error) and _is_anothers(s3, name):
            yield visit.problem(
                f"the bucket {name} belongs to another account.",
                f"A bucket of account {visit.account}: nobody else may hold its data.",
                "Name another.",
            )
        elif code_of(error) in ("301", "PermanentRedirect"):
            yield visit.problem(f"the bucket {name} is in another Region.", visit.region, "Name one of this Region.")
        else:
            raise
        return
    region = told.get("BucketRegion") or told["ResponseMetadata"].get("HTTPHeaders", {}).get("x-amz-bucket-region")
    if region and region != visit.region:
        yield visit.problem(f"the bucket {name} is in {region}.", visit.region, "Name one of this Region.")


def _is_anothers(s3: Any, name: str) -> bool:
    """Say whether a bucket that is not the expected account's answers at all."""
    try:
        s3.head_bucket(Bucket=name)
    except ClientError:
        return False
    return True


CHECKS = (
    Check("stacks", "Can all stacks of the federation be deployed as they are?", ("cloudformation:ListStacks",), stuck),
    Check(
        "stack-quota",
        "May the account have the stacks?",
        ("cloudformation:ListStacks", "cloudformation:DescribeAccountLimits"),
        stack_quota,
    ),
    Check(
        "bootstrap",
        "Is the CDK's bootstrap stack there, where synthesizer: default needs it?",
        ("cloudformation:ListStacks",),
        bootstrap,
        _uses_bootstrap,
    ),
    Check("service-roles", "Are the roles there that AWS's services need?", ("iam:ListRoles",), service_roles),
    Check(
        "bucket",
        "Is a bucket that the federation names the account's own, and in its Region?",
        ("s3:ListBucket",),
        buckets,
        _names_buckets,
    ),
)
