"""What a fault can deny of a network: the rules and routes on the way between a node and the others. Pure."""

from __future__ import annotations

from infra.federation.derive import AGGREGATOR_ID
from infra.local.twin.faults import Deniable
from infra.local.twin.network.layout import Fabric
from infra.local.twin.network.picture import LOCAL, Group, Picture, RouteTable, Rule, Vpc

_SEPARATOR = " to "
_FL_PORT, _TO_HUB, _RETURN = "fl-port", "to-hub", "return"
#: SSH, and the services of AWS.
_OTHERS = (22, 443)


def route_id(table: str, destination: str) -> str:
    """Return the name of a route, which AWS gives none."""
    return f"{table}{_SEPARATOR}{destination}"


def as_planned(ids: frozenset[str]) -> frozenset[object]:
    """Return the ids as :func:`infra.local.twin.network.plan.plan` takes them."""
    return frozenset(tuple(one.split(_SEPARATOR)) if _SEPARATOR in one else one for one in ids)


def rules(node: str, picture: Picture) -> list[Deniable]:
    """Return the rules of a node's groups, and those of the aggregator's that are for this site.

    The name ``fl-port`` stands for those over which a site and the aggregator meet.
    """
    found = []
    own = _groups_of(node, picture)
    for group in own:
        for rule in (*group.ingress, *group.egress):
            name = "" if rule.from_port in _OTHERS or rule.protocol != "tcp" else _FL_PORT
            found.append(Deniable(rule.id, name, _described(rule, group)))
    if node != AGGREGATOR_ID:
        mine = {group.id for group in own}
        addresses = {f"{i.address}/32" for i in picture.interfaces if i.node == node and i.kind == "node"}
        for group in _groups_of(AGGREGATOR_ID, picture):
            for rule in group.ingress:
                if rule.group in mine or rule.cidr in addresses:
                    found.append(Deniable(rule.id, _FL_PORT, _described(rule, group)))
    return found


def routes(node: str, picture: Picture, fabric: Fabric) -> list[Deniable]:
    """Return a site's routes over its peering, and the aggregator's back; of the aggregator, all that lead back."""
    mine = {link.peering for link in fabric.links if node in link.sites}
    vpcs = {vpc.id: vpc for vpc in picture.vpcs}
    found = []
    for table in picture.route_tables:
        for route in table.routes:
            if route.target == LOCAL or route.target not in mine:
                continue
            is_hubs = _owner(table, vpcs) == AGGREGATOR_ID
            name = _RETURN if is_hubs else _TO_HUB
            description = f"{_owner(table, vpcs)}: {route.destination} by {route.target}"
            found.append(Deniable(route_id(table.id, route.destination), name, description))
    return found


def _groups_of(node: str, picture: Picture) -> list[Group]:
    used = {g for i in picture.interfaces if i.node == node and i.kind == "node" for g in i.groups}
    return [group for group in picture.groups if group.id in used]


def _owner(table: RouteTable, vpcs: dict[str, Vpc]) -> str:
    return vpcs[table.vpc].node if table.vpc in vpcs else table.vpc


def _described(rule: Rule, group: Group) -> str:
    peer = rule.cidr or rule.group or rule.prefix_list or "nobody"
    ports = "all ports" if rule.from_port < 0 else f"port {rule.from_port}"
    direction = "from" if rule in group.ingress else "to"
    return f"{rule.description or group.name}: {rule.protocol} {ports} {direction} {peer}"
