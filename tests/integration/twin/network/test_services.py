"""What a router answers, to whom, and on which port: metadata, resolver, endpoints, S3."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fabric_probe import applied, dropped, listening, opens, outcome, shell
from pictures import address, change, picture, with_rule

from infra.local.twin.network import apply, namespaces, plan
from infra.local.twin.network.picture import Picture, Rule

ONE, HUB = "hospital-1", "aggregator"
ROUTER, NODE = f"vpc-{ONE}", f"eni-{ONE}"
METADATA, RESOLVER, VPC_RESOLVER, S3 = "169.254.169.254", "169.254.169.253", "10.1.0.2", "3.5.0.1"

World = Callable[[Callable[[], Any]], Any]


def mute(found: Picture) -> Picture:
    """Return a picture in which the first site's node has no rule at all."""
    return change(found, "groups", f"sg-node-{ONE}", lambda own: replace(own, ingress=(), egress=()))


def test_metadata_and_resolver_answer_a_node_without_any_rule_and_only_on_their_ports(world: World) -> None:
    def story() -> dict[str, bool]:
        applied(mute(picture()))
        tries = [
            (METADATA, 80),
            (METADATA, 443),
            (VPC_RESOLVER, 53),
            (RESOLVER, 53),
            (VPC_RESOLVER, 80),
            (METADATA, 53),
        ]
        return {f"{where}:{port}": opens(NODE, ROUTER, where, port) for where, port in tries}

    assert world(story) == {
        "169.254.169.254:80": True,
        "169.254.169.254:443": False,
        "10.1.0.2:53": True,
        "169.254.169.253:53": True,
        "10.1.0.2:80": False,
        "169.254.169.254:53": False,
    }


def test_the_resolver_answers_udp(world: World) -> None:
    def story() -> bytes:
        applied(mute(picture()))

        def bound(where: str, port: int) -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.settimeout(5)
            made.bind((where, port))
            return made

        with namespaces.call(ROUTER, bound, VPC_RESOLVER, 53) as server, namespaces.call(NODE, bound, "", 0) as client:
            client.sendto(b"question", (VPC_RESOLVER, 53))
            asked, whom = server.recvfrom(100)
            server.sendto(b"answer to " + asked, whom)
            return client.recv(100)

    assert world(story) == b"answer to question"


def test_a_metadata_answer_with_one_hop_left_reaches_the_node_and_goes_no_further(world: World) -> None:
    def story() -> tuple[str, str]:
        applied(picture())
        # A container in the node, behind the node's own bridge.
        namespaces.create(["container"])
        namespaces.ip([f"link add name inner netns {NODE} type veth peer name eth0 netns container"])
        namespaces.sysctl(NODE, [("ipv4/ip_forward", "1")])
        namespaces.ip(["addr add 172.18.0.1/24 dev inner", "link set inner up"], NODE)
        namespaces.ip(
            [
                "link set lo up",
                "addr add 172.18.0.2/24 dev eth0",
                "link set eth0 up",
                "route add default via 172.18.0.1",
            ],
            "container",
        )
        masquerade = "chain out { type nat hook postrouting priority srcnat; oifname eth0 masquerade; }"
        namespaces.nft(NODE, f"table ip nat {{\n{masquerade}\n}}")
        with listening(ROUTER, METADATA, 80) as listener:
            far = outcome("container", METADATA, 80)
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
            return far, outcome("container", METADATA, 80)

    # Negative control first: with the usual number of hops the container is answered.
    assert world(story) == ("open", "silent")


def test_an_endpoint_answers_its_own_node_on_443_and_nobody_over_the_peering(world: World) -> None:
    def story() -> dict[str, bool]:
        found = with_rule(picture(), f"sg-node-{ONE}", "egress", Rule("sgr-x", "-1", -1, -1, cidr="0.0.0.0/0"))
        applied(found)
        return {
            "own": opens(NODE, ROUTER, "10.1.0.250", 443),
            "own, another port": opens(NODE, ROUTER, "10.1.0.250", 80),
            "the hub's": opens(NODE, f"vpc-{HUB}", "10.0.0.250", 443),
            "the hub's resolver": opens(NODE, f"vpc-{HUB}", "10.0.0.2", 53),
        }

    assert world(story) == {"own": True, "own, another port": False, "the hub's": False, "the hub's resolver": False}


def test_as_on_aws_an_endpoint_whose_group_admits_the_peer_answers_over_the_peering(world: World) -> None:
    def story() -> bool:
        found = with_rule(picture(), f"sg-node-{ONE}", "egress", Rule("sgr-x", "-1", -1, -1, cidr="0.0.0.0/0"))
        admit = Rule("sgr-peer", "tcp", 443, 443, group=f"sg-node-{ONE}")
        applied(with_rule(found, f"sg-endpoint-{HUB}", "ingress", admit))
        return opens(NODE, f"vpc-{HUB}", "10.0.0.250", 443)

    assert world(story) is True


def test_s3_answers_while_the_route_table_leads_there_and_the_group_lets_out(world: World) -> None:
    def story() -> list[bool]:
        whole = plan(picture())
        apply(None, whole)
        without_route = plan(picture(), frozenset({(f"rtb-{ONE}", "pl-s3")}))
        without_rule = plan(picture(), frozenset({f"sgr-s3-{ONE}"}))
        tried = [opens(NODE, ROUTER, S3, 443)]
        apply(whole, without_route)
        tried.append(opens(NODE, ROUTER, S3, 443))
        assert dropped(ROUTER, "no route to s3") > 0
        apply(without_route, without_rule)
        tried.append(opens(NODE, ROUTER, S3, 443))
        apply(without_rule, whole)
        return [*tried, opens(NODE, ROUTER, S3, 443)]

    assert world(story) == [True, False, False, True]


def test_a_connect_endpoint_reaches_its_own_node_on_22_and_nothing_else(world: World) -> None:
    def story() -> dict[str, str]:
        applied(picture())
        tried = {}
        for name, space, where, port in (
            ("own node", NODE, address(ONE), 22),
            ("own node, another port", NODE, address(ONE), 8890),
            ("the aggregator", f"eni-{HUB}", address(HUB), 22),
            ("own endpoint", ROUTER, "10.1.0.250", 443),
        ):
            with listening(space, where, port):
                tried[name] = outcome(ROUTER, where, port, own="10.1.0.200")
        with listening(NODE, address(ONE), 22):
            tried["the router itself"] = outcome(ROUTER, address(ONE), 22, own="10.1.0.1")
        return tried

    assert world(story) == {
        "own node": "open",
        "own node, another port": "silent",
        "the aggregator": "silent",
        "own endpoint": "silent",
        "the router itself": "silent",
    }


def test_an_address_of_nobody_is_met_with_silence(world: World) -> None:
    def story() -> tuple[str, str]:
        found = with_rule(picture(), f"sg-node-{ONE}", "egress", Rule("sgr-x", "-1", -1, -1, cidr="0.0.0.0/0"))
        applied(found)
        return outcome(NODE, "198.51.100.1", 443), outcome(NODE, "10.1.0.77", 443)

    assert world(story) == ("silent", "silent")


def test_there_is_no_ipv6(world: World) -> None:
    def story() -> str:
        applied(picture())
        return "".join(shell(name, "ip", "-6", "addr") for name in (ROUTER, NODE, "wan"))

    assert world(story) == ""
