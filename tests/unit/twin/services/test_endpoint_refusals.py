"""An endpoint lets through what is signed by its own account for its own service, and nothing of the emulator's own."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_desk import KEYS, OURS, THEIRS, Desk, code, desk, signed
from fake_upstream import fake_upstream

SERVICES = ("ssm", "logs", "secretsmanager", "s3")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with fake_upstream() as upstream:
        yield desk(upstream, tmp_path / "authority")


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_signed_for_the_service_by_its_account_passes(at: Desk, service: str) -> None:
    with at.endpoint(service) as ask:
        answer = ask(headers=signed(service), body=b"{}")
    assert (answer.status, answer.content) == (200, b"fine")
    assert at.upstream.asked[0].body == b"{}"


@pytest.mark.parametrize(("service", "name"), [("ssm", "MissingAuthenticationTokenException"), ("s3", "AccessDenied")])
def test_what_is_not_signed_is_refused(at: Desk, service: str, name: str) -> None:
    with at.endpoint(service) as ask:
        answer = ask(body=b"{}")
    assert (answer.status, code(answer), at.upstream.asked) == (403, name, [])


@pytest.mark.parametrize(("service", "name"), [("ssm", "AccessDeniedException"), ("s3", "AccessDenied")])
def test_a_key_of_another_account_is_refused_and_told_whose(at: Desk, service: str, name: str) -> None:
    with at.endpoint(service) as ask:
        answer = ask(headers=signed(service, "AKIATHEIRS0000000000"), body=b"{}")
    assert (answer.status, code(answer), at.upstream.asked) == (403, name, [])
    for named in (OURS, THEIRS, f"com.amazonaws.us-east-1.{service}"):
        assert named.encode() in answer.content


def test_a_key_that_nobody_knows_is_left_to_the_service_to_refuse(at: Desk) -> None:
    with at.endpoint("ssm") as ask:
        assert ask(headers=signed("ssm", "AKIANOBODY0000000000")).status == 200


@pytest.mark.parametrize(
    ("scope", "service", "name"),
    [
        ({"service": "s3"}, "ssm", "InvalidSignatureException"),
        ({"service": "sts"}, "ssm", "InvalidSignatureException"),
        ({"service": "ssm"}, "s3", "AuthorizationHeaderMalformed"),
        ({"service": "ssm", "region": "us-west-2"}, "ssm", "InvalidSignatureException"),
        ({"service": "s3", "region": "us-west-2"}, "s3", "AuthorizationHeaderMalformed"),
    ],
)
def test_what_is_signed_for_another_service_or_region_is_refused(at: Desk, scope: Any, service: str, name: str) -> None:
    with at.endpoint(service) as ask:
        answer = ask(headers=signed(**scope), body=b"{}")
    assert (answer.status, code(answer), at.upstream.asked) == (400, name, [])


GOOD = signed("ssm")["Authorization"]


@pytest.mark.parametrize(
    "value",
    [
        "Basic YTpi",
        "AWS AKIAOURS000000000000:signature",
        GOOD.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        GOOD.replace(" Credential", " x=1, Credential"),
        f"{GOOD}, Credential=AKIATHEIRS0000000000/20260501/us-east-1/s3/aws4_request",
        GOOD.replace("AKIAOURS000000000000", "../keys"),
        GOOD.replace("aws4_request", "aws4"),
    ],
)
def test_a_signature_that_could_be_read_in_two_ways_is_none(at: Desk, value: str) -> None:
    with at.endpoint("ssm") as ask:
        assert ask(headers={"Authorization": value}).status == 403
    assert at.upstream.asked == []


def test_two_signatures_are_none(at: Desk) -> None:
    ours, theirs = (
        f"{key}/20260501/us-east-1/s3/aws4_request" for key in ("AKIAOURS000000000000", "AKIATHEIRS0000000000")
    )
    with at.endpoint("s3") as ask:
        assert ask("GET", f"/b/k?X-Amz-Credential={ours}", signed("s3", "AKIATHEIRS0000000000")).status == 403
        assert ask("GET", f"/b/k?X-Amz-Credential={ours}&x-amz-credential={theirs}").status == 403
        assert ask("GET", f"/b/k?X-Amz-Credential={ours}&X-Amz-Credential={theirs}").status == 403
    assert at.upstream.asked == []


def test_two_headers_with_a_signature_are_none(at: Desk) -> None:
    lines = [f"Authorization: {signed('s3', key)['Authorization']}" for key in sorted(KEYS)]
    host = "s3.us-east-1.amazonaws.com"
    with at.endpoint("s3") as ask, at.connect(ask.port, host) as sock:
        sock.sendall("\r\n".join(["GET /b/k HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 403")
    assert at.upstream.asked == []


@pytest.mark.parametrize("target", ["http://s3.us-east-1.amazonaws.com/b/k", "b/k", "*", "/b/k#part"])
def test_what_is_asked_for_must_be_a_path(at: Desk, target: str) -> None:
    headers = {**signed("s3"), "Host": "s3.us-east-1.amazonaws.com"}
    with at.endpoint("s3") as ask:
        assert ask("GET", target, headers).status == 400
    assert at.upstream.asked == []


def test_an_address_signed_by_another_account_is_refused_and_one_signed_by_ours_passes(at: Desk) -> None:
    with at.endpoint("s3") as ask:
        for key, status in (("AKIATHEIRS0000000000", 403), ("AKIAOURS000000000000", 200)):
            scope = f"{key}%2F20260501%2Fus-east-1%2Fs3%2Faws4_request"
            assert ask("GET", f"/b/k?X-Amz-Credential={scope}&X-Amz-Signature=00").status == status
    assert len(at.upstream.asked) == 1


@pytest.mark.parametrize("service", ["ssm", "s3"])
@pytest.mark.parametrize(
    "path",
    [
        "/_federate/keys/AKIAOURS000000000000",
        "/_federate/accounts",
        "/_federate",
        "/_federate/ssm/poll",
        "/%5Ffederate/accounts",
        "/%5f%66ederate/accounts",
        "//_federate/accounts",
        "///_federate/accounts",
        "//x/_federate/accounts",
        "http://x/_federate/accounts",
        "http:/_federate/accounts",
        "/moto-api/reset",
        "/moto-api",
        "/moto-apix",
        "/latest/meta-data/iam/security-credentials/",
        "/latest/api/token",
        "/v20180820/configuration",
        "/_federate/accounts#/",
    ],
)
def test_what_the_emulator_keeps_for_itself_is_refused(at: Desk, service: str, path: str) -> None:
    headers = {**signed(service), "Host": f"{service}.us-east-1.amazonaws.com"}
    with at.endpoint(service) as ask:
        assert ask(path=path, headers=headers, body=b"{}").status in (400, 403)
    assert at.upstream.asked == []


@pytest.mark.parametrize("bucket", ["moto-api", "latest", "a/moto-api", "moto-api%2freset", "%5ffederate"])
def test_nor_is_it_reached_by_the_name_of_a_bucket(at: Desk, bucket: str) -> None:
    with at.endpoint("s3") as ask:
        headers = {**signed("s3"), "Host": f"{bucket}.s3.us-east-1.amazonaws.com"}
        assert ask("GET", "/meta-data/x", headers).status in (403, 421)
    assert at.upstream.asked == []


def test_services_that_speak_json_have_one_path_only(at: Desk) -> None:
    with at.endpoint("ssm") as ask:
        assert ask(path="/x", headers=signed("ssm")).status == 403
    assert at.upstream.asked == []


def test_the_agents_own_path_is_open_on_its_endpoint_alone(at: Desk) -> None:
    with at.endpoint("ssmmessages") as ask:
        assert ask(path="/_federate/ssm/poll?instance=i-0a", headers=signed("ssmmessages")).status == 200
        for path in ("/_federate/ssm/../keys/x", "/_federate/ssm/%2e%2e/keys/x", "/_federate/ssmx", "/", "/moto-api/x"):
            assert ask(path=path, headers=signed("ssmmessages")).status == 403
        assert ask(path="/_federate/ssm/poll", headers=signed("ssmmessages", "AKIATHEIRS0000000000")).status == 403
        assert ask(path="/_federate/ssm/poll").status == 403
    assert [request.target for request in at.upstream.asked] == ["/_federate/ssm/poll?instance=i-0a"]


@pytest.mark.parametrize("host", ["s3.us-east-1.amazonaws.com", "ssm.us-west-2.amazonaws.com", "127.0.0.1", "x y"])
def test_a_request_for_another_host_is_refused(at: Desk, host: str) -> None:
    with at.endpoint("ssm") as ask:
        assert ask(headers={**signed("ssm"), "Host": host}).status == 421
    assert at.upstream.asked == []


def test_another_services_name_is_refused_before_anything_is_said(at: Desk) -> None:
    with at.endpoint("ssm") as ask, pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        ask(host="logs.us-east-1.amazonaws.com")


def test_when_nobody_can_say_whose_a_key_is_nothing_passes(at: Desk) -> None:
    def broken(_key: str) -> str | None:
        raise ConnectionRefusedError("gone")

    with at.endpoint("ssm", broken) as ask:
        answer = ask(headers=signed("ssm"))
    assert (answer.status, code(answer), at.upstream.asked) == (503, "ServiceUnavailableException", [])
