"""What keeps hospitals apart, each with the guard removed: then the way must open, or the test proves nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fabric_probe import (
    applied,
    dropped,
    flush_isolation,
    forge_transit,
    listening,
    opens,
    outcome,
    shell,
)
from pictures import FL_PORT, address, change, picture, with_rule, without_peering
from twin_world import As

from infra.local.twin.network import apply, namespaces, plan
from infra.local.twin.network.fabric import reload
from infra.local.twin.network.picture import Interface, Picture, Rule

HUB, ONE, TWO = "aggregator", "hospital-1", "hospital-2"
ROUTERS = (f"vpc-{HUB}", f"vpc-{ONE}", f"vpc-{TWO}")
ANYTHING = Rule("sgr-anything", "-1", -1, -1, cidr="0.0.0.0/0")

World = Callable[[Callable[[], Any]], Any]


def to_node(source: str, target: str, port: int = FL_PORT) -> bool:
    """Say whether one node of a picture opens a port of another."""
    return opens(f"eni-{source}", f"eni-{target}", address(target), port)


def open_to_each_other(found: Picture) -> Picture:
    """Return a picture whose hospitals' groups let everything out and in."""
    for site in (ONE, TWO):
        found = with_rule(found, f"sg-node-{site}", "egress", replace(ANYTHING, id=f"sgr-out-{site}"))
        found = with_rule(found, f"sg-node-{site}", "ingress", replace(ANYTHING, id=f"sgr-in-{site}"))
    return found


@pytest.mark.parametrize("who", ["root", "user"])
def test_a_hospital_does_not_reach_another_over_the_hub_even_with_routes_and_open_groups(world: World, who: As) -> None:
    def story() -> dict[str, Any]:
        fabric = applied(open_to_each_other(picture()))
        forge_transit(ONE, TWO, address(ONE), address(TWO))
        guarded = to_node(ONE, TWO), to_node(TWO, ONE)
        counted = dropped(f"vpc-{HUB}", f"pcx-{ONE}: no transit")
        # Negative control: the same without the isolation.
        flush_isolation(*ROUTERS)
        flushed = to_node(ONE, TWO), to_node(TWO, ONE)
        for router in ROUTERS:
            reload(fabric.namespace(router))
        again = to_node(ONE, TWO)
        return {"guarded": guarded, "counted": counted > 0, "flushed": flushed, "again": again}

    assert world(story) == {"guarded": (False, False), "counted": True, "flushed": (True, True), "again": False}


def test_with_isolation_flushed_the_groups_alone_still_keep_hospitals_apart(world: World) -> None:
    def story() -> tuple[bool, bool]:
        applied(picture())
        forge_transit(ONE, TWO, address(ONE), address(TWO))
        flush_isolation(*ROUTERS)
        return to_node(ONE, TWO), to_node(TWO, ONE)

    assert world(story) == (False, False)


def test_without_the_return_route_a_site_does_not_reach_the_aggregator(world: World) -> None:
    def story() -> list[bool]:
        whole = plan(picture())
        withheld = plan(picture(), frozenset({(f"rtb-{HUB}", "10.1.0.0/24")}))
        apply(None, whole)
        before = to_node(ONE, HUB)
        apply(whole, withheld)
        without = to_node(ONE, HUB), to_node(TWO, HUB)
        apply(withheld, whole)
        return [before, *without, to_node(ONE, HUB)]

    assert world(story) == [True, False, True, True]


def test_a_rule_that_names_the_wrong_group_admits_nobody(world: World) -> None:
    def story() -> tuple[bool, bool]:
        def wrong(group: Any) -> Any:
            rules = [
                replace(rule, group=f"sg-endpoint-{ONE}") if rule.id == f"sgr-admit-{ONE}" else rule
                for rule in group.ingress
            ]
            return replace(group, ingress=tuple(rules))

        applied(change(picture(), "groups", f"sg-node-{HUB}", wrong))
        return to_node(ONE, HUB), to_node(TWO, HUB)

    assert world(story) == (False, True)


def test_a_denied_rule_closes_what_it_admitted_and_nothing_else(world: World) -> None:
    def story() -> tuple[bool, bool]:
        applied(picture(), frozenset({f"sgr-admit-{ONE}"}))
        return to_node(ONE, HUB), to_node(TWO, HUB)

    assert world(story) == (False, True)


def test_a_node_that_flushes_its_own_rules_and_routes_as_it_likes_reaches_nobody_more(world: World) -> None:
    def story() -> dict[str, Any]:
        applied(picture())
        own = f"eni-{ONE}"
        shell(
            own,
            "nft",
            "add table inet mine; add chain inet mine out { type filter hook output priority 0; policy drop; }",
        )
        shut = to_node(ONE, HUB)
        shell(own, "nft", "flush", "ruleset")
        namespaces.ip([f"route add {cidr} dev eth0" for cidr in ("10.0.0.0/16", "10.2.0.0/16")], own)
        return {
            "shut by itself": not shut,
            "hospital": to_node(ONE, TWO),
            "hub on 22": to_node(ONE, HUB, 22),
            "hub on the FL port": to_node(ONE, HUB),
        }

    assert world(story) == {"shut by itself": True, "hospital": False, "hub on 22": False, "hub on the FL port": True}


def test_what_is_sent_from_an_address_of_somebody_else_is_dropped_and_counted(world: World) -> None:
    def story() -> dict[str, Any]:
        applied(picture())
        own = f"eni-{ONE}"
        namespaces.ip(["addr add 10.1.0.11/32 dev eth0"], own)
        with listening(f"eni-{HUB}", address(HUB), FL_PORT):
            honest = outcome(own, address(HUB), FL_PORT, own=address(ONE))
            before = dropped(f"vpc-{ONE}", f"eni-{ONE}: not its own address")
            spoofed = outcome(own, address(HUB), FL_PORT, own="10.1.0.11")
            counted = dropped(f"vpc-{ONE}", f"eni-{ONE}: not its own address") - before
            # Negative control: without that rule, and with an egress rule that does not care, it would get out.
            namespaces.nft(f"vpc-{ONE}", "flush chain inet groups spoofed")
            outcome(own, address(HUB), FL_PORT, own="10.1.0.11")
            at_hub = dropped(f"vpc-{HUB}", f"eni-{HUB}: no ingress rule")
        return {"honest": honest, "spoofed": spoofed, "counted": counted > 0, "at the hub without the rule": at_hub > 0}

    assert world(story) == {
        "honest": "open",
        "spoofed": "silent",
        "counted": True,
        "at the hub without the rule": True,
    }


def test_replies_flow_back_and_nothing_begins_from_the_other_side(world: World) -> None:
    def story() -> dict[str, Any]:
        applied(picture())

        def connect() -> socket.socket:
            return socket.create_connection((address(HUB), FL_PORT), timeout=5)

        with listening(f"eni-{HUB}", address(HUB), FL_PORT) as listener:
            client = namespaces.call(f"eni-{ONE}", connect)
            server, (peer, port) = listener.accept()
            with client, server:
                client.sendall(b"update")
                asked = server.recv(100)
                server.sendall(b"model")
                answered = client.recv(100)
                # To the very port that the flow comes from: the flow is there, a new one is not let in.
                back = outcome(f"eni-{HUB}", peer, port)
        return {"asked": asked, "answered": answered, "back": back, "hub to site": to_node(HUB, ONE)}

    assert world(story) == {"asked": b"update", "answered": b"model", "back": "silent", "hub to site": False}


def test_a_route_over_a_deleted_peering_is_a_black_hole_and_silent(world: World) -> None:
    def story() -> dict[str, Any]:
        whole = plan(picture())
        gone = plan(without_peering(picture(), f"pcx-{ONE}"))
        apply(None, whole)
        before = to_node(ONE, HUB)
        apply(whole, gone)
        with listening(f"eni-{HUB}", address(HUB), FL_PORT):
            after = outcome(f"eni-{ONE}", address(HUB), FL_PORT)
        counted = dropped(f"vpc-{ONE}", "no route")
        return {"before": before, "after": after, "counted": counted > 0, "other": to_node(TWO, HUB)}

    assert world(story) == {"before": True, "after": "silent", "counted": True, "other": True}


def test_no_edge_to_edge_a_site_does_not_use_the_hubs_s3_endpoint_over_the_peering(world: World) -> None:
    def story() -> dict[str, str]:
        # The site's table has no way to S3, and somebody has routed it over the peering instead.
        applied(picture(), frozenset({(f"rtb-{ONE}", "pl-s3")}))
        s3 = "3.5.0.1"
        namespaces.ip([f"addr del {s3}/32 dev lo"], f"vpc-{ONE}")
        forge_transit(ONE, TWO, address(ONE), s3)
        with listening(f"vpc-{HUB}", s3, 443):
            own = outcome(f"eni-{HUB}", s3, 443)
            return {"the hub's node": own, "the site's": outcome(f"eni-{ONE}", s3, 443)}

    assert world(story) == {"the hub's node": "open", "the site's": "silent"}


def neighbour(found: Picture, *groups: str) -> Picture:
    """Return a picture with a second instance in the first site's subnet."""
    (own,) = [interface for interface in found.interfaces if interface.id == f"eni-{ONE}"]
    second: Interface = replace(own, id="eni-second", address="10.1.0.11", mac="02:00:00:00:01:11", groups=groups)
    return replace(found, interfaces=(*found.interfaces, second))


def test_instances_of_one_subnet_do_not_reach_each_other_without_a_rule_whatever_mask_they_give_themselves(
    world: World,
) -> None:
    def tries(found: Picture) -> Callable[[], tuple[bool, bool]]:
        def story() -> tuple[bool, bool]:
            applied(found)
            routed = opens(f"eni-{ONE}", "eni-second", "10.1.0.11", 8000)
            for name, own in ((f"eni-{ONE}", address(ONE)), ("eni-second", "10.1.0.11")):
                namespaces.ip([f"addr del {own}/32 dev eth0", f"addr add {own}/24 dev eth0"], name)
            return routed, opens(f"eni-{ONE}", "eni-second", "10.1.0.11", 8000)

        return story

    assert world(tries(neighbour(picture(), f"sg-node-{ONE}"))) == (False, False)
    # Negative control: with rules that name the group, both ways open; so it was the groups that closed them.
    each_other = Rule("sgr-each-other", "tcp", 8000, 8000, group=f"sg-node-{ONE}")
    opened = with_rule(picture(), f"sg-node-{ONE}", "ingress", each_other)
    opened = with_rule(opened, f"sg-node-{ONE}", "egress", each_other)
    assert world(tries(neighbour(opened, f"sg-node-{ONE}"))) == (True, True)
