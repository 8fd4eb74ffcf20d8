"""Tunnels: bytes both ways for who may, and a refusal for everybody else before anything is dialled."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator

import pytest
from tunnels import ADDRESS, ENDPOINT, KEY, OTHERS, Node, Tunnels, listening, signed, tunnels
from websockets.exceptions import ConnectionClosed, InvalidStatus

from infra.local.twin.services.signature import AccessKey


class Clock:
    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def running(clock: Clock) -> Iterator[Tunnels]:
    with listening() as listener, tunnels(clock, Node(listener)) as made:
        yield made


def refusal(running: Tunnels, url: str) -> tuple[int, str]:
    """Return status and body of a refusal; nothing may have been dialled."""
    with pytest.raises(InvalidStatus) as refused, running.open(url):
        pass
    response = refused.value.response
    return response.status_code, (response.body or b"").decode()


def test_bytes_go_both_ways_and_the_node_is_dialled_from_its_endpoint(running: Tunnels) -> None:
    sent = os.urandom(300_000)
    with running.open(signed()) as tunnel, running.node.accept() as node:
        assert running.node.dialled == [(ENDPOINT.id, ADDRESS, 22)]
        node.sendall(b"SSH-2.0-node\r\n")
        assert tunnel.recv(5) == b"SSH-2.0-node\r\n"
        tunnel.send(sent)
        received = b""
        while len(received) < len(sent):
            received += node.recv(65_536)
        assert received == sent


def test_the_node_hears_when_the_operator_leaves(running: Tunnels) -> None:
    with running.open(signed()):
        node = running.node.accept()
    with node:
        assert node.recv(1) == b""


def test_the_operator_hears_when_the_node_leaves(running: Tunnels) -> None:
    with running.open(signed()) as tunnel:
        running.node.accept().close()
        with pytest.raises(ConnectionClosed):
            tunnel.recv(5)


def test_a_tunnel_ends_when_its_time_is_up(running: Tunnels) -> None:
    with running.open(signed(maxTunnelDuration="1")) as tunnel, running.node.accept() as node:
        assert node.recv(1) == b""
        with pytest.raises(ConnectionClosed):
            tunnel.recv(5)


def test_text_is_not_carried(running: Tunnels) -> None:
    with running.open(signed()) as tunnel, running.node.accept() as node:
        tunnel.send("hello")
        assert node.recv(1) == b""


@pytest.mark.parametrize(
    ("url", "status", "why"),
    [
        (lambda: signed().replace("10.10.0.10", "10.10.0.11"), 403, "does not match"),
        (lambda: signed(AccessKey(KEY.id, KEY.account, "a guess")), 403, "does not match"),
        (lambda: signed().split("&X-Amz-Algorithm")[0], 403, "not signed"),
        (lambda: signed(OTHERS), 403, "no such endpoint"),
        (lambda: signed(instanceConnectEndpointId="eice-00000000000000002"), 403, "no such endpoint"),
        (lambda: signed(region="us-west-2"), 403, "us-west-2"),
        (lambda: signed(service="ec2"), 403, "signed for ec2"),
        (lambda: signed(host="elsewhere.example"), 403, "not the endpoint's"),
        (lambda: signed(remotePort="8890"), 400, "8890"),
        (lambda: signed(remotePort="ssh"), 400, "remotePort"),
        (lambda: signed(privateIpAddress="10.30.0.10"), 400, "not in the VPC"),
        (lambda: signed(privateIpAddress="127.0.0.1"), 400, "not in the VPC"),
        (lambda: signed(privateIpAddress="node"), 400, "no address"),
        (lambda: signed(maxTunnelDuration="3601"), 400, "maxTunnelDuration"),
        (lambda: signed().replace("/openTunnel", "/"), 404, "nothing but"),
    ],
)
def test_who_may_not_is_refused_and_nothing_is_dialled(running: Tunnels, url: object, status: int, why: str) -> None:
    assert callable(url)
    code, told = refusal(running, url())
    assert (code, why in told) == (status, True), told
    assert running.node.dialled == []


def test_an_expired_request_is_refused(running: Tunnels, clock: Clock) -> None:
    url = signed(expires=60)
    clock.ahead = 62
    assert refusal(running, url)[0] == 403
    clock.ahead = 0
    with running.open(url):
        pass


def test_a_node_that_does_not_answer_is_said_to_be_so(running: Tunnels) -> None:
    running.node.refuses = True
    status, told = refusal(running, signed())
    assert status == 504
    assert "10.10.0.10:22 does not answer" in told


def test_a_request_that_asks_for_no_web_socket_reaches_no_node(running: Tunnels) -> None:
    url = signed().removeprefix(f"https://{ENDPOINT.dns_name}")
    with socket.create_connection(running.address, 5) as plain:
        plain.sendall(f"GET {url} HTTP/1.1\r\nHost: {ENDPOINT.dns_name}\r\n\r\n".encode())
        assert plain.recv(65_536).startswith(b"HTTP/1.1 426 ")
    assert running.node.dialled == []


def test_an_endpoint_carries_twenty_tunnels_and_takes_another_when_one_has_ended(running: Tunnels) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(running.open(signed()))
        assert refusal(running, signed())[0] == 429
    deadline = time.monotonic() + 10
    while True:
        try:
            with running.open(signed()):
                return
        except InvalidStatus:
            assert time.monotonic() < deadline
