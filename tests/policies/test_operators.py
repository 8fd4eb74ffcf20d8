"""What people may do, role by role, by the documents of ``federate permissions``: asked of an independent simulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from policy_simulator import Question, Sweep, ask, sweep
from template_life import Life, synthesised
from variants import apart, example, existing, mixed

from infra.deployment.audit import audit
from infra.deployment.condition import Stacks
from infra.deployment.default_group import empty_default_groups
from infra.deployment.instances import Instances
from infra.deployment.log_key import follow_keys
from infra.deployment.orphans import orphans
from infra.deployment.side_by_side import Stop
from infra.deployment.storage import empty_buckets
from infra.federation.derive import nodes
from infra.federation.model import Federation
from stacks.operators import ROLES, Role, document, roles_in

ACCOUNT, REGION = "111111111111", "us-east-1"
HERE = f"{REGION}:{ACCOUNT}"
BUCKET = "arn:aws:s3:::eicu-sitestorage-hospital-a-bucket-0123456789ab"
OTHERS_BUCKET = "arn:aws:s3:::hospital-a-billing"
KEY = f"arn:aws:kms:{HERE}:key/01234567-89ab-cdef-0123-456789abcdef"
INSTANCE = f"arn:aws:ec2:{HERE}:instance/i-0123456789abcdef0"
OWN = f"arn:aws:ssm:{HERE}:parameter/federate/eicu/hospital-a"
NODE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/federate-eicu-hospital-a"
FLOW_LOG_ROLE = f"arn:aws:iam::{ACCOUNT}:role/eicu-SiteNetwork-hospital-a-FlowLogRole-0123456789ab"
BY_STACKS = {"aws:CalledVia": ["cloudformation.amazonaws.com"], "aws:RequestedRegion": REGION}
MARKS = {"federate:federation": "eicu", "federate:node": "hospital-a"}


#: The key that was made for the node, as EC2 uses it for a volume.
BY_EC2 = {
    "kms:ViaService": f"ec2.{REGION}.amazonaws.com",
    **{f"aws:ResourceTag/{key}": value for key, value in MARKS.items()},
}


def _left_to_iam(account: str) -> dict[str, Any]:
    """Return AWS's own policy of a key, which leaves its use to the account's policies."""
    root = {"AWS": f"arn:aws:iam::{account}:root"}
    statement = {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _of_instance(prefix: str) -> dict[str, str]:
    return {f"{prefix}/{key}": value for key, value in MARKS.items()}


def _s3(**more: Any) -> dict[str, Any]:
    alias = "alias/federate/eicu/hospital-a"
    return {"kms:ViaService": f"s3.{REGION}.amazonaws.com", "kms:ResourceAliases": [alias], **more}


Case = tuple[Role, str, str, dict[str, Any]]
CAN: list[Case] = [
    (
        "deployer",
        "cloudformation:ExecuteChangeSet",
        f"arn:aws:cloudformation:{HERE}:stack/eicu-SiteNode-hospital-a/x",
        {},
    ),
    ("deployer", "ec2:CreateVpc", f"arn:aws:ec2:{HERE}:vpc/vpc-0123456789abcdef0", BY_STACKS),
    ("deployer", "iam:CreateRole", NODE_ROLE, BY_STACKS),
    ("deployer", "iam:CreateRole", FLOW_LOG_ROLE, BY_STACKS),
    ("deployer", "iam:PassRole", FLOW_LOG_ROLE, {"iam:PassedToService": "vpc-flow-logs.amazonaws.com"}),
    ("deployer", "iam:PassRole", NODE_ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("deployer", "s3:PutBucketPolicy", BUCKET, BY_STACKS),
    ("deployer", "sts:AssumeRole", "arn:aws:iam::333333333333:role/federate-eicu-accept-hospital-a", BY_STACKS),
    ("deployer", "kms:TagResource", KEY, BY_STACKS | {f"aws:RequestTag/{key}": value for key, value in MARKS.items()}),
    ("deployer", "kms:CreateGrant", KEY, BY_EC2),
    ("deployer", "kms:GenerateDataKeyWithoutPlaintext", KEY, BY_EC2),
    # What the command does by itself, and not CloudFormation for it.
    ("deployer", "cloudformation:DescribeStacks", f"arn:aws:cloudformation:{HERE}:stack/billing/x", {}),
    ("deployer", "kms:ListKeys", "*", {}),
    ("deployer", "kms:ListResourceTags", KEY, {}),
    ("deployer", "kms:DescribeKey", KEY, {}),
    ("deployer", "logs:AssociateKmsKey", f"arn:aws:logs:{HERE}:log-group:/federate/eicu/hospital-a", {}),
    ("deployer", "ec2:TerminateInstances", INSTANCE, _of_instance("aws:ResourceTag")),
    ("operator", "ssm:PutParameter", f"{OWN}/desired", {}),
    ("operator", "ssm:PutParameter", f"{OWN}/approved-release", {}),
    ("operator", "ssm:GetParameter", f"{OWN}/state", {}),
    ("operator", "s3:PutObject", f"{BUCKET}/run/manifest.json", {}),
    ("operator", "s3:GetObject", f"{BUCKET}/results/1/metrics.json", {}),
    ("operator", "s3:ListBucket", BUCKET, {"s3:prefix": "results/"}),
    ("operator", "kms:GenerateDataKey", KEY, _s3()),
    ("operator", "logs:FilterLogEvents", f"arn:aws:logs:{HERE}:log-group:/federate/eicu/hospital-a", {}),
    ("steward", "s3:PutObject", f"{BUCKET}/data/a.csv.gz", {}),
    ("steward", "s3:PutObjectTagging", f"{BUCKET}/data/a.csv.gz", {}),
    ("steward", "s3:GetObjectTagging", f"{BUCKET}/data/a.csv.gz", {}),
    ("steward", "s3:ListBucket", BUCKET, {"s3:prefix": "data/"}),
    ("shell", "ssm:SendCommand", INSTANCE, _of_instance("ssm:resourceTag")),
]
CANNOT: list[Case] = [
    ("deployer", "ec2:CreateVpc", f"arn:aws:ec2:{HERE}:vpc/vpc-0123456789abcdef0", {"aws:RequestedRegion": REGION}),
    ("deployer", "ec2:RunInstances", INSTANCE, BY_STACKS | {"aws:RequestedRegion": "eu-central-1"}),
    ("deployer", "cloudformation:DeleteStack", f"arn:aws:cloudformation:{HERE}:stack/billing/x", {}),
    ("deployer", "iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/admin", BY_STACKS),
    ("deployer", "iam:CreateRole", NODE_ROLE, {}),
    # Of others that begin like the federation's own.
    ("deployer", "cloudformation:DeleteStack", f"arn:aws:cloudformation:{HERE}:stack/eicu-billing/x", {}),
    ("deployer", "iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/eicu-admin", BY_STACKS),
    ("deployer", "iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/federate-eicu-hospital-ab", BY_STACKS),
    (
        "deployer",
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/eicu-admin",
        {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
    ("deployer", "iam:AttachRolePolicy", NODE_ROLE, BY_STACKS),
    ("deployer", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("deployer", "iam:PassRole", NODE_ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}),
    ("deployer", "s3:GetObject", f"{BUCKET}/data/a.csv.gz", {}),
    ("deployer", "s3:DeleteObject", f"{BUCKET}/data/a.csv.gz", {}),
    ("deployer", "s3:DeleteBucket", OTHERS_BUCKET, BY_STACKS),
    ("deployer", "kms:Decrypt", KEY, _s3()),
    ("deployer", "kms:Decrypt", KEY, BY_EC2 | {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}),
    ("deployer", "kms:CreateGrant", KEY, {}),
    ("deployer", "kms:TagResource", KEY, BY_STACKS),
    ("deployer", "logs:AssociateKmsKey", f"arn:aws:logs:{HERE}:log-group:/payroll", {}),
    ("deployer", "ec2:TerminateInstances", INSTANCE, {}),
    ("deployer", "kms:ScheduleKeyDeletion", KEY, BY_STACKS),
    ("deployer", "ssm:GetParameter", f"{OWN}/state", {}),
    ("deployer", "ssm:SendCommand", INSTANCE, _of_instance("ssm:resourceTag")),
    ("deployer", "sts:AssumeRole", "arn:aws:iam::333333333333:role/federate-eicu-accept-hospital-b", BY_STACKS),
    ("operator", "s3:GetObject", f"{BUCKET}/data/a.csv.gz", {}),
    ("operator", "s3:PutObject", f"{BUCKET}/data/a.csv.gz", {}),
    # A pattern's * reaches over /: the bucket's own name is not known before it is made.
    ("operator", "s3:GetObject", f"{BUCKET}/data/results/a.csv.gz", {}),
    ("operator", "s3:PutObject", f"{BUCKET}/data/run/a.csv.gz", {}),
    ("operator", "s3:PutObject", f"{BUCKET}/data/2026/releases/a.csv.gz", {}),
    ("operator", "s3:ListBucket", BUCKET, {"s3:prefix": "data/"}),
    ("operator", "s3:ListBucket", BUCKET, {}),
    ("operator", "s3:GetObject", f"{OTHERS_BUCKET}/results/1", {}),
    ("operator", "s3:DeleteObject", f"{BUCKET}/results/1", {}),
    ("operator", "kms:Decrypt", KEY, {}),
    ("operator", "kms:Decrypt", KEY, _s3(**{"kms:ViaService": f"ec2.{REGION}.amazonaws.com"})),
    ("operator", "kms:Decrypt", KEY, _s3(**{"kms:ResourceAliases": ["alias/billing"]})),
    ("operator", "kms:PutKeyPolicy", KEY, {}),
    ("operator", "ssm:PutParameter", f"{OWN}/state", {}),
    ("operator", "ssm:PutParameter", f"{OWN}/ssh-host-keys", {}),
    ("operator", "ssm:GetParameter", f"arn:aws:ssm:{HERE}:parameter/payroll/password", {}),
    ("operator", "ssm:SendCommand", INSTANCE, _of_instance("ssm:resourceTag")),
    ("operator", "ec2:TerminateInstances", INSTANCE, {}),
    ("operator", "iam:PassRole", NODE_ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("steward", "s3:GetObject", f"{BUCKET}/data/a.csv.gz", {}),
    ("steward", "s3:GetObject", f"{BUCKET}/results/1/metrics.json", {}),
    ("steward", "s3:PutObject", f"{BUCKET}/results/data/metrics.json", {}),
    ("steward", "s3:DeleteObject", f"{BUCKET}/results/1/data/metrics.json", {}),
    ("steward", "s3:PutObject", f"{BUCKET}/releases/0f.zip", {}),
    ("steward", "ssm:PutParameter", f"{OWN}/approved-release", {}),
    ("steward", "ssm:SendCommand", INSTANCE, _of_instance("ssm:resourceTag")),
    ("shell", "ssm:SendCommand", INSTANCE, {}),
    ("shell", "ssm:SendCommand", f"arn:aws:ssm:{HERE}:document/another", {}),
    ("shell", "ssm:PutParameter", f"{OWN}/approved-release", {}),
]


def _name(case: Case) -> str:
    role, action, resource, context = case
    given = " ".join(f"{key}={value}" for key, value in context.items())
    return f"{role} {action} {resource} {given}".strip()


@pytest.fixture(scope="module")
def federation() -> Federation:
    return Federation.model_validate(example())


@pytest.fixture(scope="module")
def answers(federation: Federation) -> dict[str, str]:
    """Answers by case, and to each denied case once one statement more allows it."""
    site = nodes(federation)[1]
    questions = {}
    for case in (*CAN, *CANNOT):
        role, action, resource, context = case
        owner = (resource.split(":")[4] if resource != "*" else "") or ACCOUNT
        trusts = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
        of_resource = _left_to_iam(ACCOUNT) if action.startswith("kms:") else None
        if action == "sts:AssumeRole":
            of_resource = {"Version": "2012-10-17", "Statement": [trusts]}
        questions[_name(case)] = Question(
            principal=f"arn:aws:iam::{ACCOUNT}:role/people/{role}",
            action=action,
            resource=resource,
            owner=owner,
            context=context,
            identity=(document(federation, site, role),),
            resource_policy=of_resource,
        )
    assert len(questions) == len(CAN) + len(CANNOT)
    questions |= {f"{_name(case)}, once allowed": questions[_name(case)].widened() for case in CANNOT}
    return dict(zip(questions, ask(list(questions.values())), strict=True))


@pytest.mark.parametrize("case", CAN, ids=_name)
def test_a_role_of_people_can(answers: dict[str, str], case: Case) -> None:
    assert answers[_name(case)] == "Allowed"


@pytest.mark.parametrize("case", CANNOT, ids=_name)
def test_a_role_of_people_cannot_and_could_if_one_statement_allowed_it(answers: dict[str, str], case: Case) -> None:
    assert answers[_name(case)] in ("ImplicitlyDenied", "ExplicitlyDenied")
    assert answers[f"{_name(case)}, once allowed"] == "Allowed"


def test_a_deployer_cannot_make_a_role_without_the_accounts_boundary() -> None:
    data = example()
    data["participants"][0]["permissions_boundary"] = "boundary"
    federation = Federation.model_validate(data)
    bounded = {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/boundary"}
    questions = [
        Question(
            principal=f"arn:aws:iam::{ACCOUNT}:role/people/deployer",
            action=action,
            resource=NODE_ROLE,
            owner=ACCOUNT,
            context=BY_STACKS | context,
            identity=(document(federation, nodes(federation)[1], "deployer"),),
        )
        for action in ("iam:CreateRole", "iam:PutRolePolicy")
        for context in (bounded, {})
    ]
    assert ask(questions) == ["Allowed", "ImplicitlyDenied"] * 2


def test_a_key_that_the_account_names_is_used_by_its_id_and_neither_made_nor_changed() -> None:
    data = example()
    data["participants"][0]["kms_key"] = KEY
    federation = Federation.model_validate(data)
    by_s3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    cases: list[tuple[Role, str, dict[str, Any], str, str]] = [
        ("steward", KEY, by_s3, "kms:GenerateDataKey", "Allowed"),
        ("operator", KEY, by_s3, "kms:Decrypt", "Allowed"),
        ("operator", KEY, {}, "kms:Decrypt", "ImplicitlyDenied"),
        ("operator", f"{KEY[:-1]}0", by_s3, "kms:Decrypt", "ImplicitlyDenied"),
        ("deployer", KEY, {"kms:ViaService": f"ec2.{REGION}.amazonaws.com"}, "kms:CreateGrant", "Allowed"),
        ("deployer", KEY, BY_STACKS, "kms:PutKeyPolicy", "ImplicitlyDenied"),
        ("deployer", KEY, BY_STACKS, "kms:ScheduleKeyDeletion", "ImplicitlyDenied"),
    ]
    questions = [
        Question(
            principal=f"arn:aws:iam::{ACCOUNT}:role/people/{role}",
            action=action,
            resource=key,
            owner=ACCOUNT,
            context=context,
            identity=(document(federation, nodes(federation)[1], role),),
            resource_policy=_left_to_iam(ACCOUNT),
        )
        for role, key, context, action, _ in cases
    ]
    assert ask(questions) == [expected for *_, expected in cases]


def test_only_where_the_file_says_so_may_a_deployer_delete_data() -> None:
    for on_destroy, expected in (("retain", "ImplicitlyDenied"), ("delete", "Allowed")):
        data = example()
        data["participants"][0]["on_destroy"] = on_destroy
        federation = Federation.model_validate(data)
        question = Question(
            principal=f"arn:aws:iam::{ACCOUNT}:role/people/deployer",
            action="s3:DeleteObjectVersion",
            resource=f"{BUCKET}/data/a.csv.gz",
            owner=ACCOUNT,
            identity=(document(federation, nodes(federation)[1], "deployer"),),
        )
        assert ask([question]) == [expected]


def test_a_shell_is_opened_to_this_node_as_the_one_user_on_the_one_port(federation: Federation) -> None:
    # Read as they stand: the simulator knows neither the key ec2:osuser nor the resource of OpenTunnel.
    statements = {s["Sid"]: s for s in document(federation, nodes(federation)[1], "shell")["Statement"]}
    marks = {f"aws:ResourceTag/{key}": value for key, value in MARKS.items()}
    assert statements["ShowAKey"]["Condition"] == {"StringEquals": {"ec2:osuser": "federate-operator", **marks}}
    assert statements["OpenATunnel"]["Condition"] == {
        "NumericEquals": {"ec2-instance-connect:remotePort": "22"},
        "StringEquals": marks,
    }


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("made", [example, mixed, existing], ids=lambda made: made.__name__)
def test_a_document_fits_into_a_policy(made: Callable[[], dict[str, Any]], role: Role) -> None:
    federation = Federation.model_validate(made())
    # IAM's limits: 6,144 characters a managed policy, 10,240 for all inline policies of a role.
    most = 10_240 if role in ("deployer", "builder") else 6_144
    for node in [each for each in nodes(federation) if role in roles_in(each)]:
        assert len(json.dumps(document(federation, node, role), separators=(",", ":"))) < most


#: What IAM calls an operation whose name is another.
ACTIONS = {
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketOwnershipControls": "s3:PutBucketOwnershipControls",
    "s3:DeleteBucketTagging": "s3:PutBucketTagging",
    "kms:ListAliases": "kms:ListAliases",
}
#: What the emulator's CloudFormation asks and AWS's does not ask of the caller, each with the reason.
NOT_ASKED_OF_PEOPLE = {
    "cloudwatch:ListDashboards": "how the emulator looks for a dashboard of the name",
    "cloudwatch:SetAlarmState": "how the emulator gives a new alarm its first state",
    "ec2:AcceptVpcPeeringConnection": "by the hub's accept role",
    "ec2:ModifyVpcPeeringConnectionOptions": "by the hub's accept role",
}


def test_a_deployer_may_do_all_that_cloudformation_does_for_the_stacks(tmp_path: Path) -> None:
    data = apart(mixed(), "6")
    made = synthesised(data, tmp_path)
    life = Life(made.plan)
    life.create(made.templates)
    life.delete()
    federation = Federation.model_validate(data)
    services = ("ec2", "iam", "kms", "s3", "logs", "sns", "cloudwatch")
    for node in nodes(federation)[:2]:
        called = {f"{service}:{operation}" for key, service, operation in life.called if key.endswith(node.account)}
        assert len(called) > 30
        identity = (document(federation, node, "deployer"),)
        principal = f"arn:aws:iam::{node.account}:role/people/deployer"
        allowed = set(sweep(Sweep(principal, node.account, identity, services)).allowed)
        allowed |= set(sweep(Sweep(principal, node.account, identity, ("kms",), _left_to_iam(node.account))).allowed)
        needed = {ACTIONS.get(each, each) for each in called} - set(NOT_ASKED_OF_PEOPLE)
        assert needed - allowed == set(), node.id


#: What IAM calls a call of the commands' own whose name is another.
BY_ITSELF = {
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:DeleteObjects": "s3:DeleteObjectVersion",
}


class Overheard:
    """The accounts of a federation on loopback AWS; notes what is called, by profile."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.called: set[tuple[str, str]] = set()

    def client(self, service: str, *, profile: str, region: str) -> Any:
        client = self._life.client(service, profile=profile, region=region)
        note = self.called.add
        client.meta.events.register("before-call", lambda model, **_: note((profile, f"{service}:{model.name}")))
        return client


def test_a_deployer_may_do_all_that_deploy_and_destroy_ask_by_themselves(tmp_path: Path) -> None:
    data = apart(mixed(), "5")
    made = synthesised(data, tmp_path)
    life = Life(made.plan)
    life.create(made.templates)
    heard: Any = Overheard(life)
    federation = Federation.model_validate(data)
    storage = next(stack for stack in made.plan.stacks if stack.id == "SiteStorage-hospital-a")
    bucket = Stacks(heard).outputs(storage)["BucketName"]
    life.client("s3", profile=storage.profile, region=storage.region).put_object(
        Bucket=bucket, Key="data/a.csv", Body=b"x"
    )
    follow_keys(federation.name, made.plan.stacks, heard)
    empty_default_groups(made.plan.stacks, heard)
    orphans(made.plan, heard)
    for stack in made.plan.stacks:
        if stack.id.startswith("SiteNode-"):
            Instances(heard).end(stack, Stop(), poll_seconds=0.01)
    empty_buckets(storage, heard)
    audit(made.plan, made.plan.stacks, heard)
    services = ("cloudformation", "cloudwatch", "ec2", "iam", "logs", "s3", "secretsmanager", "sns", "ssm")
    site = nodes(federation)[1]
    called = {BY_ITSELF.get(call, call) for profile, call in heard.called if profile == site.profile}
    assert called > {"kms:ListResourceTags", "s3:DeleteObjectVersion", "ec2:TerminateInstances", "iam:ListRoleTags"}
    whole = document(federation, site, "deployer")
    through_nobody = {**whole, "Statement": [s for s in whole["Statement"] if "CalledVia" not in json.dumps(s)]}
    principal = f"arn:aws:iam::{site.account}:role/people/deployer"
    swept = Sweep(principal, site.account, (through_nobody,), services)
    of_keys = replace(swept, services=("kms",), resource_policy=_left_to_iam(site.account))
    allowed = {*sweep(swept).allowed, *sweep(of_keys).allowed}
    assert called - allowed == set()
