"""What crosses a peering is counted, flow by flow, to the packet."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from small_network import HUB, NODES, PORT, needs_namespaces, run_inside

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("_root")]
SENT, ANSWERED = 1_000_000, 50_000
#: IP and TCP headers with options, for each packet; and no more packets than data of 1 KiB each would need, twice.
HEADER, MOST_PACKETS = 60, 2 * (SENT // 1024)

INSIDE = """
import json, socket, threading
import small_network as net
from infra.local.twin.network import flows, namespaces
links = net.lay_out()
site, other = links["site-a"], links["site-b"]
listener = namespaces.call("eni-hub", socket.create_server, (net.HUB, net.PORT))
def answer():
    while True:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(1 << 16):
                pass
            connection.sendall(bytes({answered}))
threading.Thread(target=answer, daemon=True).start()
def transfer(size):
    with namespaces.call("eni-site-a", socket.create_connection, (net.HUB, net.PORT), 5) as connection:
        connection.sendall(bytes(size))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass
def ping():
    with namespaces.call("eni-site-a", socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as echo:
        echo.settimeout(5)
        for _ in range(2):
            echo.sendto(bytes.fromhex("0800f7ff00000000"), (net.HUB, 0))  # a request, and its check sum
            echo.recv(100)
told = {{}}
told["nobody counts"] = flows.report([site])
flows.start(site)
flows.start(other)
transfer({sent})
told["one"] = flows.report([site, other])
transfer(10)
ping()
told["two"] = flows.report([site, other])
flows.start(site)
told["anew"] = flows.report([site])
flows.MOST_FLOWS = 1
flows.start(site)
with namespaces.call("eni-site-a", socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    for port in range(2000, 2010):
        datagrams.sendto(b"1234", (net.HUB, port))
told["full"] = flows.report([site])
flows.stop(site)
told["stopped"] = flows.report([site])
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def _root() -> None:
    needs_namespaces()


@pytest.fixture(scope="module")
def told(_root: None) -> dict[str, list[dict[str, Any]]]:
    done = run_inside(INSIDE.format(sent=SENT, answered=ANSWERED))
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found


def only(flows: list[dict[str, Any]], direction: str, protocol: str = "tcp") -> dict[str, Any]:
    (found,) = [flow for flow in flows if (flow["direction"], flow["protocol"]) == (direction, protocol)]
    return found


def test_a_known_transfer_is_counted_within_its_headers(told: dict[str, list[dict[str, Any]]]) -> None:
    out, back = only(told["one"], "out"), only(told["one"], "in")
    assert (out["source"], out["destination"], out["port"]) == (NODES["site-a"], HUB, PORT)
    assert (back["source"], back["destination"], back["port"]) == (HUB, NODES["site-a"], PORT)
    assert 0 < out["packets"] < MOST_PACKETS
    assert SENT < out["bytes"] <= SENT + out["packets"] * HEADER
    assert ANSWERED < back["bytes"] <= ANSWERED + back["packets"] * HEADER
    assert (out["peering"], out["between"]) == ("pcx-1", ["site-a", "hub"])


def test_a_second_connection_is_of_the_same_flow_and_a_ping_is_counted_apart(
    told: dict[str, list[dict[str, Any]]],
) -> None:
    grown = only(told["two"], "out")["bytes"] - only(told["one"], "out")["bytes"]
    assert 10 < grown < 10 + 20 * HEADER
    assert only(told["two"], "out", "other")["packets"] == 2
    assert only(told["two"], "in", "other")["packets"] == 2


def test_another_site_s_peering_has_counts_of_its_own(told: dict[str, list[dict[str, Any]]]) -> None:
    assert [flow for flow in told["two"] if flow["peering"] == "pcx-2"] == []


def test_counting_begins_anew_and_ends(told: dict[str, list[dict[str, Any]]]) -> None:
    assert told["nobody counts"] == told["anew"] == told["stopped"] == []


def test_what_finds_no_room_is_counted_without_a_name(told: dict[str, list[dict[str, Any]]]) -> None:
    named, other = only(told["full"], "out", "udp"), only(told["full"], "out", "other")
    assert named["packets"] + other["packets"] == 10
    assert named["packets"] >= 1
    assert other["packets"] >= 8
