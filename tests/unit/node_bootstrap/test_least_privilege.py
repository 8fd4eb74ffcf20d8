"""Every call that the agent makes is allowed by the role that its stack gives it, and the role is asked for real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from fake_cloud import federation
from fake_node import FakeAccount, FakeApplication, facts
from recorded_aws import Call, RecordedAws

from infra.federation.derive import Node, nodes
from infra.identity import Authority
from infra.local.aws.iam_policy import allows
from node_bootstrap import contract
from node_bootstrap.agent import loop as loop_module
from node_bootstrap.agent.account import Account, AccountError
from node_bootstrap.agent.facts import Facts
from node_bootstrap.agent.logs import Shipper
from node_bootstrap.agent.loop import Loop
from stacks.permissions import node_permissions, policy

BUCKET = "arn:aws:s3:::bucket-of-{}"
#: What S3 asks for is not always the operation's name: "Actions defined by Amazon S3", Service Authorization Reference.
S3_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
}


def facts_of(node: Node) -> Facts:
    return facts(
        node=node.id,
        role=node.role,
        bucket=f"bucket-of-{node.id}",
        parameter_prefix=node.parameter_prefix,
        secret_prefix=node.secret_prefix,
        log_group=node.log_group,
    )


def asked(call: Call, node: Node) -> tuple[str, str, dict[str, str]]:
    """Return the IAM action, the resource's ARN and the condition keys that AWS evaluates for a call."""
    given, here = call.given, f"{node.region}:{node.account}"
    action = f"{call.service}:{call.operation}"
    if call.service == "s3":
        action = S3_ACTIONS.get(call.operation, action)
        bucket = f"arn:aws:s3:::{given['Bucket']}"
        if action == "s3:ListBucket":
            return action, bucket, {"s3:prefix": given["Prefix"]}
        return action, f"{bucket}/{given['Key']}", {}
    if call.service == "ssm":
        return action, f"arn:aws:ssm:{here}:parameter{given.get('Path') or given['Name']}", {}
    if call.service == "logs":
        stream = f"{given['logGroupName']}:log-stream:{given['logStreamName']}"
        return action, f"arn:aws:logs:{here}:log-group:{stream}", {}
    raise AssertionError(f"the agent has no business with {call.service}")


def refused(calls: list[Call], node: Node, *, without: str = "") -> set[str]:
    """Return the calls that the node's role does not allow, as ``action on resource``."""
    statements = [
        statement
        for service in node_permissions(node, BUCKET.format(node.id)).values()
        for statement in service
        if statement["Sid"] != without
    ]
    return {
        f"{action} on {resource}"
        for action, resource, context in (asked(call, node) for call in calls)
        if not allows([policy(*statements)], action, resource, context)
    }


NODES = {node.id: node for node in nodes(federation())}


@pytest.fixture(scope="module", params=["hospital-a", "aggregator"])
def node(request: pytest.FixtureRequest) -> Node:
    return NODES[request.param]


@pytest.fixture(scope="module")
def aws(node: Node) -> Iterator[RecordedAws]:
    with pytest.MonkeyPatch.context() as patched:
        made = RecordedAws(FakeAccount(), node.parameter_prefix)
        made.install(patched)
        patched.setattr(loop_module, "Application", FakeApplication)
        yield made


@pytest.fixture(scope="module")
def reached(node: Node, aws: RecordedAws) -> Account:
    return Account(facts_of(node))


@pytest.fixture(scope="module")
def life(node: Node, aws: RecordedAws, reached: Account, tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """The calls of a node's whole life: asks, enrols, fetches, runs, is stopped, uploads and logs."""
    folder, made = tmp_path_factory.mktemp(node.id), aws.account
    authority = Authority.open(folder / "identity", "fed")
    agent = Loop(facts_of(node), reached, folder / "root", folder / "state")
    (folder / "root").mkdir()
    agent.application_log.add(b"a line\n")
    agent.step()
    made.told[contract.AUTHORITY] = authority.pem.decode()
    made.told[contract.CERTIFICATE] = authority.sign(made.told[contract.REQUEST].encode(), node, days=1).decode()
    made.start("too-early")
    agent.step()  # nothing is there yet: what S3 says of that is part of it
    made.give()
    made.start("run")
    agent.step()
    (folder / "state" / "output" / "summary.json").write_text("{}")
    (folder / "state" / "output" / "model.safetensors").write_bytes(b"x" * (9 << 20))  # goes in parts
    made.stop("run")
    aws.fail = {"UploadPart"}
    with pytest.raises(AccountError, match="AccessDenied"):
        agent.step()  # and what was begun is given up
    aws.fail = set()
    agent.step()
    assert made.state["state"] == "stopped"
    Shipper(reached, node.id, agent.application_log).ship()
    return list(aws.calls)


@pytest.fixture
def calls_of(aws: RecordedAws, reached: Account) -> Iterator[Callable[[Callable[[Account], object]], list[Call]]]:
    """Do something with the account and return the calls."""

    def do(what: Callable[[Account], object]) -> list[Call]:
        aws.calls.clear()
        what(reached)
        return aws.calls

    yield do
    aws.fail = set()


def test_the_role_allows_all_that_the_agent_does(life: list[Call], node: Node) -> None:
    assert refused(life, node) == set()
    parts = {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload"}
    assert {f"{call.service}:{call.operation}" for call in life} == {
        *("ssm:GetParametersByPath", "ssm:PutParameter", "logs:CreateLogStream", "logs:PutLogEvents", "s3:GetObject"),
        *(f"s3:{operation}" for operation in ("PutObject", *parts)),
        *(["s3:ListObjectsV2"] if node.role == "client" else []),
    }


@pytest.mark.parametrize(
    "sid",
    [
        *("ListOwnBucket", "ReadWhatTheNodeIsGiven", "WriteResults"),
        *("ReadOwnParameters", "PublishStateAndRequest", "WriteOwnLog"),
    ],
)
def test_negative_control_without_a_statement_the_agent_is_refused(life: list[Call], node: Node, sid: str) -> None:
    is_needed = node.role == "client" or sid != "ListOwnBucket"  # only a site lists its data
    assert bool(refused(life, node, without=sid)) is is_needed


@pytest.mark.parametrize(
    ("does", "what"),
    [
        (lambda account: account.publish("desired", "{}"), "ssm:PutParameter"),
        (lambda account: account.publish("approved-release", "0" * 64), "ssm:PutParameter"),
        (lambda account: account.publish("certificate", ""), "ssm:PutParameter"),
        (lambda account: account.read("results/other/model"), "s3:GetObject"),
        (lambda account: list(account.items("")), "s3:ListBucket"),
        (lambda account: list(account.items("results/")), "s3:ListBucket"),
        (lambda account: account.upload(Path(__file__), "data/patient.csv.gz"), "s3:PutObject"),
        (lambda account: account.upload(Path(__file__), "run/manifest.json"), "s3:PutObject"),
    ],
)
def test_negative_control_what_a_node_has_no_business_with_is_refused(
    calls_of: Callable[..., list[Call]], node: Node, does: Callable[[Account], object], what: str
) -> None:
    assert {refusal.partition(" on ")[0] for refusal in refused(calls_of(does), node)} == {what}


def test_the_aggregator_has_no_business_in_data(calls_of: Callable[..., list[Call]], node: Node) -> None:
    found = refused(calls_of(lambda account: [*account.items("data/"), account.read("data/patient.csv.gz")]), node)
    assert len(found) == (2 if node.role == "aggregator" else 0)


def test_one_nodes_role_opens_nothing_of_anothers(life: list[Call], node: Node) -> None:
    other = NODES["hospital-b"]
    assert len(refused(life, other)) == len({asked(call, other)[:2] for call in life})


def test_a_role_that_may_list_under_prefixes_only_still_finds_out_what_is_missing(
    calls_of: Callable[..., list[Call]], aws: RecordedAws, reached: Account, node: Node
) -> None:
    aws.fail = {"GetObject"}  # what S3 says where the object does not exist
    found: list[bytes | None] = []
    assert refused(calls_of(lambda account: found.append(account.read("run/not-there"))), node) == set()
    assert found == [None]
    aws.account.objects["run/there"] = b""
    with pytest.raises(ClientError, match="AccessDenied"):
        reached.read("run/there")
