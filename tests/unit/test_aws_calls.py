"""What is tried again and what is not, by how often a request leaves: what answers it is put in botocore's place."""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.endpoint
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from node_bootstrap import aws_calls

CHECKOUT = Path(__file__).parents[2]
#: The emulator and the twin ask their own process; a hospital's script stands alone, with boto3 and none of ours.
_ELSEWHERE = ("infra/local", "infra/handover/site.py")

_XML = "<ErrorResponse><Error><Code>{0}</Code><Message>{1}</Message></Error></ErrorResponse>"


@dataclass
class Answers:
    """What AWS answers, one after the other, the last for good; and how often it was asked."""

    kinds: list[Callable[[AWSRequest], AWSResponse]]
    asked: int = 0
    bodies: list[bytes] = field(default_factory=list)

    def __call__(self, request: AWSRequest, **_: Any) -> AWSResponse:
        self.asked += 1
        self.bodies.append(request.body or b"")
        return self.kinds[min(self.asked, len(self.kinds)) - 1](request)


def says(code: str, status: int = 400, message: str = "no") -> Callable[[AWSRequest], AWSResponse]:
    def answer(request: AWSRequest) -> AWSResponse:
        is_json = b"X-Amz-Target" in {str(name).encode() for name in request.headers}
        body = json.dumps({"__type": code, "message": message}) if is_json else _XML.format(code, message)
        return AWSResponse(request.url, status, {}, _Raw(body.encode()))

    return answer


def breaks(error: Exception) -> Callable[[AWSRequest], AWSResponse]:
    def answer(_: AWSRequest) -> AWSResponse:
        raise error

    return answer


def succeeds(request: AWSRequest) -> AWSResponse:
    return AWSResponse(request.url, 200, {}, _Raw(b"{}"))


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def client(service: str, *kinds: Callable[[AWSRequest], AWSResponse]) -> tuple[Any, Answers]:
    session = boto3.Session("AKIA", "-", region_name="us-east-1")
    made = aws_calls.make(session, service, aws_calls.OPERATOR, endpoint_url="http://127.0.0.1:9")
    answers = Answers(list(kinds))
    made.meta.events.register("before-send", answers)
    return made, answers


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is slept between attempts, in seconds; nobody sleeps."""
    slept: list[float] = []
    monkeypatch.setattr(botocore.endpoint.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize(
    "code",
    [
        "AccessDenied",
        "ValidationError",
        "UnauthorizedOperation",
        "ExpiredToken",
        "InvalidClientTokenId",
        "VcpuLimitExceeded",
    ],
)
def test_what_aws_refuses_is_asked_once(code: str, pauses: list[float]) -> None:
    cloudformation, answers = client("cloudformation", says(code))
    with pytest.raises(ClientError, match=code):
        cloudformation.describe_stacks()
    assert answers.asked == 1
    assert pauses == []


@pytest.mark.parametrize("answer", [says("Throttling"), says("InternalFailure", 500), says("ServiceUnavailable", 503)])
def test_what_may_pass_is_tried_again_with_bounded_growing_pauses_and_then_told(
    answer: Callable[[AWSRequest], AWSResponse], pauses: list[float]
) -> None:
    cloudformation, answers = client("cloudformation", answer)
    with pytest.raises(ClientError, match=r"reached max retries: 3"):
        cloudformation.describe_stacks()
    assert answers.asked == aws_calls.OPERATOR_ATTEMPTS == 4
    assert len(pauses) == 3
    assert all(0 <= pause <= 2**attempt for attempt, pause in enumerate(pauses))


def test_pauses_differ_from_caller_to_caller(pauses: list[float]) -> None:
    for seed in range(2):
        random.seed(seed)
        cloudformation, _ = client("cloudformation", says("Throttling"))
        with pytest.raises(ClientError):
            cloudformation.describe_stacks()
    assert pauses[:3] != pauses[3:]


def test_throttling_that_ends_is_not_noticed(pauses: list[float]) -> None:
    ssm, answers = client("ssm", says("ThrottlingException"), says("ThrottlingException"), succeeds)
    ssm.get_parameters_by_path(Path="/federate/")
    assert answers.asked == 3


def test_a_connection_that_breaks_is_made_anew_for_what_may_be_done_twice(pauses: list[float]) -> None:
    ssm, answers = client("ssm", breaks(ReadTimeoutError(endpoint_url="x")), succeeds)
    ssm.put_parameter(Name="/x", Value="1", Type="String", Overwrite=True)
    assert answers.asked == 2


@pytest.mark.parametrize("answer", [breaks(ReadTimeoutError(endpoint_url="x")), says("InternalServerError", 500)])
def test_a_command_whose_fate_is_unknown_is_not_sent_again(
    answer: Callable[[AWSRequest], AWSResponse], pauses: list[float]
) -> None:
    ssm, answers = client("ssm", answer, succeeds)
    with pytest.raises((ReadTimeoutError, ClientError)):
        ssm.send_command(InstanceIds=["i-1"], DocumentName="AWS-RunShellScript")
    assert answers.asked == 1


def test_negative_control_botocore_alone_sends_such_a_command_again(pauses: list[float]) -> None:
    session = boto3.Session("AKIA", "-", region_name="us-east-1")
    ssm = session.client("ssm", config=aws_calls.OPERATOR, endpoint_url="http://127.0.0.1:9")
    answers = Answers([says("InternalServerError", 500), succeeds])
    ssm.meta.events.register("before-send", answers)
    ssm.send_command(InstanceIds=["i-1"], DocumentName="AWS-RunShellScript")
    assert answers.asked == 2


@pytest.mark.parametrize(
    "answer", [says("ThrottlingException"), breaks(EndpointConnectionError(endpoint_url="http://127.0.0.1:9"))]
)
def test_a_command_that_certainly_never_began_is_sent_again(
    answer: Callable[[AWSRequest], AWSResponse], pauses: list[float]
) -> None:
    ssm, answers = client("ssm", answer, succeeds)
    ssm.send_command(InstanceIds=["i-1"], DocumentName="AWS-RunShellScript")
    assert answers.asked == 2


def test_what_is_made_anew_carries_the_same_token_each_time(pauses: list[float]) -> None:
    secrets, answers = client("secretsmanager", says("InternalServiceError", 500), succeeds)
    secrets.create_secret(Name="x", SecretString="y")
    tokens = {json.loads(body)["ClientRequestToken"] for body in answers.bodies}
    assert (answers.asked, len(tokens)) == (2, 1)


def makes_a_client(text: str) -> bool:
    """Say whether a module makes a client of boto3's by itself."""
    return re.search(r"\bboto3\.(client|resource)\(|[Ss]ession(\([^)]*\))?\.(client|resource)\(", text) is not None


def test_every_client_of_the_operator_and_the_node_is_made_in_one_place() -> None:
    sources = [path for room in ("infra", "node_bootstrap") for path in sorted((CHECKOUT / room).rglob("*.py"))]
    names = [path.relative_to(CHECKOUT).as_posix() for path in sources if makes_a_client(path.read_text("utf-8"))]
    assert [name for name in names if not name.startswith(_ELSEWHERE)] == ["node_bootstrap/aws_calls.py"]


@pytest.mark.parametrize("text", ["boto3.client('s3')", "self._session.client(name)", "boto3.Session(x).client('s3')"])
def test_negative_control_a_client_that_is_made_elsewhere_is_seen(text: str) -> None:
    assert makes_a_client(text)
