"""A router's nft rules: security groups of the interfaces, and what a peering does not carry on.

Security groups are enforced in the router, outside the instance: whatever root does in a node changes nothing. They are
stateful; a packet that begins a flow passes the egress rules of its sender's groups and the ingress rules of its
receiver's, each in the router of its own VPC. What they do not filter, as on AWS: the metadata service and the VPC's
resolver, each on its own port.

The table ``isolation`` stands by itself: below it is a router that would carry packets from one peering to another if
it had the routes. With its chain flushed, a test can see that it is this chain that keeps hospitals apart.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infra.local.twin.network.layout import NOWHERE
from infra.local.twin.network.picture import Group, Interface, Rule, Withheld

ISOLATION, GROUPS = "isolation", "groups"
#: nft takes comments of up to 128 bytes.
_LONGEST_COMMENT = 120
_ANYWHERE = "0.0.0.0/0"
_ESTABLISHED = "ct state established,related accept"
_INVALID = 'ct state invalid counter drop comment "belongs to no connection"'


@dataclass(frozen=True, slots=True)
class PeeringDevice:
    """A router's end of an active peering."""

    device: str
    peering: str
    cidr: str
    """The range of the VPC at the other end."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway endpoint as its clients see it: an address of its prefix list, which the router answers.

    Args:
        address: the address.
        service: for example ``s3``.
        devices: those of the nodes whose route table leads there.
    """

    address: str
    service: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the rules of one router follow from.

    Args:
        cidr: the VPC's range.
        nodes: (device, interface) of the instances.
        managed: interfaces of endpoints, whose addresses are the router's own.
        gateways: gateway endpoints.
        peerings: the active ones.
        groups: the groups of the VPC's account, by id.
        metadata: address of the metadata service.
        resolvers: addresses of the resolver.
        members: addresses that a group's id stands for, as seen from this VPC.
        prefix_lists: ranges of a prefix list, by id.
        withheld: ids of rules that are left out.
    """

    cidr: str
    nodes: tuple[tuple[str, Interface], ...]
    managed: tuple[Interface, ...]
    gateways: tuple[Gateway, ...]
    peerings: tuple[PeeringDevice, ...]
    groups: Mapping[str, Group]
    metadata: str
    resolvers: tuple[str, ...]
    members: Mapping[str, tuple[str, ...]]
    prefix_lists: Mapping[str, tuple[str, ...]]
    withheld: Withheld


def isolation(rules: Rules) -> str:
    """Return the table that holds a peering to its two VPCs: no transit, no edge-to-edge routing."""
    lines = []
    for peering in rules.peerings:
        for field, cidr, why in (("daddr", rules.cidr, "no transit"), ("saddr", peering.cidr, "not the peer's")):
            comment = _comment(f"{peering.peering}: {why}")
            lines.append(f'iifname "{peering.device}" ip {field} != {cidr} counter drop {comment}')
    return _table(ISOLATION, _chain("peerings", "type filter hook prerouting priority raw; policy accept;", lines))


def groups(rules: Rules) -> str:
    """Return the table of the security groups, and of what the router itself answers."""
    chains = [_chain("spoofed", "type filter hook prerouting priority raw; policy accept;", _spoofed(rules))]
    for name, interface in (*rules.nodes, *((interface.id, interface) for interface in rules.managed)):
        chains.append(_chain(f"{name}.out", "", _checks(rules, interface, "egress")))
        chains.append(_chain(f"{name}.in", "", _checks(rules, interface, "ingress")))
    chains.append(_chain("forward", "type filter hook forward priority filter; policy drop;", _forward(rules)))
    chains.append(_chain("input", "type filter hook input priority filter; policy drop;", _input(rules)))
    chains.append(_chain("output", "type filter hook output priority filter; policy drop;", _output(rules)))
    return _table(GROUPS, "\n".join(chains))


def _spoofed(rules: Rules) -> list[str]:
    """Drop what a node sends with an address that is not its own (AWS's source/destination check)."""
    return [
        f'iifname "{device}" ip saddr != {interface.address} counter drop '
        + _comment(f"{interface.id}: not its own address")
        for device, interface in rules.nodes
    ]


def _checks(rules: Rules, interface: Interface, way: str) -> list[str]:
    """Return the rules of an interface's groups for one direction: return from the chain, or be dropped."""
    lines = []
    for name in interface.groups:
        group = rules.groups.get(name)
        for rule in () if group is None else (group.egress if way == "egress" else group.ingress):
            if rule.id in rules.withheld:
                continue
            peer = _peer(rules, rule, "daddr" if way == "egress" else "saddr")
            if peer is not None:
                words = [peer, _protocol(rule), "counter return", _comment(f"{group.id if group else ''} {rule.id}")]
                lines.append(" ".join(word for word in words if word))
    held = ", ".join(interface.groups) or "no group"
    return [*lines, f"counter drop {_comment(f'{interface.id}: no {way} rule of {held}')}"]


def _peer(rules: Rules, rule: Rule, field: str) -> str | None:
    """Return the match of a rule's other side; None where it stands for no address at all."""
    if rule.cidr is not None:
        return "meta nfproto ipv4" if rule.cidr == _ANYWHERE else f"ip {field} {rule.cidr}"
    if rule.group is not None:
        found: Iterable[str] = rules.members.get(rule.group, ())
    else:
        networks = [ipaddress.IPv4Network(cidr) for cidr in rules.prefix_lists.get(rule.prefix_list or "", ())]
        found = [str(network) for network in ipaddress.collapse_addresses(networks)]
    return f"ip {field} {_set(found)}" if found else None


def _protocol(rule: Rule) -> str:
    if rule.protocol == "-1":
        return ""
    if rule.protocol in ("tcp", "udp"):
        every = rule.from_port < 0 or (rule.from_port, rule.to_port) == (0, 65535)
        span = f"{rule.from_port}-{rule.to_port}" if rule.to_port > rule.from_port else str(rule.from_port)
        return f"meta l4proto {rule.protocol}" if every else f"{rule.protocol} dport {span}"
    if rule.protocol == "icmp" and rule.from_port >= 0:
        return f"icmp type {rule.from_port}" + (f" icmp code {rule.to_port}" if rule.to_port >= 0 else "")
    return f"meta l4proto {rule.protocol}"


def _forward(rules: Rules) -> list[str]:
    devices = [device for device, _ in rules.nodes]
    every = _names([*devices, *(peering.device for peering in rules.peerings)])
    return [
        f'oifname "{NOWHERE}" counter drop comment "no route"',
        _ESTABLISHED,
        _INVALID,
        *_jumps("iifname", {_quoted(device): f"{device}.out" for device in devices}),
        *_jumps("oifname", {_quoted(device): f"{device}.in" for device in devices}),
        *([f"iifname {every} oifname {every} accept"] if every else []),
        'counter drop comment "no interface of the VPC"',
    ]


def _input(rules: Rules) -> list[str]:
    devices = [device for device, _ in rules.nodes]
    lines = [_ESTABLISHED, _INVALID]
    if devices:
        nodes, resolver = _names(devices), _set(rules.resolvers)
        lines += [
            f"iifname {nodes} ip daddr {rules.metadata} tcp dport 80 counter accept",
            *(f"iifname {nodes} ip daddr {resolver} {kind} dport 53 counter accept" for kind in ("udp", "tcp")),
            *_jumps("iifname", {_quoted(device): f"{device}.out" for device in devices}),
        ]
    for gateway in rules.gateways:
        if gateway.devices:
            lines.append(f"iifname {_names(gateway.devices)} ip daddr {gateway.address} tcp dport 443 counter accept")
        lines.append(f"ip daddr {gateway.address} counter drop {_comment(f'no route to {gateway.service}')}")
    inner = {interface.address: f"{interface.id}.in" for interface in rules.managed}
    return [
        *lines,
        *_jumps("ip daddr", inner),
        *([f"ip daddr {_set(inner)} counter accept"] if inner else []),
        'counter drop comment "nobody answers there"',
    ]


def _output(rules: Rules) -> list[str]:
    """Let endpoints answer; of what begins here, an endpoint's own flows pass its groups, and nothing else leaves."""
    inner = {interface.address: f"{interface.id}.out" for interface in rules.managed}
    return [
        f'oifname "{NOWHERE}" counter drop comment "no route"',
        _ESTABLISHED,
        *_jumps("ip saddr", inner),
        *_jumps("oifname", {_quoted(device): f"{device}.in" for device, _ in rules.nodes}),
        *([f"ip saddr {_set(inner)} counter accept"] if inner else []),
        'counter drop comment "a router dials nobody"',
    ]


def _jumps(field: str, chains: Mapping[str, str]) -> list[str]:
    return (
        [f"{field} vmap {{ {', '.join(f'{key} : jump {chain}' for key, chain in chains.items())} }}"] if chains else []
    )


def _set(items: Iterable[str]) -> str:
    return f"{{ {', '.join(items)} }}"


def _names(devices: Iterable[str]) -> str:
    quoted = [_quoted(device) for device in devices]
    return _set(quoted) if quoted else ""


def _quoted(device: str) -> str:
    return f'"{device}"'


def _comment(text: str) -> str:
    return f'comment "{text[:_LONGEST_COMMENT]}"'


def _chain(name: str, hook: str, lines: Iterable[str]) -> str:
    head = [hook] if hook else []
    return "\n".join([f"  chain {name} {{", *(f"    {line}" for line in (*head, *lines)), "  }"])


def _table(name: str, chains: str) -> str:
    return f"table inet {name} {{\n{chains}\n}}\n"
