"""A fabric is changed by its difference: what is in both goes on, what is gone leaves nothing behind."""

from __future__ import annotations

import itertools
import json
import resource
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fabric_probe import answers_echo, applied, dropped, listening, opens, outcome, shell
from pictures import FL_PORT, address, change, federation, picture, with_rule
from twin_world import As

from infra.local.twin.network import Fabric, apply, namespaces, plan
from infra.local.twin.network.namespaces import NetworkRefused
from infra.local.twin.network.picture import Rule
from infra.local.twin.network.reachability import compare, measure

HUB, ONE = "aggregator", "hospital-1"

World = Callable[[Callable[[], Any]], Any]


def stream() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection from the first site to the aggregator."""
    with listening(f"eni-{HUB}", address(HUB), FL_PORT) as listener:
        client = namespaces.call(f"eni-{ONE}", socket.create_connection, (address(HUB), FL_PORT), 5)
        server, _ = listener.accept()
    server.settimeout(5)
    return client, server


def test_a_site_joins_and_leaves_while_a_stream_elsewhere_goes_on(world: World) -> None:
    def story() -> dict[str, Any]:
        two, three = plan(picture(2)), plan(picture(3))
        apply(None, two)
        client, server = stream()
        outcome(f"eni-{ONE}", address(HUB), 22)
        before = dropped(f"vpc-{ONE}", f"eni-{ONE}: no egress rule")
        apply(two, three)
        third = opens("eni-hospital-3", f"eni-{HUB}", address(HUB), FL_PORT)
        client.sendall(b"joined")
        heard = [server.recv(100)]
        apply(three, two)
        client.sendall(b"left")
        heard.append(server.recv(100))
        with client, server:
            return {
                "heard": heard,
                "third": third,
                # Nothing of the first site was loaded anew: its counters count on.
                "counters": dropped(f"vpc-{ONE}", f"eni-{ONE}: no egress rule") == before > 0,
                "names": sorted(namespaces.names()),
                "devices": shell("wan", "ip", "-br", "link").count("hospital-3"),
            }

    assert world(story) == {
        "heard": [b"joined", b"left"],
        "third": True,
        "counters": True,
        "names": sorted(namespace.name for namespace in plan(picture(2)).namespaces),
        "devices": 0,
    }


def test_the_same_fabric_again_changes_nothing(world: World) -> None:
    def story() -> bool:
        fabric = applied(picture())
        before = shell(f"vpc-{HUB}", "nft", "-a", "list", "ruleset")
        apply(fabric, plan(picture()))
        return shell(f"vpc-{HUB}", "nft", "-a", "list", "ruleset") == before

    assert world(story) is True


def test_a_rule_that_goes_closes_the_port_to_new_connections_and_keeps_the_stream(world: World) -> None:
    def story() -> tuple[bytes, bool]:
        whole, denied = plan(picture()), plan(picture(), frozenset({f"sgr-admit-{ONE}"}))
        apply(None, whole)
        client, server = stream()
        apply(whole, denied)
        with client, server:
            client.sendall(b"still here")
            return server.recv(100), opens(f"eni-{ONE}", f"eni-{HUB}", address(HUB), FL_PORT)

    assert world(story) == (b"still here", False)


def test_a_fabric_that_was_changed_step_by_step_is_the_one_made_at_once(world: World) -> None:
    def kernel(fabric: Fabric) -> dict[str, list[str]]:
        return {namespace.name: _settings(namespace.name) for namespace in fabric.namespaces}

    # A subnet that leaves its table for the VPC's main one, which leads nowhere; then as it was, with one site less.
    def other_table(table: Any) -> Any:
        return replace(table, subnets=(), is_main=True, routes=table.routes[:1])

    moved = change(picture(3), "route_tables", f"rtb-{ONE}", other_table)
    steps = [plan(picture(2)), plan(moved), plan(picture(3)), plan(picture(2))]

    def by_steps() -> Any:
        apply(None, steps[0])
        for old, new in itertools.pairwise(steps):
            apply(old, new)
        return kernel(steps[-1])

    def at_once() -> Any:
        apply(None, steps[-1])
        return kernel(steps[-1])

    assert world(by_steps) == world(at_once)


def _settings(namespace: str) -> list[str]:
    """Return devices, addresses, routes and policies, without what the kernel finds out about them by and by."""
    devices = json.loads(shell(namespace, "ip", "-j", "addr"))
    lines = [
        f"{device['ifname']} {'UP' in device['flags']} {device.get('master', '')} "
        + " ".join(sorted(f"{found['local']}/{found['prefixlen']}" for found in device["addr_info"]))
        for device in devices
    ]
    for command in (["route", "show", "table", "all"], ["rule"], ["neigh"]):
        lines += [line.replace(" linkdown", "").rstrip() for line in shell(namespace, "ip", *command).splitlines()]
    return sorted(lines)


@pytest.mark.parametrize("who", ["root", "user"])
def test_an_empty_fabric_leaves_no_namespace(world: World, who: As) -> None:
    def story() -> frozenset[str]:
        fabric = applied(picture())
        apply(fabric, Fabric())
        return namespaces.names()

    assert world(story) == frozenset()


def test_the_kernels_words_are_told_when_a_step_is_refused(world: World) -> None:
    def story() -> str:
        fabric = plan(picture())
        router = fabric.namespace(f"vpc-{ONE}")
        broken = replace(router, ways=(*router.ways, replace(router.ways[0], by="dev no-such-device")))
        others = [broken if namespace.name == router.name else namespace for namespace in fabric.namespaces]
        with pytest.raises(NetworkRefused) as refused:
            apply(None, replace(fabric, namespaces=tuple(others)))
        return str(refused.value)

    told = world(story)
    assert f"dev no-such-device table main (in vpc-{ONE})" in told
    assert 'Cannot find device "no-such-device"' in told


def test_rules_that_nft_refuses_change_nothing(world: World) -> None:
    def story() -> tuple[str, bool]:
        fabric = applied(picture())
        hub = fabric.namespace(f"vpc-{HUB}")
        broken = replace(hub, tables=(hub.tables[0], ("groups", "table inet groups { nonsense }\n")))
        others = [broken if namespace.name == hub.name else namespace for namespace in fabric.namespaces]
        with pytest.raises(NetworkRefused) as refused:
            apply(fabric, replace(fabric, namespaces=tuple(others)))
        return str(refused.value), opens(f"eni-{ONE}", f"eni-{HUB}", address(HUB), FL_PORT)

    told, still_open = world(story)
    assert "syntax error" in told
    assert still_open


def test_every_device_answers_at_once_after_it_was_made(world: World) -> None:
    def story() -> float:
        applied(picture())
        with listening(f"eni-{HUB}", address(HUB), FL_PORT):
            began = time.monotonic()
            assert outcome(f"eni-{ONE}", address(HUB), FL_PORT) == "open"
            return time.monotonic() - began

    # The first packet is not lost: one that is comes again after a whole second.
    assert world(story) < 0.5


@pytest.mark.parametrize("who", ["root", "user"])
def test_a_router_forwards_answers_for_everything_and_takes_late_packets_as_their_connections(
    world: World, who: As
) -> None:
    def story() -> list[str]:
        applied(picture())
        router = f"vpc-{ONE}"
        names = ("ipv4/ip_forward", "netfilter/nf_conntrack_tcp_be_liberal", "ipv6/conf/all/disable_ipv6")
        devices = [f"ipv4/conf/{device}/proxy_arp" for device in ("eni-hospital-1", "pcx-hospital-1")]
        files = [Path("/proc/sys/net") / name for name in (*names, *devices)]
        return [namespaces.call(router, file.read_text).strip() for file in files]

    assert world(story) == ["1"] * 5


@pytest.mark.parametrize("port", [8000, 8010])
def test_a_range_of_ports_is_admitted_to_its_ends(world: World, port: int) -> None:
    def story() -> tuple[bool, bool]:
        ports = {"protocol": "tcp", "from_port": 8000, "to_port": 8010}
        found = with_rule(picture(), f"sg-node-{ONE}", "egress", Rule("sgr-out", **ports, cidr="10.0.0.0/16"))
        found = with_rule(found, f"sg-node-{HUB}", "ingress", Rule("sgr-in", **ports, cidr="10.1.0.0/16"))
        applied(found)
        beyond = port + (1 if port == 8010 else -1)
        return tuple(opens(f"eni-{ONE}", f"eni-{HUB}", address(HUB), each) for each in (port, beyond))

    assert world(story) == (True, False)


def test_ping_needs_a_rule_for_icmp(world: World) -> None:
    def tries(*rules: Rule) -> Callable[[], bool]:
        def story() -> bool:
            found = with_rule(picture(), f"sg-node-{ONE}", "egress", *rules)
            applied(with_rule(found, f"sg-node-{HUB}", "ingress", *rules))
            return namespaces.call(f"eni-{ONE}", answers_echo, address(HUB))

        return story

    assert world(tries(Rule("sgr-ping", "icmp", 8, 0, cidr="10.0.0.0/8"))) is True
    assert world(tries(Rule("sgr-other", "icmp", 3, -1, cidr="10.0.0.0/8"))) is False


def test_sixty_four_sites_are_up_and_every_pair_measured_in_time(world: World) -> None:
    def story() -> tuple[float, Any]:
        began = time.monotonic()
        found = picture(64)
        fabric = plan(found)
        apply(None, fabric)
        seconds = time.monotonic() - began
        return seconds, compare(federation(64), measure(fabric, found, [FL_PORT, 22]))

    seconds, report = world(story)
    report.check()
    pairs = {(row.source.node, row.target.node) for row in report.rows if row.target.kind == row.source.kind == "node"}
    assert len(pairs) == 65 * 64
    assert seconds < 10
    assert report.seconds < 20


def test_with_few_open_files_the_same_is_measured_in_several_goes(world: World) -> None:
    def story() -> Any:
        found = picture(3)
        fabric = plan(found)
        apply(None, fabric)
        at_once = measure(fabric, found, [FL_PORT, 22]).measured
        opened = len(list(Path("/proc/self/fd").iterdir()))
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 400, opened + 400))
        return at_once, measure(fabric, found, [FL_PORT, 22]).measured

    at_once, in_goes = world(story)
    assert len(at_once) > 200
    assert at_once == in_goes
