"""What a fabric is, for pictures made by hand; expected texts are written out where they guard isolation."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from pictures import FL_PORT, HUB, REGION, address, change, picture, with_rule, without_peering

from infra.local.twin.network import naming
from infra.local.twin.network.layout import Fabric, Way
from infra.local.twin.network.picture import Picture, PrefixList, Route, Rule, Withheld
from infra.local.twin.network.plan import plan
from node_bootstrap.image import documents

ONE, TWO = "hospital-1", "hospital-2"


def table(fabric: Fabric, vpc: str, name: str) -> str:
    return dict(fabric.namespace(f"vpc-{vpc}").tables)[name]


def chain(fabric: Fabric, vpc: str, name: str) -> list[str]:
    """Return the lines of a chain of the security groups."""
    lines = table(fabric, vpc, "groups").splitlines()
    first = lines.index(f"  chain {name} {{") + 1
    return [line.strip() for line in lines[first : lines.index("  }", first)]]


def way(fabric: Fabric, vpc: str, target: str, route_table: str | None = None) -> str:
    """Return where a router sends a packet, by the longest prefix of a table; the main one if none is named."""
    number = naming.table(route_table) if route_table else "main"
    fitting = [
        found
        for found in fabric.namespace(f"vpc-{vpc}").ways
        if found.table == number and IPv4Address(target) in IPv4Network(found.destination)
    ]
    return max(fitting, key=lambda found: IPv4Network(found.destination).prefixlen).device


def test_the_same_picture_gives_the_same_fabric() -> None:
    assert plan(picture()) == plan(picture())


def test_there_is_a_namespace_for_each_vpc_and_each_node_and_one_for_the_peerings() -> None:
    names = {namespace.name for namespace in plan(picture()).namespaces}
    nodes = (HUB, ONE, TWO)
    assert names == {"wan", *(f"vpc-{node}" for node in nodes), *(f"eni-{node}" for node in nodes)}


def test_nothing_deployed_is_nothing_in_the_kernel() -> None:
    assert plan(Picture()) == Fabric()


def test_devices_have_names_that_the_kernel_takes_and_no_two_in_a_namespace_are_alike() -> None:
    plugs = [(end.namespace, end.device) for cable in plan(picture(64)).cables for end in (cable.left, cable.right)]
    assert max(len(device) for _, device in plugs) <= 15
    assert len(plugs) == len(set(plugs))


def test_ids_of_aws_length_are_told_apart_by_their_last_digits() -> None:
    assert naming.device("eni", "eni-0123456789abcdef0") == "eni-6789abcdef0"
    assert naming.device("pcx", "pcx-0123456789abcdef0") == "pcx-6789abcdef0"


def test_a_peering_is_held_to_its_two_vpcs() -> None:
    one, two = naming.device("pcx", f"pcx-{ONE}"), naming.device("pcx", f"pcx-{TWO}")
    assert table(plan(picture()), HUB, "isolation") == (
        "table inet isolation {\n"
        "  chain peerings {\n"
        "    type filter hook prerouting priority raw; policy accept;\n"
        f'    iifname "{one}" ip daddr != 10.0.0.0/16 counter drop comment "pcx-hospital-1: no transit"\n'
        f'    iifname "{one}" ip saddr != 10.1.0.0/16 counter drop comment "pcx-hospital-1: not the peer\'s"\n'
        f'    iifname "{two}" ip daddr != 10.0.0.0/16 counter drop comment "pcx-hospital-2: no transit"\n'
        f'    iifname "{two}" ip saddr != 10.2.0.0/16 counter drop comment "pcx-hospital-2: not the peer\'s"\n'
        "  }\n"
        "}\n"
    )


def test_a_sites_node_may_send_what_its_group_says_and_receive_from_the_connect_endpoint_alone() -> None:
    fabric = plan(picture())
    device = naming.device("eni", f"eni-{ONE}")
    assert chain(fabric, ONE, f"{device}.out") == [
        "ip daddr { 10.1.0.250, 10.1.0.251, 10.1.0.252, 10.1.0.253 } tcp dport 443 counter return "
        'comment "sg-node-hospital-1 sgr-endpoints-hospital-1"',
        "ip daddr { 3.5.0.0/19, 52.216.0.0/15 } tcp dport 443 counter return "
        'comment "sg-node-hospital-1 sgr-s3-hospital-1"',
        'ip daddr 10.0.0.10/32 tcp dport 8890 counter return comment "sg-node-hospital-1 sgr-fl-hospital-1"',
        'counter drop comment "eni-hospital-1: no egress rule of sg-node-hospital-1"',
    ]
    assert chain(fabric, ONE, f"{device}.in") == [
        'ip saddr { 10.1.0.200 } tcp dport 22 counter return comment "sg-node-hospital-1 sgr-ssh-hospital-1"',
        'counter drop comment "eni-hospital-1: no ingress rule of sg-node-hospital-1"',
    ]


def admitted(found: Picture, withheld: Withheld = frozenset()) -> list[str]:
    """Return the sources that the hub's node admits on the FL port."""
    lines = chain(plan(found, withheld), HUB, f"{naming.device('eni', f'eni-{HUB}')}.in")
    return [line.split("ip saddr ")[1].split(" tcp")[0] for line in lines if f"dport {FL_PORT}" in line]


def test_a_peer_accounts_group_stands_for_its_interfaces_addresses_over_an_active_peering() -> None:
    assert admitted(picture()) == ["{ 10.1.0.10 }", "{ 10.2.0.10 }"]
    assert admitted(without_peering(picture(), f"pcx-{ONE}")) == ["{ 10.2.0.10 }"]


def test_a_group_without_interfaces_admits_nobody() -> None:
    nobody = change(picture(), "interfaces", f"eni-{ONE}", lambda own: replace(own, groups=()))
    assert admitted(nobody) == ["{ 10.2.0.10 }"]


def test_a_withheld_rule_is_left_out() -> None:
    assert admitted(picture(), frozenset({f"sgr-admit-{TWO}"})) == ["{ 10.1.0.10 }"]


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ({"protocol": "-1", "from_port": -1, "to_port": -1}, "ip daddr 10.9.0.0/16 counter"),
        ({"protocol": "tcp", "from_port": 22, "to_port": 22}, "tcp dport 22 counter"),
        ({"protocol": "udp", "from_port": 1000, "to_port": 1010}, "udp dport 1000-1010 counter"),
        ({"protocol": "tcp", "from_port": 0, "to_port": 65535}, "meta l4proto tcp counter"),
        ({"protocol": "icmp", "from_port": -1, "to_port": -1}, "meta l4proto icmp counter"),
        ({"protocol": "icmp", "from_port": 8, "to_port": -1}, "icmp type 8 counter"),
        ({"protocol": "icmp", "from_port": 3, "to_port": 4}, "icmp type 3 icmp code 4 counter"),
        ({"protocol": "50", "from_port": -1, "to_port": -1}, "meta l4proto 50 counter"),
    ],
)
def test_protocols_and_ports_are_matched(rule: dict[str, Any], match: str) -> None:
    found = with_rule(picture(), f"sg-node-{ONE}", "egress", Rule("sgr-x", cidr="10.9.0.0/16", **rule))
    lines = chain(plan(found), ONE, f"{naming.device('eni', f'eni-{ONE}')}.out")
    (line,) = [line for line in lines if "sgr-x" in line]
    assert match in line


def test_a_rule_for_anywhere_is_one_for_every_ipv4_address() -> None:
    rule = Rule("sgr-x", "tcp", 22, 22, cidr="0.0.0.0/0")
    lines = chain(
        plan(with_rule(picture(), f"sg-node-{ONE}", "ingress", rule)), ONE, f"{naming.device('eni', f'eni-{ONE}')}.in"
    )
    assert any(line.startswith("meta nfproto ipv4 tcp dport 22 ") for line in lines)


def test_a_node_sends_with_its_own_address_only() -> None:
    device = naming.device("eni", f"eni-{ONE}")
    assert chain(plan(picture()), ONE, "spoofed")[1:] == [
        f'iifname "{device}" ip saddr != 10.1.0.10 counter drop comment "eni-hospital-1: not its own address"'
    ]


def test_everything_that_is_not_admitted_is_dropped() -> None:
    fabric = plan(picture())
    for hook in ("forward", "input", "output"):
        lines = chain(fabric, ONE, hook)
        assert lines[0] == f"type filter hook {hook} priority filter; policy drop;"
        assert lines[-1].startswith("counter drop")


def test_what_a_node_sends_is_routed_by_its_subnets_table() -> None:
    fabric = plan(picture())
    pcx, nodes = naming.device("pcx", f"pcx-{ONE}"), naming.device("eni", f"eni-{ONE}")
    where = {
        target: way(fabric, ONE, target, f"rtb-{ONE}") for target in ("10.0.0.10", "10.1.0.10", "10.1.0.77", "8.8.8.8")
    }
    assert where == {"10.0.0.10": pcx, "10.1.0.10": nodes, "10.1.0.77": "nowhere", "8.8.8.8": "nowhere"}
    assert f"iif {nodes} lookup {naming.table(f'rtb-{ONE}')} priority 1000" in fabric.namespace(f"vpc-{ONE}").selectors


def test_what_comes_in_by_a_peering_is_delivered_inside_the_vpc_only() -> None:
    fabric = plan(picture())
    hub = fabric.namespace(f"vpc-{HUB}")
    assert not any("iif pcx" in selector for selector in hub.selectors)
    assert way(fabric, HUB, address(HUB)) == naming.device("eni", f"eni-{HUB}")
    assert {way(fabric, HUB, address(site)) for site in (ONE, TWO)} == {"nowhere"}


def test_a_subnet_without_an_association_uses_the_vpcs_main_table() -> None:
    def main(own: Any) -> Any:
        return replace(own, subnets=(), is_main=True)

    fabric = plan(change(picture(), "route_tables", f"rtb-{ONE}", main))
    assert way(fabric, ONE, "10.0.0.10", f"rtb-{ONE}") == naming.device("pcx", f"pcx-{ONE}")


def test_the_longest_prefix_decides_and_the_way_inside_the_vpc_stays() -> None:
    def wide(own: Any) -> Any:
        pcx = f"pcx-{TWO}"
        return replace(own, routes=(*own.routes, Route("10.0.0.0/8", pcx), Route("10.1.0.128/25", f"pcx-{ONE}")))

    fabric = plan(change(picture(), "route_tables", f"rtb-{HUB}", wide))
    one, two = (naming.device("pcx", f"pcx-{site}") for site in (ONE, TWO))
    where = {
        target: way(fabric, HUB, target, f"rtb-{HUB}")
        for target in ("10.1.0.10", "10.1.0.200", "10.1.1.1", "10.99.0.1", "10.0.5.5")
    }
    assert where == {"10.1.0.10": one, "10.1.0.200": one, "10.1.1.1": two, "10.99.0.1": two, "10.0.5.5": "nowhere"}


def test_a_prefix_list_routed_over_a_peering_is_a_route_for_each_of_its_ranges() -> None:
    listed = replace(
        picture(), prefix_lists=(*picture().prefix_lists, PrefixList("pl-x", "x", ("10.8.0.0/16", "10.9.0.0/16")))
    )
    routed = change(
        listed,
        "route_tables",
        f"rtb-{ONE}",
        lambda own: replace(own, routes=(*own.routes, Route("pl-x", f"pcx-{ONE}"))),
    )
    where = {way(plan(routed), ONE, target, f"rtb-{ONE}") for target in ("10.8.0.1", "10.9.0.1")}
    assert where == {naming.device("pcx", f"pcx-{ONE}")}


def test_a_route_over_a_deleted_peering_leads_nowhere_and_the_link_is_gone() -> None:
    fabric = plan(without_peering(picture(), f"pcx-{ONE}"))
    assert way(fabric, HUB, "10.1.0.10", f"rtb-{HUB}") == "nowhere"
    assert [link.peering for link in fabric.links] == [f"pcx-{TWO}"]


def test_a_withheld_route_falls_back_to_what_is_left() -> None:
    fabric = plan(picture(), frozenset({(f"rtb-{HUB}", "10.1.0.0/24")}))
    assert way(fabric, HUB, "10.1.0.10", f"rtb-{HUB}") == "nowhere"
    assert way(fabric, HUB, "10.2.0.10", f"rtb-{HUB}") == naming.device("pcx", f"pcx-{TWO}")


def test_the_routers_of_two_vpcs_that_are_not_peered_have_nothing_in_common() -> None:
    fabric = plan(picture())
    ends = {frozenset((cable.left.namespace, cable.right.namespace)) for cable in fabric.cables}
    assert frozenset({f"vpc-{ONE}", f"vpc-{TWO}"}) not in ends
    assert {link.routers for link in fabric.links} == {(f"vpc-{ONE}", f"vpc-{HUB}"), (f"vpc-{TWO}", f"vpc-{HUB}")}


def test_a_router_says_where_its_services_listen() -> None:
    (router,) = [router for router in plan(picture()).routers if router.vpc == f"vpc-{ONE}"]
    place = (REGION, "111000000001")
    assert (router.metadata_address, router.resolver_addresses) == ("169.254.169.254", ("10.1.0.2", "169.254.169.253"))
    assert set(router.endpoints) == {
        ("10.1.0.250", "ssm", *place),
        ("10.1.0.251", "ssmmessages", *place),
        ("10.1.0.252", "logs", *place),
        ("10.1.0.253", "secretsmanager", *place),
        ("3.5.0.1", "s3", *place),
    }
    listening = {at for device, at in plan(picture()).namespace(f"vpc-{ONE}").addresses if device == "lo"}
    assert {f"{at}/32" for at, *_ in router.endpoints} <= listening


def test_a_port_says_where_an_interface_is() -> None:
    fabric = plan(picture())
    node, connect = fabric.port(f"eni-{ONE}"), fabric.port(f"eni-connect-{ONE}")
    assert (node.namespace, node.router, node.device) == (
        f"eni-{ONE}",
        f"vpc-{ONE}",
        naming.device("eni", f"eni-{ONE}"),
    )
    assert (connect.namespace, connect.device, connect.interface.address) == (f"vpc-{ONE}", "", "10.1.0.200")


def test_a_link_names_its_ends() -> None:
    link = plan(picture()).links[0]
    assert (link.peering, link.namespace, link.sites) == (f"pcx-{ONE}", "wan", (ONE, HUB))
    assert len({link.bridge, link.near, link.far}) == 3


def test_a_node_has_one_way_its_router() -> None:
    own = plan(picture()).namespace(f"eni-{ONE}")
    assert own.addresses == (("eth0", "10.1.0.10/32"),)
    assert own.ways == (Way("0.0.0.0/0", "main", "via 10.1.0.1 dev eth0 onlink"),)


def test_a_nodes_network_has_the_kernels_settings_that_the_machine_image_has() -> None:
    lines = Path(documents.__file__).with_name("federate-sysctl.conf").read_text("utf-8").splitlines()
    settings = [line.split(" = ") for line in lines if line.startswith("net.")]
    assert len(settings) == 1
    for name, value in settings:
        expected = (name.removeprefix("net.").replace(".", "/"), value)
        assert expected in plan(picture()).namespace(f"eni-{ONE}").sysctls
        assert expected not in plan(picture()).namespace(f"vpc-{ONE}").sysctls
