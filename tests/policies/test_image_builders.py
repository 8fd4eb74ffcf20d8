"""What a maker of machine images may do in the aggregator's account, and no more: asked of an independent simulator."""

from __future__ import annotations

import json
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest
from policy_simulator import Question, ask
from template_life import Life, Synthesised
from variants import example, images

from infra.deployment.condition import Stacks
from infra.deployment.storage import empty_buckets
from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.images.pipeline import Pipelines
from stacks.operators import document, roles_in
from stacks.plan import NODE_IMAGE

ACCOUNT, APART, REGION = "333333333333", "833333333333", "us-east-1"
HERE = f"{REGION}:{ACCOUNT}"
BUCKET = "arn:aws:s3:::eicu-nodeimage-source-0123456789ab"
HUBS_BUCKET = "arn:aws:s3:::eicu-hubstorage-bucket-0123456789ab"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/eicu-NodeImage-BuildRole-0123456789ab"
NODE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/federate-eicu-aggregator"
STACK, HUBS_STACK = (f"arn:aws:cloudformation:{HERE}:stack/eicu-{name}/x" for name in ("NodeImage", "HubNode"))
RECIPE = "federate-eicu-gpu-x86_64"
PIPELINE, OTHERS_PIPELINE = (
    f"arn:aws:imagebuilder:{HERE}:image-pipeline/{name}" for name in (RECIPE, "federate-another-gpu-x86_64")
)
COMPONENT = f"arn:aws:imagebuilder:{HERE}:component/federate-eicu-build/1.0.1/1"
LOG = f"arn:aws:logs:{HERE}:log-group:/aws/imagebuilder/{RECIPE}"
IMAGE = f"arn:aws:ec2:{REGION}::image/ami-0123456789abcdef0"
INSTANCE = f"arn:aws:ec2:{HERE}:instance/i-0123456789abcdef0"
VPC = f"arn:aws:ec2:{HERE}:vpc/vpc-0123456789abcdef0"
SERVICE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/imagebuilder.amazonaws.com/AWSServiceRoleForImageBuilder"
BY_STACKS = {"aws:CalledVia": ["cloudformation.amazonaws.com"], "aws:RequestedRegion": REGION}
OURS, ANOTHERS = ({"aws:ResourceTag/federate:image-of": name} for name in ("eicu", "another"))

Case = tuple[str, str, dict[str, Any]]
CAN: list[Case] = [
    ("cloudformation:ExecuteChangeSet", STACK, {}),
    ("ec2:CreateVpc", VPC, BY_STACKS),
    ("iam:CreateRole", ROLE, BY_STACKS),
    ("iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("iam:CreateServiceLinkedRole", SERVICE_ROLE, {"iam:AWSServiceName": "imagebuilder.amazonaws.com"}),
    ("imagebuilder:CreateComponent", COMPONENT, BY_STACKS),
    ("imagebuilder:CreateImagePipeline", PIPELINE, BY_STACKS),
    ("imagebuilder:StartImagePipelineExecution", PIPELINE, {}),
    ("imagebuilder:GetImage", f"arn:aws:imagebuilder:{HERE}:image/{RECIPE}/1.0.1/1", {}),
    ("logs:CreateLogGroup", LOG, BY_STACKS),
    ("logs:FilterLogEvents", LOG, {}),
    ("s3:PutBucketPolicy", BUCKET, BY_STACKS),
    ("s3:PutObject", f"{BUCKET}/0f0f.tar", {}),
    ("ec2:DescribeImageAttribute", IMAGE, {"aws:RequestedRegion": REGION}),
    ("ec2:ModifyImageAttribute", IMAGE, OURS),
]
CANNOT: list[Case] = [
    # The federation's own stacks, and others that begin alike.
    ("cloudformation:DeleteStack", HUBS_STACK, {}),
    ("cloudformation:DeleteStack", f"arn:aws:cloudformation:{HERE}:stack/eicu-NodeImages/x", {}),
    # What CloudFormation does is not done without it, and not elsewhere.
    ("ec2:CreateVpc", VPC, {"aws:RequestedRegion": REGION}),
    ("ec2:CreateVpc", VPC, BY_STACKS | {"aws:RequestedRegion": "eu-central-1"}),
    ("iam:CreateRole", ROLE, {}),
    ("imagebuilder:CreateComponent", COMPONENT, {}),
    ("imagebuilder:DeleteImagePipeline", PIPELINE, {}),
    ("s3:PutBucketPolicy", BUCKET, {}),
    ("logs:DeleteLogGroup", LOG, {}),
    # Nodes.
    ("ec2:RunInstances", INSTANCE, BY_STACKS),
    ("ec2:TerminateInstances", INSTANCE, BY_STACKS),
    ("ec2:CreateVpcPeeringConnection", VPC, BY_STACKS),
    ("ssm:SendCommand", INSTANCE, {}),
    # Roles.
    ("iam:CreateRole", NODE_ROLE, BY_STACKS),
    ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/eicu-HubNetwork-FlowLogRole-0123456789ab", BY_STACKS),
    ("iam:AttachRolePolicy", ROLE, BY_STACKS),
    ("iam:PassRole", NODE_ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("iam:PassRole", ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}),
    ("iam:CreateServiceLinkedRole", SERVICE_ROLE, {"iam:AWSServiceName": "spot.amazonaws.com"}),
    # Other pipelines, logs, parameters and buckets.
    ("imagebuilder:StartImagePipelineExecution", OTHERS_PIPELINE, {}),
    ("imagebuilder:DeleteImagePipeline", OTHERS_PIPELINE, BY_STACKS),
    ("logs:FilterLogEvents", f"arn:aws:logs:{HERE}:log-group:/federate/eicu/aggregator", {}),
    ("ssm:GetParameter", f"arn:aws:ssm:{HERE}:parameter/federate/eicu/aggregator/state", {}),
    ("s3:PutObject", f"{BUCKET}/0f0f.zip", {}),
    ("s3:PutObject", f"{HUBS_BUCKET}/releases/0f0f.tar", {}),
    ("s3:GetObject", f"{HUBS_BUCKET}/results/1/model.safetensors", {}),
    ("s3:DeleteObject", f"{HUBS_BUCKET}/results/1/model.safetensors", {}),
    # Images of others.
    ("ec2:ModifyImageAttribute", IMAGE, {}),
    ("ec2:ModifyImageAttribute", IMAGE, ANOTHERS),
    ("ec2:DeregisterImage", IMAGE, OURS),
]


def _name(case: Case) -> str:
    action, resource, context = case
    return f"{action} {resource} {' '.join(f'{key}={value}' for key, value in context.items())}".strip()


@pytest.fixture(scope="module")
def federation() -> Federation:
    return Federation.model_validate(images())


@pytest.fixture(scope="module")
def answers(federation: Federation) -> dict[str, str]:
    """Answers by case, and to each denied case once one statement more allows it."""
    identity = (document(federation, nodes(federation)[0], "builder"),)
    principal = f"arn:aws:iam::{ACCOUNT}:role/people/builder"
    questions = {
        _name(case): Question(principal, case[0], case[1], ACCOUNT, case[2], identity) for case in (*CAN, *CANNOT)
    }
    assert len(questions) == len(CAN) + len(CANNOT)
    questions |= {f"{_name(case)}, once allowed": questions[_name(case)].widened() for case in CANNOT}
    return dict(zip(questions, ask(list(questions.values())), strict=True))


@pytest.mark.parametrize("case", CAN, ids=_name)
def test_a_maker_of_images_can(answers: dict[str, str], case: Case) -> None:
    assert answers[_name(case)] == "Allowed"


@pytest.mark.parametrize("case", CANNOT, ids=_name)
def test_a_maker_of_images_cannot_and_could_if_one_statement_allowed_it(answers: dict[str, str], case: Case) -> None:
    assert answers[_name(case)] == "ImplicitlyDenied"
    assert answers[f"{_name(case)}, once allowed"] == "Allowed"


def test_with_a_boundary_no_role_is_made_without_it() -> None:
    data = images()
    data["aggregator"] = {**data["aggregator"], "permissions_boundary": "boundary"}
    federation = Federation.model_validate(data)
    bounded = {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/boundary"}
    identity = (document(federation, nodes(federation)[0], "builder"),)
    questions = [
        Question(f"arn:aws:iam::{ACCOUNT}:role/people/builder", action, ROLE, ACCOUNT, BY_STACKS | context, identity)
        for action in ("iam:CreateRole", "iam:PutRolePolicy")
        for context in (bounded, {})
    ]
    assert ask(questions) == ["Allowed", "ImplicitlyDenied"] * 2


def test_only_public_parameters_are_read(federation: Federation) -> None:
    # Read as it stands: the simulator knows no parameter that is of no account.
    statements = document(federation, nodes(federation)[0], "builder")["Statement"]
    (read,) = [one["Resource"] for one in statements if "ssm:GetParameter" in one["Action"]]
    assert read == [f"arn:aws:ssm:{REGION}::parameter/aws/service/*"]


def test_images_are_made_in_the_aggregators_account_alone(federation: Federation) -> None:
    hub, *sites = nodes(federation)
    assert "builder" in roles_in(hub)
    assert not any("builder" in roles_in(site) for site in sites)


@pytest.fixture(scope="module")
def made(scanned: Any) -> Synthesised:
    """The stack alone, in an account of which no other test of this process has the number."""
    (stack,) = [one for one in scanned.plan("images").stacks if one.id == NODE_IMAGE]
    template = json.dumps(scanned.templates[f"images/{NODE_IMAGE}"]).replace(ACCOUNT, APART)
    plan = replace(scanned.plan("images"), stacks=(replace(stack, account=APART),))
    return Synthesised({NODE_IMAGE: json.loads(template)}, plan)


def _may(federation: Federation, *, by_itself: bool) -> list[str]:
    """Return the patterns of the document's actions; by itself: of those that need no CloudFormation."""
    statements = document(federation, nodes(federation)[0], "builder")["Statement"]
    chosen = [one for one in statements if not (by_itself and "CalledVia" in json.dumps(one))]
    return [action for one in chosen for action in one["Action"]]


def _lacking(needed: set[str], may: list[str]) -> set[str]:
    return {action for action in needed if not any(fnmatchcase(action, pattern) for pattern in may)}


def test_every_type_of_the_pipeline_can_be_made_read_tagged_and_deleted(
    made: Synthesised, federation: Federation
) -> None:
    types = {
        one["Type"].split("::")[-1]
        for one in made.templates[NODE_IMAGE]["Resources"].values()
        if one["Type"].startswith("AWS::ImageBuilder::")
    }
    assert len(types) == 5
    needed = {f"imagebuilder:{verb}{type_}" for type_ in types for verb in ("Create", "Get", "Delete")}
    needed |= {"imagebuilder:TagResource", "imagebuilder:UntagResource"}
    assert _lacking(needed, _may(federation, by_itself=False)) == set()
    assert _lacking({"imagebuilder:CreateWorkflow"}, _may(federation, by_itself=False)) != set()


#: What IAM calls an operation whose name is another.
ACTIONS = {
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:DeleteObjects": "s3:DeleteObjectVersion",
}


class Overheard:
    """The aggregator's account on loopback AWS; notes what is called."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.called: set[str] = set()

    def client(self, service: str, *, profile: str, region: str) -> Any:
        client = self._life.client(service, profile=profile, region=region)
        client.meta.events.register("before-call", lambda model, **_: self.called.add(f"{service}:{model.name}"))
        return client


def test_all_that_is_called_for_the_stack_and_by_the_commands_is_allowed(
    made: Synthesised, federation: Federation
) -> None:
    (stack,) = made.plan.stacks
    life = Life(made.plan)
    life.create(made.templates)
    heard: Any = Overheard(life)
    Pipelines(stack, Stacks(heard).outputs(stack), heard).supply()
    empty_buckets(stack, heard)
    by_itself = {ACTIONS.get(call, call) for call in heard.called}
    assert by_itself >= {"cloudformation:DescribeStacks", "s3:PutObject", "s3:DeleteObjectVersion"}
    assert _lacking(by_itself, _may(federation, by_itself=True)) == set()
    life.delete()
    by_stack = {ACTIONS.get(f"{service}:{call}", f"{service}:{call}") for _, service, call in life.called}
    by_stack -= {call for call in by_stack if call.startswith("cloudformation:")}
    assert by_stack >= {"ec2:CreateVpc", "iam:CreateRole", "logs:CreateLogGroup", "s3:CreateBucket"}
    assert _lacking(by_stack, _may(federation, by_itself=False)) == set()


def test_without_a_pipeline_the_document_is_of_the_same_stack(federation: Federation) -> None:
    without = Federation.model_validate(example())
    assert document(without, nodes(without)[0], "builder") == document(federation, nodes(federation)[0], "builder")
