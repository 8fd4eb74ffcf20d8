"""Pictures of federations that nobody deployed: as the stacks make them, with ids that can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from infra.federation.model import Aggregator, Federation, Participant
from infra.local.twin.network.picture import (
    Endpoint,
    Group,
    Interface,
    Peering,
    Picture,
    PrefixList,
    Route,
    RouteTable,
    Rule,
    Subnet,
    Vpc,
)

REGION = "us-east-1"
FL_PORT = 8890
SERVICES = ("ssm", "ssmmessages", "logs", "secretsmanager")
S3 = PrefixList("pl-s3", f"com.amazonaws.{REGION}.s3", ("3.5.0.0/19", "52.216.0.0/15"))
HUB = "aggregator"


def federation(sites: int = 2) -> Federation:
    """Return the federation of a picture of so many sites."""
    return Federation(
        name="fed",
        region=REGION,
        aggregator=Aggregator(account=_account(0), profile=HUB, cidr=_cidr(0), port=FL_PORT),
        participants=tuple(
            Participant(id=name, account=_account(number), profile=name, cidr=_cidr(number))
            for number, name in enumerate(site_names(sites), start=1)
        ),
    )


def site_names(sites: int = 2) -> tuple[str, ...]:
    return tuple(f"hospital-{number}" for number in range(1, sites + 1))


def address(node: str) -> str:
    return f"10.{_number(node)}.0.10"


def picture(sites: int = 2) -> Picture:
    """Return the picture of a hub and its sites; ids end in the node's name: ``eni-hospital-1``."""
    parts = [_part(name, sites) for name in (HUB, *site_names(sites))]
    return Picture(
        vpcs=tuple(part["vpc"] for part in parts),
        subnets=tuple(part["subnet"] for part in parts),
        interfaces=tuple(interface for part in parts for interface in part["interfaces"]),
        route_tables=tuple(part["table"] for part in parts),
        peerings=tuple(_peering(name) for name in site_names(sites)),
        groups=tuple(group for part in parts for group in part["groups"]),
        prefix_lists=(S3,),
        endpoints=tuple(endpoint for part in parts for endpoint in part["endpoints"]),
    )


def change(found: Picture, field: str, identifier: str, how: Callable[[Any], Any]) -> Picture:
    """Return a picture in which one value is replaced; None takes it away."""
    values = getattr(found, field)
    assert identifier in {value.id for value in values}
    changed = [how(value) if value.id == identifier else value for value in values]
    return replace(found, **{field: tuple(value for value in changed if value is not None)})


def with_rule(found: Picture, group: str, way: str, *rules: Rule) -> Picture:
    """Return a picture in which a group has further rules."""
    return change(found, "groups", group, lambda own: replace(own, **{way: (*getattr(own, way), *rules)}))


def without_peering(found: Picture, peering: str) -> Picture:
    """Return the picture after a peering was deleted: its routes are black holes."""
    gone = change(found, "peerings", peering, lambda own: replace(own, is_active=False))
    tables = tuple(
        replace(
            table,
            routes=tuple(
                replace(route, is_blackhole=True) if route.target == peering else route for route in table.routes
            ),
        )
        for table in gone.route_tables
    )
    return replace(gone, route_tables=tables)


def _number(node: str) -> int:
    return 0 if node == HUB else int(node.rpartition("-")[2])


def _cidr(number: int) -> str:
    return f"10.{number}.0.0/16"


def _account(number: int) -> str:
    return f"{111_000_000_000 + number}"


def _peering(site: str) -> Peering:
    number = _number(site)
    return Peering(
        f"pcx-{site}", f"vpc-{site}", _account(number), _cidr(number), f"vpc-{HUB}", _account(0), _cidr(0), True
    )


def _rule(id_: str, port: int, **peer: str) -> Rule:
    return Rule(f"sgr-{id_}", "tcp", port, port, **peer)


def _part(node: str, sites: int) -> dict[str, Any]:
    number = _number(node)
    place = {"account": _account(number), "region": REGION, "vpc": f"vpc-{node}"}
    tags = {"node": node, "federation": "fed"}
    base = f"10.{number}.0"
    others = site_names(sites) if node == HUB else (HUB,)

    def interface(name: str, host: int, group: str, kind: str) -> Interface:
        return Interface(
            id=f"eni-{name}",
            subnet=f"subnet-{node}",
            address=f"{base}.{host}",
            mac=f"02:00:00:00:{number:02x}:{host:02x}",
            groups=(f"sg-{group}-{node}",),
            kind=kind,  # type: ignore[arg-type]
            instance=f"i-{node}" if kind == "node" else None,
            **place,
            **tags,
        )

    interfaces = [interface(node, 10, "node", "node"), interface(f"connect-{node}", 200, "connect", "connect")]
    endpoints = [Endpoint(f"vpce-s3-{node}", f"vpc-{node}", *_place(number), "s3", "Gateway", (), (f"rtb-{node}",))]
    for host, service in enumerate(SERVICES, start=250):
        name = f"{service}-{node}"
        interfaces.append(interface(name, host, "endpoint", "endpoint"))
        endpoints.append(
            Endpoint(f"vpce-{name}", f"vpc-{node}", *_place(number), service, "Interface", (f"eni-{name}",), ())
        )
    routes = [Route(_cidr(number), "local"), Route("pl-s3", f"vpce-s3-{node}")]
    routes += [Route(f"10.{_number(other)}.0.0/24", f"pcx-{other if node == HUB else node}") for other in others]
    return {
        "vpc": Vpc(f"vpc-{node}", *_place(number), _cidr(number), node, "fed"),
        "subnet": Subnet(f"subnet-{node}", f"vpc-{node}", f"{base}.0/24", "us-east-1a"),
        "interfaces": interfaces,
        "table": RouteTable(f"rtb-{node}", f"vpc-{node}", (f"subnet-{node}",), False, tuple(routes)),
        "groups": _groups(node, others),
        "endpoints": endpoints,
    }


def _place(number: int) -> tuple[str, str]:
    return _account(number), REGION


def _groups(node: str, others: tuple[str, ...]) -> list[Group]:
    def group(name: str, ingress: list[Rule], egress: list[Rule]) -> Group:
        return Group(f"sg-{name}-{node}", _account(_number(node)), f"vpc-{node}", name, tuple(ingress), tuple(egress))

    own, endpoints, connect = (f"sg-{name}-{node}" for name in ("node", "endpoint", "connect"))
    egress = [
        _rule(f"endpoints-{node}", 443, group=endpoints),
        _rule(f"s3-{node}", 443, prefix_list="pl-s3"),
    ]
    ingress = [_rule(f"ssh-{node}", 22, group=connect)]
    if node == HUB:
        ingress += [_rule(f"admit-{other}", FL_PORT, group=f"sg-node-{other}") for other in others]
    else:
        egress.append(_rule(f"fl-{node}", FL_PORT, cidr=f"{address(HUB)}/32"))
    nowhere = Rule(f"sgr-nowhere-{node}", "-1", -1, -1, cidr="127.0.0.1/32")
    return [
        group("node", ingress, egress),
        group("endpoint", [_rule(f"from-node-{node}", 443, group=own)], [nowhere]),
        group("connect", [], [_rule(f"to-node-{node}", 22, group=own)]),
    ]
