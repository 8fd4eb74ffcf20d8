"""What is deployed, as a network: the values that the EC2 API tells, and nothing that follows from them.

A picture is of one moment, of all accounts, sorted by id; two pictures of the same deployment are equal. Ranges and
addresses are text, as in the API.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Whose an interface is: an instance's, an interface endpoint's, or an EC2 Instance Connect Endpoint's.
Kind = Literal["node", "endpoint", "connect"]
#: What a fault denies: ids of security-group rules, and (route table, destination) of routes; others mean nothing.
Withheld = frozenset[object]
#: The target of a route inside its VPC.
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Vpc:
    """A VPC; ``node`` and ``federation`` are its tags, empty where it has none."""

    id: str
    account: str
    region: str
    cidr: str
    node: str = ""
    federation: str = ""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet."""

    id: str
    vpc: str
    cidr: str
    zone: str


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface.

    Args:
        groups: ids of its security groups.
        instance: id of the instance that it is attached to, or None.
        node: the tag ``federate:node``; of an endpoint's interface, which has no tags, that of its VPC.
        federation: the tag ``federate:federation``, likewise.
    """

    id: str
    account: str
    region: str
    vpc: str
    subnet: str
    address: str
    mac: str
    groups: tuple[str, ...]
    kind: Kind
    instance: str | None
    node: str
    federation: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    Args:
        destination: a range, or the id of a prefix list.
        target: ``local``, or the id of a peering or an endpoint.
        is_blackhole: whether AWS says that the target is gone.
    """

    destination: str
    target: str
    is_blackhole: bool = False


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A route table; ``subnets`` are those associated with it by name, the main table has all others."""

    id: str
    vpc: str
    subnets: tuple[str, ...]
    is_main: bool
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Peering:
    """A peering connection between two VPCs; its traffic flows while it is active."""

    id: str
    requester_vpc: str
    requester_account: str
    requester_cidr: str
    accepter_vpc: str
    accepter_account: str
    accepter_cidr: str
    is_active: bool

    def other(self, vpc: str) -> str | None:
        """Return the VPC at the other end, or None if it does not begin at ``vpc``."""
        ends = {self.requester_vpc: self.accepter_vpc, self.accepter_vpc: self.requester_vpc}
        return ends.get(vpc)

    def cidr_beyond(self, vpc: str) -> str:
        """Return the range of the VPC at the other end."""
        return self.accepter_cidr if vpc == self.requester_vpc else self.requester_cidr


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a security group; one of ``cidr``, ``group`` and ``prefix_list`` is set.

    Args:
        protocol: ``-1`` for all, ``tcp``, ``udp``, ``icmp``, or a number.
        from_port: first port, or ICMP's type; -1 for all.
        to_port: last port, or ICMP's code; -1 for all.
    """

    id: str
    protocol: str
    from_port: int
    to_port: int
    cidr: str | None = None
    group: str | None = None
    prefix_list: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A security group."""

    id: str
    account: str
    vpc: str
    name: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class PrefixList:
    """A prefix list, its IPv4 ranges in ascending order."""

    id: str
    name: str
    cidrs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A VPC endpoint.

    Args:
        service: without the Region: ``ssm``.
        kind: ``Interface`` or ``Gateway``.
        interfaces: ids of an interface endpoint's interfaces.
        route_tables: ids of the tables of a gateway endpoint.
    """

    id: str
    vpc: str
    account: str
    region: str
    service: str
    kind: str
    interfaces: tuple[str, ...]
    route_tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything of all accounts. Network ACLs are not in it: the federation leaves them open, as AWS makes them."""

    vpcs: tuple[Vpc, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    peerings: tuple[Peering, ...] = ()
    groups: tuple[Group, ...] = ()
    prefix_lists: tuple[PrefixList, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
