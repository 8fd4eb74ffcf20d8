"""The ways between hub and sites as the accounts have them: peerings, and the routes over them in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: What is said of a peering or route that could not be asked for.
UNKNOWN = "unknown"
MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SiteSide:
    """What a site's account says of its way to the hub.

    Args:
        peering: its id; empty where there is none yet.
        state: ``active``, ``pending-acceptance``, ``deleted`` and so on, ``missing``, or ``unknown``.
        route: of the site to the hub: ``active``, ``blackhole``, ``missing`` or ``unknown``.
    """

    peering: str
    state: str
    route: str


@dataclass(frozen=True, slots=True)
class HubSide:
    """What the hub's account says.

    Args:
        routes: of the hub's VPC, as EC2 tells them.
        peerings: id to state, of those that the hub's VPC accepts.
    """

    routes: tuple[Mapping[str, Any], ...]
    peerings: Mapping[str, str]

    def site_side(self, site_subnet: str) -> SiteSide:
        """Return what can be said from here of a site whose account cannot be asked."""
        over = (
            r.get("VpcPeeringConnectionId", "") for r in self.routes if r.get("DestinationCidrBlock") == site_subnet
        )
        peering = next(over, "")
        return SiteSide(peering, self.peerings.get(peering, MISSING), UNKNOWN if peering else MISSING)


@dataclass(frozen=True, slots=True)
class Way:
    """A site's way to the hub and back; ``back`` is the hub's route to the site."""

    peering: str
    state: str
    route: str
    back: str

    @property
    def is_open(self) -> bool:
        """Whether peering and both routes are active."""
        return {self.state, self.route, self.back} == {"active"}

    def __str__(self) -> str:
        """Render it: ``open``, or what of it is not."""
        if self.is_open:
            return "open"
        parts = {"peering": self.state, "route there": self.route, "route back": self.back}
        if set(parts.values()) == {MISSING}:
            return "none"
        return ", ".join(f"{what} {state}" for what, state in parts.items() if state != "active")


def site_side(ec2: Any, outputs: Mapping[str, str], hub_subnet: str) -> SiteSide:
    """Ask a site's account for its peering and its route to the hub.

    Args:
        ec2: client of the site's account and Region.
        outputs: of the site's network stack; empty where there is none.
        hub_subnet: where the aggregator is.
    """
    id_ = outputs.get("PeeringId", "")
    if not id_:
        return SiteSide("", MISSING, MISSING)
    filters = [{"Name": "vpc-peering-connection-id", "Values": [id_]}]
    found = ec2.describe_vpc_peering_connections(Filters=filters)["VpcPeeringConnections"]
    state = str(found[0]["Status"]["Code"]) if found else MISSING
    return SiteSide(id_, state, _route(routes(ec2, outputs["VpcId"]), hub_subnet, id_))


def hub_side(ec2: Any, outputs: Mapping[str, str]) -> HubSide:
    """Ask the hub's account for its routes and peerings; none where it has no network yet."""
    vpc = outputs.get("VpcId", "")
    if not vpc:
        return HubSide((), {})
    filters = [{"Name": "accepter-vpc-info.vpc-id", "Values": [vpc]}]
    found = ec2.describe_vpc_peering_connections(Filters=filters)["VpcPeeringConnections"]
    states = {peering["VpcPeeringConnectionId"]: str(peering["Status"]["Code"]) for peering in found}
    return HubSide(tuple(routes(ec2, vpc)), states)


def routes(ec2: Any, vpc: str) -> list[Mapping[str, Any]]:
    """Return the routes of all tables of a VPC."""
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    return [route for table in tables for route in table["Routes"]]


def way(side: SiteSide, hub_routes: Sequence[Mapping[str, Any]] | None, site_subnet: str) -> Way:
    """Return a site's way, both directions.

    Args:
        side: what the site's account says.
        hub_routes: the hub's; None where it could not be asked.
        site_subnet: where the site's node is.
    """
    back = UNKNOWN if hub_routes is None else _route(hub_routes, site_subnet, side.peering)
    return Way(side.peering, side.state, side.route, back)


def _route(there: Sequence[Mapping[str, Any]], destination: str, peering: str) -> str:
    for route in there:
        if route.get("DestinationCidrBlock") == destination:
            if peering and route.get("VpcPeeringConnectionId") != peering:
                return f"over {route.get('VpcPeeringConnectionId') or 'something else'}"
            return str(route.get("State", UNKNOWN))
    return MISSING
