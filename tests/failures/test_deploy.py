"""What fails while stacks are deployed is told with its cause and what to do; repaired, the same command goes on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from failure_desk import FailureDesk
from failure_table import Tell

SITE, ACCOUNT = "hospital-a", "111111111111"
DEPLOY = ("deploy", "--stacks-only", "--only", SITE)
WENT_ON = "goes on, exit 0"
NODE, NETWORK, STORAGE = f"SiteNode-{SITE}", f"SiteNetwork-{SITE}", f"SiteStorage-{SITE}"
#: Stacks of the site that depend on one another, last first.
ALL = (NODE, NETWORK, STORAGE)


def denied(action: str, why: str) -> str:
    who = f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/somebody"
    return f"User: {who} is not authorized to perform: {action} on resource: * {why}"


@dataclass(frozen=True, slots=True)
class Case:
    """A call that AWS refuses for a resource of a stack.

    Args:
        id: the row.
        injected: what is wrong, in words.
        service: of the call.
        operation: the call.
        code: AWS's.
        message: AWS's, as its documentation or its users quote it.
        stack: which stack fails.
        says: words of cause and remedy that the user must see.
        exit_code: of the command.
        real_cdk: whether the CDK command deploys, or its stand-in.
    """

    id: str
    injected: str
    service: str
    operation: str
    code: str
    message: str
    stack: str
    says: tuple[str, ...]
    exit_code: int = 1
    real_cdk: bool = False

    @property
    def rule(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "operation": self.operation,
            "code": self.code,
            "message": self.message,
            "account": ACCOUNT,
        }


CASES = (
    Case(
        "vcpu-quota",
        "the account's quota of vCPUs is too small for the instance",
        "ec2",
        "RunInstances",
        "VcpuLimitExceeded",
        "You have requested more vCPU capacity than your current vCPU limit of 0 allows for the instance bucket that "
        "the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request "
        "an adjustment to this limit.",
        NODE,
        ("may run 0 vCPUs", "Service Quotas", "smaller instance_type"),
        real_cdk=True,
    ),
    Case(
        "no-capacity",
        "AWS has no such machine free in the zone",
        "ec2",
        "RunInstances",
        "InsufficientInstanceCapacity",
        "We currently do not have sufficient g5.xlarge capacity in the Availability Zone you requested (us-east-1a). "
        "Our system will be working on provisioning additional capacity. You can currently get g5.xlarge capacity by "
        "not specifying an Availability Zone in your request or choosing us-east-1b, us-east-1c.",
        NODE,
        ("no machine of g5.xlarge free in us-east-1a", "another availability_zone or instance_type"),
        real_cdk=True,
    ),
    Case(
        "zone-without-type",
        "the zone does not offer the instance type",
        "ec2",
        "RunInstances",
        "Unsupported",
        "Your requested instance type (g5.xlarge) is not supported in your requested Availability Zone (us-east-1e). "
        "Please retry your request by not specifying an Availability Zone or choosing us-east-1a, us-east-1b.",
        NODE,
        ("us-east-1e does not offer g5.xlarge", "Set availability_zone to one that does (us-east-1a, us-east-1b)"),
    ),
    Case(
        "image-missing",
        "the machine image was deleted, or is of another Region",
        "ec2",
        "RunInstances",
        "InvalidAMIID.NotFound",
        "The image id '[ami-0fed0000000000001]' does not exist",
        NODE,
        ("has no image ami-0fed0000000000001", "Correct the image of this Region"),
        real_cdk=True,
    ),
    Case(
        "image-not-shared",
        "the image's owner has not shared it with the site's account",
        "ec2",
        "RunInstances",
        "AuthFailure",
        "Not authorized for images: [ami-0fed0000000000001]",
        NODE,
        (
            "its owner has not given this account the permission",
            "modify-image-attribute --image-id ami-0fed0000000000001",
        ),
    ),
    Case(
        "volume-key",
        "the key that encrypts the state volume is disabled",
        "ec2",
        "CreateVolume",
        "KMSKeyNotAccessibleFault",
        f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab is disabled.",
        STORAGE,
        ("The KMS key", "disabled", "aws kms enable-key"),
    ),
    Case(
        "vpc-quota",
        "the account has as many VPCs as it may have",
        "ec2",
        "CreateVpc",
        "VpcLimitExceeded",
        "The maximum number of VPCs has been reached.",
        NETWORK,
        ("as many VPCs in this Region as its quota allows", "Service Quotas"),
        real_cdk=True,
    ),
    Case(
        "peering-quota",
        "the VPC has as many peerings as it may have",
        "ec2",
        "CreateVpcPeeringConnection",
        "ActiveVpcPeeringConnectionPerVpcLimitExceeded",
        "You've reached the limit on the number of active VPC peering connections you can have for the specified VPC.",
        NETWORK,
        ("as many peering connections as its quota allows", "Delete peerings that nobody needs"),
        real_cdk=True,
    ),
    Case(
        "bucket-exists",
        "somebody has a bucket of this name already",
        "s3",
        "PUT bucket",
        "BucketAlreadyExists",
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.",
        STORAGE,
        ("A bucket of this name exists", "choose another name for the federation"),
    ),
    Case(
        "denied",
        "the profile may not do one of the actions",
        "iam",
        "CreateRole",
        "AccessDenied",
        denied("iam:CreateRole", "because no identity-based policy allows the iam:CreateRole action"),
        NODE,
        ("may not do iam:CreateRole", "allows iam:CreateRole for it"),
        3,
        real_cdk=True,
    ),
    Case(
        "denied-by-scp",
        "a service control policy of the organisation denies an action",
        "iam",
        "CreateRole",
        "AccessDenied",
        denied("iam:CreateRole", "with an explicit deny in a service control policy"),
        NODE,
        ("service control policy of the organisation denies iam:CreateRole", "administers the organisation"),
        3,
    ),
    Case(
        "denied-by-boundary",
        "the permissions boundary of the profile's role leaves an action out",
        "iam",
        "CreateRole",
        "AccessDenied",
        denied("iam:CreateRole", "because no permissions boundary allows the iam:CreateRole action"),
        NODE,
        ("The permissions boundary of", "widens the boundary"),
        3,
    ),
)


@pytest.fixture(scope="module")
def deployed(desk: FailureDesk) -> FailureDesk:
    """Return the desk once everything is deployed."""
    said = desk.run("deploy", "--stacks-only")
    assert said.code == 0, said.err
    return desk


@pytest.fixture
def without(deployed: FailureDesk, request: pytest.FixtureRequest) -> FailureDesk:
    """Return the desk without the site's link and those of its stacks that stand on one of them, this one included."""
    first: str = getattr(request, "param", NODE)
    deployed.delete("aggregator", f"HubLink-{SITE}")
    deployed.delete(SITE, *ALL[: ALL.index(first) + 1])
    return deployed


@pytest.mark.parametrize(
    ("without", "case"),
    [pytest.param(case.stack, case, marks=pytest.mark.failure(case.id), id=case.id) for case in CASES],
    indirect=["without"],
)
def test_what_aws_refuses_for_a_stack_is_explained_and_repaired_the_same_command_goes_on(
    without: FailureDesk, case: Case, tell: Tell
) -> None:
    with without.failing(case.rule):
        said = without.run(*DEPLOY, real_cdk=case.real_cdk)
    assert said.code == case.exit_code
    assert case.message in said.error  # AWS's own words stay
    for words in (f"fed-{case.stack} in account {ACCOUNT} (us-east-1): ROLLBACK_COMPLETE", "Cause: ", *case.says):
        assert words in said.error
    assert f"Unfinished:\n  fed-{case.stack} in account {ACCOUNT}: ROLLBACK_COMPLETE; the same command deletes it" in (
        said.error.replace(f"  fed-{STORAGE} in account {ACCOUNT}: not made yet; the same command makes it.\n", "")
    )
    again = without.run(*DEPLOY)
    assert again.code == 0, again.err
    assert f"fed-{case.stack} is ROLLBACK_COMPLETE from an earlier attempt: it is deleted and made anew." in again.err
    assert set(without.statuses(SITE).values()) == {"CREATE_COMPLETE"}
    where = f"`{case.service}:{case.operation}` for {case.stack.partition('-')[0]}"
    tell(injected=case.injected, where=where, message=said.error, code=said.code, after=WENT_ON)


@pytest.mark.failure("role-exists")
def test_a_role_that_exists_already_is_named(without: FailureDesk, tell: Tell) -> None:
    iam = without.client(SITE, "iam")
    iam.create_role(RoleName=f"federate-fed-{SITE}", AssumeRolePolicyDocument=json.dumps({"Statement": []}))
    said = without.run(*DEPLOY, real_cdk=True)
    iam.delete_role(RoleName=f"federate-fed-{SITE}")
    assert said.code == 1
    assert f"Role with name federate-fed-{SITE} already exists" in said.error
    assert f"Cause: The account has federate-fed-{SITE} already" in said.error
    assert "Delete or rename it" in said.error
    assert without.run(*DEPLOY).code == 0
    tell(
        injected="a role of the node's name exists already",
        where="`iam:CreateRole` for SiteNode",
        message=said.error,
        code=said.code,
        after=WENT_ON,
    )


@pytest.mark.failure("peering-role")
@pytest.mark.parametrize("without", [NETWORK], indirect=True)
def test_a_hub_that_lets_the_site_accept_no_peering_is_to_be_deployed_first(without: FailureDesk, tell: Tell) -> None:
    iam = without.client("aggregator", "iam")
    (role,) = [found for found in iam.list_roles()["Roles"] if SITE in found["RoleName"]]
    trust = role["AssumeRolePolicyDocument"]
    other = json.loads(json.dumps(trust).replace(ACCOUNT, "222222222222"))
    iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=json.dumps(other))
    said = without.run(*DEPLOY, real_cdk=True)
    iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=json.dumps(trust))
    assert said.code == 1
    assert "is not authorized to perform: sts:AssumeRole on resource: " in said.error
    assert "Cause: The hub lets this account accept no peering" in said.error
    assert "federate deploy --only aggregator" in said.error
    assert without.run(*DEPLOY).code == 0
    tell(
        injected="the hub's role for the site trusts another account",
        where="`sts:AssumeRole` for SiteNetwork",
        message=said.error,
        code=said.code,
        after=WENT_ON,
    )


@pytest.mark.failure("denied-to-cdk")
def test_what_the_cdk_command_may_not_do_is_named(without: FailureDesk, tell: Tell) -> None:
    message = denied("cloudformation:CreateChangeSet", "because no identity-based policy allows the action")
    rule = {"service": "cloudformation", "operation": "CreateChangeSet", "code": "AccessDenied", "message": message}
    with without.failing({**rule, "account": ACCOUNT}):
        said = without.run(*DEPLOY, real_cdk=True)
    assert said.code == 3
    assert "may not do cloudformation:CreateChangeSet" in said.error
    assert "not made yet; the same command makes it." in said.error
    assert without.run(*DEPLOY).code == 0
    tell(
        injected="the profile may make no change sets",
        where="`cloudformation:CreateChangeSet`, by the CDK command",
        # what the command says before that depends on which stack it comes to first
        message=re.sub(r"ended with 1: .*?User: ", "ended with 1: … User: ", said.error, flags=re.DOTALL),
        code=said.code,
        after=WENT_ON,
    )
