"""A picture by what the plan asks of it: what belongs to a VPC, to a group, to an interface."""

from __future__ import annotations

from infra.local.twin.network import routing
from infra.local.twin.network.picture import Interface, Peering, Picture, RouteTable, Withheld


class View:
    """A picture by what the plan asks for."""

    def __init__(self, picture: Picture, withheld: Withheld) -> None:
        self.picture = picture
        self.withheld = withheld
        self.vpcs = {vpc.id: vpc for vpc in picture.vpcs}
        self.subnets = {subnet.id: subnet for subnet in picture.subnets}
        self.groups = {group.id: group for group in picture.groups}
        self.prefix_lists = {found.id: found.cidrs for found in picture.prefix_lists}
        #: Active peerings both of whose ends are here.
        self.active = [
            p for p in picture.peerings if p.is_active and {p.requester_vpc, p.accepter_vpc} <= set(self.vpcs)
        ]
        self._by_vpc: dict[str, list[Interface]] = {}
        for interface in picture.interfaces:
            self._by_vpc.setdefault(interface.vpc, []).append(interface)
        self._tables: dict[str, list[RouteTable]] = {}
        for table in picture.route_tables:
            self._tables.setdefault(table.vpc, []).append(table)
        self._members: dict[str, list[Interface]] = {}
        for interface in picture.interfaces:
            for group in interface.groups:
                self._members.setdefault(group, []).append(interface)

    def interfaces(self, vpc: str) -> list[Interface]:
        """Return the interfaces of a VPC."""
        return self._by_vpc.get(vpc, [])

    def peerings(self, vpc: str) -> list[Peering]:
        """Return the active peerings of a VPC."""
        return [peering for peering in self.active if peering.other(vpc) is not None]

    def table_of(self, interface: Interface) -> RouteTable | None:
        """Return the route table that governs what an interface sends."""
        return routing.table_of(interface.subnet, self._tables.get(interface.vpc, ()))

    def members(self, group: str, vpc: str) -> tuple[str, ...]:
        """Return the addresses that a group stands for in a rule of a VPC: its own, and those over an active peering.

        Source: "Update your security groups to reference peer security groups" in the Amazon VPC Peering Guide.
        """
        near = {vpc, *(peering.other(vpc) for peering in self.peerings(vpc))}
        return tuple(interface.address for interface in self._members.get(group, ()) if interface.vpc in near)

    def node_of(self, vpc: str) -> str:
        """Return the node whose VPC it is, by its tag or that of its interface; the id where there is none."""
        tagged = [interface.node for interface in self.interfaces(vpc) if interface.kind == "node"]
        return next((name for name in (self.vpcs[vpc].node, *tagged) if name), vpc)
