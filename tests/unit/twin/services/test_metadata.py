"""The metadata service gives an instance its own data for a token, and nothing without one."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from served import Answer, ask, served, until_closed

from infra.local.twin.services.metadata import Metadata, MetadataService
from infra.local.twin.services.metadata.instance import Announced
from node_bootstrap.agent.notices import Notice, look

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


class Instance:
    """Asks the service as an instance does."""

    def __init__(self, port: int) -> None:
        self.port = port

    def token(self, seconds: str = "21600") -> str:
        return ask(self.port, "PUT", "/latest/api/token", {TTL: seconds}).text

    def get(self, path: str, method: str = "GET") -> Answer:
        return ask(self.port, method, path, {TOKEN: self.token()})

    def meta(self, path: str) -> str:
        return self.get(f"/latest/meta-data/{path}").text


@pytest.fixture
def known() -> dict[str, Metadata | None]:
    """Source address to who asks from there."""
    return {}


@pytest.fixture
def instance(known: dict[str, Metadata], metadata: Callable[..., Metadata], clock: Any) -> Iterator[Instance]:
    known["127.0.0.1"] = metadata()
    with served(MetadataService(known.get, clock=clock).serve) as port:
        yield Instance(port)


def test_a_token_opens_the_metadata(instance: Instance) -> None:
    assert instance.meta("instance-id") == "i-0123456789abcdef0"


def test_without_a_token_nothing_is_told(instance: Instance) -> None:
    assert ask(instance.port, "GET", "/latest/meta-data/instance-id").status == 401


def test_a_wrong_token_is_refused(instance: Instance) -> None:
    for wrong in ("x", "", "AQAAAA==", instance.token()[:-8] + "AAAAAAA="):
        assert ask(instance.port, "GET", "/latest/meta-data/instance-id", {TOKEN: wrong}).status == 401


def test_a_token_is_good_until_it_expires_and_no_longer(instance: Instance, clock: Any) -> None:
    token = instance.token("60")
    clock.now += 59
    assert ask(instance.port, "GET", "/latest/meta-data/instance-id", {TOKEN: token}).status == 200
    clock.now += 1
    assert ask(instance.port, "GET", "/latest/meta-data/instance-id", {TOKEN: token}).status == 401


def test_a_token_of_one_instance_is_none_of_another(instance: Instance, known: Any, metadata: Any) -> None:
    token = instance.token()
    known["127.0.0.1"] = metadata(instance="i-0fffffffffffffff0")
    assert ask(instance.port, "GET", "/latest/meta-data/instance-id", {TOKEN: token}).status == 401


@pytest.mark.parametrize("seconds", ["0", "21601", "-1", "abc", "", "1e3", "9" * 400])
def test_a_lifetime_out_of_range_is_refused(instance: Instance, seconds: str) -> None:
    assert ask(instance.port, "PUT", "/latest/api/token", {TTL: seconds}).status == 400


@pytest.mark.parametrize("seconds", ["1", "21600"])
def test_a_lifetime_within_range_is_repeated(instance: Instance, seconds: str) -> None:
    answer = ask(instance.port, "PUT", "/latest/api/token", {TTL: seconds})
    assert (answer.status, answer.headers[TTL.lower()]) == (200, seconds)


def test_a_token_without_a_lifetime_is_refused(instance: Instance) -> None:
    assert ask(instance.port, "PUT", "/latest/api/token").status == 400


def test_a_token_is_not_given_through_a_proxy(instance: Instance) -> None:
    headers = {TTL: "60", "X-Forwarded-For": "10.0.0.1"}
    assert ask(instance.port, "PUT", "/latest/api/token", headers).status == 403


def test_optional_tokens_let_in_who_has_none_and_refuse_a_wrong_one(instance: Any, known: Any, metadata: Any) -> None:
    known["127.0.0.1"] = metadata(tokens="optional")
    assert ask(instance.port, "GET", "/latest/meta-data/mac").status == 200
    assert ask(instance.port, "GET", "/latest/meta-data/mac", {TOKEN: "x"}).status == 401


def test_a_service_that_is_switched_off_refuses_everything(instance: Instance, known: Any, metadata: Any) -> None:
    known["127.0.0.1"] = metadata(enabled=False)
    assert ask(instance.port, "PUT", "/latest/api/token", {TTL: "60"}).status == 403
    assert ask(instance.port, "GET", "/").status == 403


def test_an_address_of_no_instance_is_told_nothing(instance: Instance, known: Any) -> None:
    known.clear()
    assert ask(instance.port, "PUT", "/latest/api/token", {TTL: "60"}).status == 403


@pytest.mark.parametrize(("method", "path"), [("POST", "/latest/meta-data/mac"), ("GET", "/latest/api/token")])
def test_other_methods_are_refused(instance: Instance, method: str, path: str) -> None:
    assert instance.get(path, method).status == 405


def _may_travel(port: int, at_least: int) -> bool:
    """Ask for a token as from behind so many hops: the kernel drops what arrives with fewer left."""
    ip_minttl = 21
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_IP, ip_minttl, at_least)
        sock.settimeout(0.5)
        sock.sendall(f"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n{TTL}: 60\r\n\r\n".encode())
        try:
            return bool(sock.recv(1000))
        except TimeoutError:
            return False


def test_a_token_travels_no_further_than_the_hop_limit(instance: Instance, known: Any, metadata: Any) -> None:
    assert _may_travel(instance.port, 1)
    assert not _may_travel(instance.port, 2)
    known["127.0.0.1"] = metadata(hop_limit=2)
    assert _may_travel(instance.port, 2)


def test_what_is_no_token_travels_as_far_as_anything(instance: Instance) -> None:
    with socket.create_connection(("127.0.0.1", instance.port)) as sock:
        sock.setsockopt(socket.IPPROTO_IP, 21, 33)
        sock.settimeout(10)
        sock.sendall(b"GET /latest/meta-data/mac HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 401")


def test_directories_are_listed_as_ec2_lists_them(instance: Instance, known: Any, metadata: Any) -> None:
    known["127.0.0.1"] = metadata(public_keys=[("laptop", "ssh-ed25519 AAAA")], block_devices={"root": "/dev/xvda"})
    listed = instance.meta("").splitlines()
    assert {"instance-id", "iam/", "network/", "placement/", "public-keys/", "security-groups"} <= set(listed)
    assert instance.meta("public-keys/") == "0=laptop"
    assert instance.meta("public-keys/0/") == "openssh-key"
    assert instance.meta("public-keys/0/openssh-key") == "ssh-ed25519 AAAA"
    assert instance.meta("network/interfaces/macs/") == "02:00:0a:0a:00:0a/"
    assert instance.meta("iam/") == "info\nsecurity-credentials/"
    assert instance.meta("iam/security-credentials/") == "federate-node"
    assert instance.meta("block-device-mapping/root") == "/dev/xvda"
    assert instance.get("/latest/").text == "dynamic\nmeta-data\nuser-data"
    assert instance.get("/").text.splitlines()[-1] == "latest"


def test_a_slash_at_the_end_does_not_matter(instance: Instance) -> None:
    assert instance.meta("placement/availability-zone/") == "us-east-1a"
    assert instance.meta("iam/security-credentials") == "federate-node"


def test_what_the_instance_does_not_have_is_neither_listed_nor_there(instance: Any, known: Any, metadata: Any) -> None:
    known["127.0.0.1"] = metadata(profile_arn=None, user_data=b"")
    assert not {"iam/", "public-keys/", "block-device-mapping/"} & set(instance.meta("").splitlines())
    assert instance.get("/latest/meta-data/iam/info").status == 404
    assert instance.get("/latest/user-data").status == 404
    assert "user-data" not in instance.get("/latest").text


PATHS = ("spot/instance-action", "events/maintenance/scheduled", "events/recommendations/rebalance")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_announced(instance: Instance, path: str) -> None:
    assert instance.get(f"/latest/meta-data/{path}").status == 404


@pytest.mark.parametrize("kind", ["spot", "maintenance", "rebalance"])
def test_what_is_announced_is_read_by_the_nodes_agent_as_it_was_meant(
    instance: Instance, known: Any, metadata: Any, kind: Any
) -> None:
    given = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
    notice = Announced(kind, given, given + timedelta(minutes=2))
    known["127.0.0.1"] = metadata(announced=lambda: [notice])

    def ask(path: str) -> str | None:
        answer = instance.get(f"/latest/meta-data/{path}")
        return answer.text if answer.status == 200 else None

    assert (
        look(ask, given)
        == {
            "spot": Notice("spot notice: terminate at 2026-11-26T09:02:00Z", True),
            "maintenance": Notice("maintenance notice: system-reboot at 26 Nov 2026 09:02:00 GMT", True),
            "rebalance": Notice("AWS recommends another instance since 2026-11-26T09:00:00Z", False),
        }[kind]
    )
    assert {"spot/", "events/"} & set(instance.meta("").splitlines())


@pytest.mark.parametrize("version", ["1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest"])
def test_every_version_shows_the_same(instance: Instance, version: str) -> None:
    assert instance.get(f"/{version}/meta-data/instance-id").text == "i-0123456789abcdef0"


def test_a_version_that_never_was_is_not_there(instance: Instance) -> None:
    assert instance.get("/2020-01-01/meta-data/instance-id").status == 404


def test_user_data_comes_byte_for_byte(instance: Instance) -> None:
    answer = instance.get("/latest/user-data")
    assert answer.body == b"#!/bin/sh\nexit 0\n\xff"
    assert answer.headers["content-type"] == "application/octet-stream"


def test_the_identity_document_names_instance_and_account(instance: Instance) -> None:
    assert instance.get("/latest/dynamic/instance-identity/").text == "document"
    document = json.loads(instance.get("/latest/dynamic/instance-identity/document").body)
    told = {key: document[key] for key in ("accountId", "instanceId", "region", "privateIp", "imageId")}
    assert told == {
        "accountId": "111111111111",
        "instanceId": "i-0123456789abcdef0",
        "region": "us-east-1",
        "privateIp": "10.10.0.10",
        "imageId": "ami-0fed0000000000001",
    }


def test_keys_of_instance_connect_are_told_for_their_user_only(instance: Instance) -> None:
    keys = "/latest/meta-data/managed-ssh-keys/active-keys"
    assert instance.get(f"{keys}/federate-operator").text == "ssh-ed25519 AAAA one"
    assert instance.get(f"{keys}/federate-operator/", "HEAD").status == 200
    assert instance.get(f"{keys}/root").status == 404


def test_what_is_no_name_of_a_user_is_not_looked_up(instance: Instance, known: Any, metadata: Any) -> None:
    asked: list[str] = []
    known["127.0.0.1"] = metadata(ssh_keys=lambda user: asked.append(user) or ["key"])
    assert instance.get("/latest/meta-data/managed-ssh-keys/active-keys/%2e%2e%2fx").status == 404
    assert asked == []


def test_credentials_are_kept_until_they_end_soon(instance: Instance, clock: Any, role: Any) -> None:
    def key() -> str:
        return json.loads(instance.meta("iam/security-credentials/federate-node"))["AccessKeyId"]

    first = key()
    clock.now += 3600 - 901
    assert key() == first
    clock.now += 2
    assert key() != first
    assert len(role.given) == 2


def test_credentials_carry_their_end_as_ec2_writes_it(instance: Instance) -> None:
    told = json.loads(instance.meta("iam/security-credentials/federate-node"))
    assert (told["Code"], told["Type"], told["Expiration"]) == ("Success", "AWS-HMAC", "2026-05-01T13:00:00Z")


def test_another_role_has_no_credentials_here(instance: Instance) -> None:
    assert instance.get("/latest/meta-data/iam/security-credentials/admin").status == 404


def test_listing_the_roles_asks_nobody_for_credentials(instance: Instance, role: Any) -> None:
    instance.meta("iam/security-credentials/")
    instance.meta("iam/info")
    assert role.given == []


def test_an_account_that_gives_no_credentials_breaks_nothing_else(instance: Any, known: Any, metadata: Any) -> None:
    def refuse() -> Any:
        raise PermissionError("no")

    known["127.0.0.1"] = metadata(credentials=refuse)
    assert instance.get("/latest/meta-data/iam/security-credentials/federate-node").status == 500
    assert instance.meta("mac") == "02:00:0a:0a:00:0a"


def test_a_head_without_end_is_cut_off(instance: Instance) -> None:
    with socket.create_connection(("127.0.0.1", instance.port)) as sock:
        sock.sendall(b"GET /latest HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert until_closed(sock)[:12] in (b"HTTP/1.1 431", b"")
    assert instance.meta("mac")


def test_a_body_without_end_is_cut_off(instance: Instance) -> None:
    answer = ask(instance.port, "PUT", "/latest/api/token", {TTL: "60"}, b"x" * 2000)
    assert answer.status == 413


def test_what_is_not_http_is_answered_and_cut_off(instance: Instance) -> None:
    with socket.create_connection(("127.0.0.1", instance.port)) as sock:
        sock.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert until_closed(sock).startswith(b"HTTP/1.1 400")


def test_one_connection_serves_many_requests(instance: Instance) -> None:
    token = instance.token()
    request = f"GET /latest/meta-data/mac HTTP/1.1\r\nHost: x\r\n{TOKEN}: {token}\r\n"
    with socket.create_connection(("127.0.0.1", instance.port)) as sock:
        sock.sendall(f"{request}\r\n{request}Connection: close\r\n\r\n".encode())
        assert until_closed(sock).count(b"02:00:0a:0a:00:0a") == 2
