"""A router's routes: what AWS's route tables say, in the kernel's words.

A route table governs what the interfaces of its subnets *send*. What comes in by a peering is delivered inside the VPC
and nowhere else: it is looked up in the kernel's table ``main``, which knows the VPC alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from infra.local.twin.network import naming
from infra.local.twin.network.layout import NOWHERE, Way
from infra.local.twin.network.picture import LOCAL, Interface, Route, RouteTable, Withheld

MAIN = "main"
#: Stands for the router at the other end of a peering. No device has it: its neighbour is known, and never asked for.
BEYOND = "169.254.100.1"
_PRIORITY = 1000


def table_of(subnet: str, tables: Iterable[RouteTable]) -> RouteTable | None:
    """Return the table of a subnet: the one associated with it, or else the VPC's main one.

    Args:
        subnet: its id.
        tables: those of its VPC.
    """
    own = list(tables)
    named = [table for table in own if subnet in table.subnets]
    return next(iter([*named, *(table for table in own if table.is_main)]), None)


def inside(table: str, cidr: str, nodes: Iterable[tuple[str, Interface]]) -> tuple[Way, ...]:
    """Return the ways inside a VPC: to each node, and nowhere for the rest."""
    ways = [Way(f"{interface.address}/32", table, f"dev {device}") for device, interface in nodes]
    return (*ways, Way(cidr, table, f"dev {NOWHERE}"), Way("0.0.0.0/0", table, f"dev {NOWHERE}"))


def ways_of(
    table: RouteTable,
    local: Sequence[Way],
    peerings: Mapping[str, str],
    prefix_lists: Mapping[str, tuple[str, ...]],
    withheld: Withheld,
) -> tuple[Way, ...]:
    """Return the kernel's routes of a route table.

    Args:
        table: the route table.
        local: the ways inside the VPC, in this table.
        peerings: the router's device of each active peering, by id.
        prefix_lists: the ranges of each prefix list, by id.
        withheld: (route table, destination) of routes that are left out.

    Returns:
        One way for each destination. A gateway endpoint has none: its address is the router's own.
    """
    ways = {way.destination: way for way in local}
    for route in table.routes:
        if route.target == LOCAL or route.target.startswith("vpce-") or (table.id, route.destination) in withheld:
            continue
        device = None if route.is_blackhole else peerings.get(route.target)
        by = f"via {BEYOND} dev {device} onlink" if device else f"dev {NOWHERE}"
        listed = (
            prefix_lists.get(route.destination, ()) if route.destination.startswith("pl-") else (route.destination,)
        )
        for cidr in (str(ipaddress.IPv4Network(each)) for each in listed):
            ways[cidr] = Way(cidr, naming.table(table.id), by)
    return tuple(ways.values())


def leads_to(table: RouteTable | None, endpoint: str, withheld: Withheld) -> bool:
    """Say whether a table has a route to a gateway endpoint."""

    def counts(route: Route) -> bool:
        return route.target == endpoint and not route.is_blackhole and (table_id, route.destination) not in withheld

    table_id = table.id if table else ""
    return table is not None and any(counts(route) for route in table.routes)


def selector_of_node(device: str, table: RouteTable) -> str:
    """Return the policy that what a node sends is routed by its subnet's table."""
    return f"iif {device} lookup {naming.table(table.id)} priority {_PRIORITY}"


def selector_of_endpoint(address: str, table: RouteTable) -> str:
    """Return the policy that what an endpoint sends is routed by its subnet's table."""
    return f"from {address} iif lo lookup {naming.table(table.id)} priority {_PRIORITY}"
