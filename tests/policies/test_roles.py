"""What the roles of a deployed federation can and cannot do: asked of an independent simulator, conditions included.

The policies are read from the accounts of a federation that is deployed on loopback AWS. Each denial has its negative
control: the same question with one statement more that allows it must be answered with Allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from held_policies import Held, HeldRole
from policy_simulator import Question, Sweep, ask, sweep
from policy_table import Tell
from template_life import Life, synthesised
from variants import apart, example

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
SITE, OTHER, HUB = "hospital-a", "hospital-b", "aggregator"
REGION = "us-east-1"
TLS = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
#: The services that a federation has to do with: every action of theirs is asked.
SERVICES = (
    "cloudformation",
    "cloudwatch",
    "ec2",
    "ec2-instance-connect",
    "iam",
    "logs",
    "s3",
    "secretsmanager",
    "sns",
    "ssm",
    "ssmmessages",
    "sts",
)
#: AWS lets everybody ask who they are, whatever a policy says.
ALWAYS = {"sts:GetCallerIdentity"}


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    made = synthesised(apart(example(), "7"), tmp_path_factory.mktemp("held"))
    life = Life(made.plan)
    life.create(made.templates)
    return Held(life)


class Asker:
    """Questions as one of the roles asks them.

    Args:
        held: the deployed federation.
        role: who asks.
    """

    def __init__(self, held: Held, role: HeldRole) -> None:
        self._held = held
        self._role = role

    def __call__(self, action: str, resource: str, *, owner: str = SITE, **given: Any) -> Question:
        return Question(
            principal=self._role.arn,
            action=action,
            resource=resource,
            owner=self._held.account(owner),
            identity=self._role.policies,
            context={
                "aws:PrincipalArn": self._role.arn,
                "aws:PrincipalAccount": self._role.arn.split(":")[4],
                "aws:PrincipalIsAWSService": "false",
                **given.pop("context", {}),
            },
            **given,
        )

    def object(self, action: str, key: str, *, of: str = SITE, **given: Any) -> Question:
        """Ask for an object of a node's bucket, which has a policy of its own."""
        arn = f"arn:aws:s3:::{self._held.bucket(of)}/{key}"
        context = TLS | given.pop("context", {})
        return self(
            f"s3:{action}", arn, owner=of, resource_policy=self._held.bucket_policy(of), context=context, **given
        )

    def key(self, action: str, *, of: str = SITE, **given: Any) -> Question:
        """Ask for a node's key, which has a policy of its own."""
        return self(f"kms:{action}", self._held.key(of), owner=of, resource_policy=self._held.key_policy(of), **given)

    def own(self, action: str, kind: str, name: str, *, of: str = SITE, **given: Any) -> Question:
        """Ask for a resource by its name: ``kind`` is the ARN's service and what precedes the name."""
        service, _, prefix = kind.partition(":")
        account = self._held.account(of)
        return self(action, f"arn:aws:{service}:{REGION}:{account}:{prefix}{name}", owner=of, **given)


Ask = Callable[[Asker], Question]


def site_node(held: Held) -> Asker:
    return Asker(held, held.role(SITE, f"federate-eicu-{SITE}"))


def hub_node(held: Held) -> Asker:
    return Asker(held, held.role(HUB, f"federate-eicu-{HUB}"))


def coordinator(held: Held) -> Asker:
    """The hub's administrator, who may do everything that an account's own policies can give."""
    arn = f"arn:aws:iam::{held.account(HUB)}:role/Administrator"
    return Asker(held, HeldRole(arn, (EVERYTHING,), {}))


def stranger(held: Held) -> Asker:
    """A role of the site's own account that may read every bucket, and is not the node's."""
    arn = f"arn:aws:iam::{held.account(SITE)}:role/Reporting"
    return Asker(held, HeldRole(arn, (EVERYTHING,), {}))


def accept_role(held: Held) -> Asker:
    return Asker(held, held.role(HUB, f"federate-eicu-accept-{SITE}"))


def _instance(held: Held, node: str) -> dict[str, str | list[str]]:
    return {"ec2:SourceInstanceARN": f"arn:aws:ec2:{REGION}:{held.account(node)}:instance/i-0123456789abcdef0"}


def _prefix(prefix: str) -> dict[str, str | list[str]]:
    return TLS | {"s3:prefix": prefix}


def _by_s3() -> dict[str, str | list[str]]:
    return {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}


def _list(held: Held, context: dict[str, str | list[str]]) -> Question:
    return site_node(held)("s3:ListBucket", f"arn:aws:s3:::{held.bucket(SITE)}", context=context)


def _parameter(who: Asker, action: str, name: str, *, node: str = SITE) -> Question:
    return who.own(f"ssm:{action}", "ssm:parameter/federate/eicu/", f"{node}/{name}", of=node)


def _secret(who: Asker, node: str) -> Question:
    return who.own(
        "secretsmanager:GetSecretValue", "secretsmanager:secret:federate/eicu/", f"{node}/key-AbCdEf", of=node
    )


def _log(who: Asker, action: str, node: str, group: str = "") -> Question:
    return who.own(f"logs:{action}", "logs:log-group:/federate/eicu/", f"{node}{group}:log-stream:agent", of=node)


def _role_arn(held: Held, node: str) -> str:
    return held.role(node, f"federate-eicu-{node}").arn


def _accept(held: Held, *, vpc: str | None = None, requester: str | None = None, bare: bool = False) -> Question:
    """Ask to accept a peering: by default the one that the site requests into the hub's VPC."""
    home = f"arn:aws:ec2:{REGION}:{held.account(HUB)}"
    into = vpc or held.resource(HUB, "Network", "Vpc")
    asking = requester or held.account(SITE)
    ends = {
        "ec2:AccepterVpc": f"{home}:vpc/{into}",
        "ec2:RequesterVpc": f"arn:aws:ec2:{REGION}:{asking}:vpc/vpc-0123456789abcdef0",
    }
    connection = f"{home}:vpc-peering-connection/pcx-0123456789abcdef0"
    return accept_role(held)("ec2:AcceptVpcPeeringConnection", connection, owner=HUB, context={} if bare else ends)


def _accept_into(held: Held, vpc: str) -> Question:
    arn = f"arn:aws:ec2:{REGION}:{held.account(HUB)}:vpc/{vpc}"
    return accept_role(held)("ec2:AcceptVpcPeeringConnection", arn, owner=HUB)


def _assume(held: Held, node: str) -> Question:
    """Ask to assume the hub's accept role as an administrator of a site's account."""
    role = held.role(HUB, f"federate-eicu-accept-{SITE}")
    arn = f"arn:aws:iam::{held.account(node)}:role/Administrator"
    admin = Asker(held, HeldRole(arn, (EVERYTHING,), {}))
    return admin("sts:AssumeRole", role.arn, owner=HUB, resource_policy=role.trust)


def _through(held: Held, question: Question, endpoint: str, node: str = SITE) -> Question:
    return replace(question, endpoint=held.endpoint_policy(node, endpoint))


CAN: dict[str, Callable[[Held], Question]] = {
    "a site's node reads its own data": lambda h: site_node(h).object("GetObject", "data/a.csv.gz"),
    "a site's node reads its run files": lambda h: site_node(h).object("GetObject", "run/manifest.json"),
    "a site's node reads its release": lambda h: site_node(h).object("GetObject", "releases/0f.zip"),
    "a site's node writes results": lambda h: site_node(h).object("PutObject", "results/1/metrics.json"),
    "a site's node lists its data": lambda h: _list(h, _prefix("data/")),
    "a site's node reads what its admin approved": lambda h: _parameter(
        site_node(h), "GetParameter", "approved-release"
    ),
    "a site's node publishes its state": lambda h: _parameter(site_node(h), "PutParameter", "state"),
    "a site's node reads its own secrets": lambda h: _secret(site_node(h), SITE),
    "a site's node writes its own log": lambda h: _log(site_node(h), "PutLogEvents", SITE),
    "a site's node decrypts by way of S3": lambda h: site_node(h).key("Decrypt", context=_by_s3()),
    "a site's node is commanded through its instance": lambda h: site_node(h)(
        "ssmmessages:OpenDataChannel", "*", context=_instance(h, SITE)
    ),
    "a site's node reads its data through its endpoint": lambda h: _through(
        h, site_node(h).object("GetObject", "data/a.csv.gz"), "S3Endpoint"
    ),
    "another role of the site, with every right, reads results": lambda h: stranger(h).object(
        "GetObject", "results/1/metrics.json"
    ),
    "another role of the site, with every right, stores data": lambda h: stranger(h).object(
        "PutObject", "data/a.csv.gz"
    ),
    "the hub's node reads its run files": lambda h: hub_node(h).object("GetObject", "run/manifest.json", of=HUB),
    "the accept role accepts the site's peering": lambda h: _accept(h),
    "the accept role accepts into the hub's VPC": lambda h: _accept_into(h, h.resource(HUB, "Network", "Vpc")),
    "the site's account assumes its accept role": lambda h: _assume(h, SITE),
}

CANNOT: dict[str, Callable[[Held], Question]] = {
    "a site's node reads its data by an outdated TLS": lambda h: site_node(h).object(
        "GetObject", "data/a.csv.gz", context={"s3:TlsVersion": "1.1"}
    ),
    "another role of the site, with every right, reads data/": lambda h: stranger(h).object(
        "GetObject", "data/a.csv.gz"
    ),
    "another role of the site, with every right, reads an old version of data/": lambda h: stranger(h).object(
        "GetObjectVersion", "data/a.csv.gz"
    ),
    "another role of the site, with every right, stores under another key": lambda h: stranger(h).object(
        "PutObject",
        "data/a.csv.gz",
        context={
            "s3:x-amz-server-side-encryption": "aws:kms",
            "s3:x-amz-server-side-encryption-aws-kms-key-id": h.key(OTHER),
        },
    ),
    "another role of the site, with every right, stores under S3's own key": lambda h: stranger(h).object(
        "PutObject", "data/a.csv.gz", context={"s3:x-amz-server-side-encryption": "AES256"}
    ),
    "a site's node reads another site's data": lambda h: site_node(h).object("GetObject", "data/a.csv.gz", of=OTHER),
    "a site's node changes its data": lambda h: site_node(h).object("PutObject", "data/a.csv.gz"),
    "a site's node deletes its data": lambda h: site_node(h).object("DeleteObject", "data/a.csv.gz"),
    "a site's node deletes results": lambda h: site_node(h).object("DeleteObject", "results/1/metrics.json"),
    "a site's node changes its run files": lambda h: site_node(h).object("PutObject", "run/manifest.json"),
    "a site's node changes its release": lambda h: site_node(h).object("PutObject", "releases/0f.zip"),
    "a site's node reads its data without TLS": lambda h: site_node(h).object(
        "GetObject", "data/a.csv.gz", context={"aws:SecureTransport": "false"}
    ),
    "a site's node lists all of its bucket": lambda h: _list(h, TLS),
    "a site's node lists results": lambda h: _list(h, _prefix("results/")),
    "a site's node approves a release": lambda h: _parameter(site_node(h), "PutParameter", "approved-release"),
    "a site's node starts itself": lambda h: _parameter(site_node(h), "PutParameter", "desired"),
    "a site's node makes itself a certificate": lambda h: _parameter(site_node(h), "PutParameter", "certificate"),
    "a site's node deletes a parameter": lambda h: _parameter(site_node(h), "DeleteParameter", "state"),
    "a site's node reads another site's parameters": lambda h: _parameter(
        site_node(h), "GetParameter", "state", node=OTHER
    ),
    "a site's node reads the hub's parameters": lambda h: _parameter(site_node(h), "GetParameter", "state", node=HUB),
    "a site's node reads another site's secrets": lambda h: _secret(site_node(h), OTHER),
    "a site's node writes another site's log": lambda h: _log(site_node(h), "PutLogEvents", OTHER),
    "a site's node deletes its own log": lambda h: _log(site_node(h), "DeleteLogStream", SITE),
    "a site's node writes its account's flow log": lambda h: _log(site_node(h), "PutLogEvents", SITE, "/network"),
    "a site's node is commanded through another account's instance": lambda h: site_node(h)(
        "ssmmessages:OpenDataChannel", "*", context=_instance(h, OTHER)
    ),
    "a site's node is commanded through no instance": lambda h: site_node(h)("ssmmessages:OpenDataChannel", "*"),
    "a site's node passes its role": lambda h: site_node(h)("iam:PassRole", _role_arn(h, SITE)),
    "a site's node assumes the accept role": lambda h: site_node(h)(
        "sts:AssumeRole",
        h.role(HUB, f"federate-eicu-accept-{SITE}").arn,
        owner=HUB,
        resource_policy=h.role(HUB, f"federate-eicu-accept-{SITE}").trust,
    ),
    "a site's node decrypts with its key by itself": lambda h: site_node(h).key("Decrypt"),
    "a site's node decrypts with another site's key": lambda h: site_node(h).key("Decrypt", of=OTHER, context=_by_s3()),
    "the hub's node reads a site's data": lambda h: hub_node(h).object("GetObject", "data/a.csv.gz"),
    "the hub's node reads a site's results": lambda h: hub_node(h).object("GetObject", "results/1/metrics.json"),
    "the hub's node reads data/ of its own bucket": lambda h: hub_node(h).object("GetObject", "data/x", of=HUB),
    "the coordinator reads a site's data": lambda h: coordinator(h).object("GetObject", "data/a.csv.gz"),
    "the coordinator lists a site's bucket": lambda h: coordinator(h)(
        "s3:ListBucket",
        f"arn:aws:s3:::{h.bucket(SITE)}",
        resource_policy=h.bucket_policy(SITE),
        context=_prefix("data/"),
    ),
    "the coordinator changes the policy of a site's bucket": lambda h: coordinator(h)(
        "s3:PutBucketPolicy",
        f"arn:aws:s3:::{h.bucket(SITE)}",
        resource_policy=h.bucket_policy(SITE),
        context=TLS,
    ),
    "the coordinator decrypts with a site's key": lambda h: coordinator(h).key("Decrypt", context=_by_s3()),
    "the coordinator reads a site's parameters": lambda h: _parameter(coordinator(h), "GetParameter", "state"),
    "another role of the site reaches S3 through the node's endpoint": lambda h: _through(
        h, stranger(h).object("GetObject", "data/a.csv.gz"), "S3Endpoint"
    ),
    "a node whose role was widened reaches another bucket through its endpoint": lambda h: _through(
        h,
        replace(
            site_node(h).object("PutObject", "x", of=OTHER),
            identity=(EVERYTHING,),
            resource_policy=None,
            owner=h.account(SITE),
        ),
        "S3Endpoint",
    ),
    "a node whose role was widened reads another's parameters through its endpoint": lambda h: _through(
        h,
        replace(_parameter(site_node(h), "GetParameter", "x/y"), identity=(EVERYTHING,), resource=_foreign(h)),
        "SsmEndpoint",
    ),
    "the accept role accepts into another VPC": lambda h: _accept_into(h, "vpc-0fedcba9876543210"),
    "the accept role accepts a peering into another VPC": lambda h: _accept(h, vpc="vpc-0fedcba9876543210"),
    "the accept role accepts another account's peering": lambda h: _accept(h, requester=h.account(OTHER)),
    "the accept role accepts a peering of unknown ends": lambda h: _accept(h, bare=True),
    "another site's account assumes the accept role": lambda h: _assume(h, OTHER),
}


def _foreign(held: Held) -> str:
    return f"arn:aws:ssm:{REGION}:{held.account(SITE)}:parameter/payroll/password"


@pytest.fixture(scope="module")
def answers(held: Held) -> dict[str, str]:
    """The simulator's answers to everything above, and to each denied question once it is widened."""
    questions = {name: make(held) for name, make in (CAN | CANNOT).items()}
    questions |= {f"{name}, once allowed": questions[name].widened() for name in CANNOT}
    return dict(zip(questions, ask(list(questions.values())), strict=True))


@pytest.mark.parametrize("what", CAN)
def test_this_is_possible(answers: dict[str, str], what: str) -> None:
    assert answers[what] == "Allowed"


@pytest.mark.parametrize("what", CANNOT)
def test_this_is_impossible_and_would_not_be_if_one_statement_allowed_it(answers: dict[str, str], what: str) -> None:
    assert answers[what] in ("ImplicitlyDenied", "ExplicitlyDenied")
    assert answers[f"{what}, once allowed"] == "Allowed"


@pytest.mark.parametrize(
    ("who", "role", "actions"),
    [
        (
            "a site's node",
            site_node,
            {
                "s3:ListBucket",
                "s3:GetObject",
                "s3:PutObject",
                "s3:AbortMultipartUpload",
                "ssm:GetParameter",
                "ssm:GetParameters",
                "ssm:GetParametersByPath",
                "ssm:PutParameter",
                "ssm:UpdateInstanceInformation",
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
                "logs:CreateLogStream",
                "logs:PutLogEvents",
                "secretsmanager:GetSecretValue",
            },
        ),
        ("the accept role", accept_role, {"ec2:AcceptVpcPeeringConnection"}),
    ],
)
def test_of_all_actions_of_these_services_a_role_can_do_these_and_no_other(
    held: Held, tell: Tell, who: str, role: Callable[[Held], Asker], actions: set[str]
) -> None:
    asker = role(held)
    swept = sweep(Sweep(asker._role.arn, asker._role.arn.split(":")[4], asker._role.policies, SERVICES))
    assert set(swept.allowed) - ALWAYS == actions
    assert swept.asked > 1_000
    over = f"{who}: {swept.asked} questions"
    tell("iam-simulate", over=over, templates=0, rules=len(SERVICES), findings=0, acknowledged=0)


def test_of_all_that_kms_offers_a_node_can_encrypt_and_decrypt_what_it_stores(held: Held) -> None:
    asker = site_node(held)
    account = held.account(SITE)
    swept = sweep(Sweep(asker._role.arn, account, asker._role.policies, ("kms",), held.key_policy(SITE)))
    assert set(swept.allowed) == {"kms:Decrypt", "kms:GenerateDataKey"}


def test_canary_a_sweep_finds_an_action_that_a_role_should_not_have(held: Held) -> None:
    asker = accept_role(held)
    extra = {
        "Effect": "Allow",
        "Action": "sns:Publish",
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "true"}},
    }
    policies = (*asker._role.policies, {"Version": "2012-10-17", "Statement": [extra]})
    swept = sweep(Sweep(asker._role.arn, held.account(HUB), policies, ("sns", "sts")))
    assert set(swept.allowed) == {"sns:Publish", *ALWAYS}


def test_the_simulator_refuses_a_question_that_makes_no_sense(held: Held) -> None:
    with pytest.raises(AssertionError, match="NoSuchAction"):
        ask([site_node(held)("s3:NoSuchAction", "*")])
