"""Reads the network of the accounts through the EC2 API, account by account, as each one shows itself.

Default VPCs are left out: nothing of a federation is in them, and they lead nowhere here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from infra.local.twin.network import told
from infra.local.twin.network.picture import (
    Endpoint,
    Group,
    Interface,
    Kind,
    Peering,
    Picture,
    PrefixList,
    RouteTable,
    Rule,
    Subnet,
    Vpc,
)
from infra.local.twin.network.told import End, NotInTheTwin

__all__ = ["Client", "NotInTheTwin", "read"]

#: Makes a boto3 client of (service, account, Region).
Client = Callable[[str, str, str], Any]

_FEDERATION_TAG, _NODE_TAG = "federate:federation", "federate:node"
_CONNECT_DESCRIPTION = "EC2 Instance Connect Endpoint "
_NAT = "nat_gateway"


@dataclass(slots=True)
class _Found:
    """What was read so far, by the names of the picture's fields and then by id."""

    vpcs: dict[str, Vpc] = field(default_factory=dict)
    subnets: dict[str, Subnet] = field(default_factory=dict)
    interfaces: dict[str, Interface] = field(default_factory=dict)
    route_tables: dict[str, RouteTable] = field(default_factory=dict)
    peerings: dict[str, Peering] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    prefix_lists: dict[str, PrefixList] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)


def read(places: Iterable[tuple[str, str]], client: Client) -> Picture:
    """Read what is deployed.

    Args:
        places: (account, Region).
        client: makes the clients; each is used for its own account only.

    Raises:
        NotInTheTwin: a route, a peering, a range or an interface is of a kind that the twin cannot follow.
        ClientError, BotoCoreError: an account refuses, or nobody answers.
    """
    found = _Found()
    every = list(places)
    readers = [_Reader(account, region, client("ec2", account, region), found) for account, region in every]
    for reader in readers:
        reader.read()
    left_out = {vpc for reader in readers for vpc in reader.left_out}
    ends = {peering: own for reader in readers for peering, own in reader.ends.items()}
    for peering in list(found.peerings):
        if not _has_both_ends(peering, ends[peering], found, set(every), left_out):
            del found.peerings[peering]
    return Picture(
        **{part.name: tuple(value for _, value in sorted(getattr(found, part.name).items())) for part in fields(found)}
    )


def _has_both_ends(
    peering: str, ends: tuple[End, End], found: _Found, places: set[tuple[str, str]], left_out: set[str]
) -> bool:
    """Say whether both VPCs of a peering were read; one that is only just being made is there at the next look.

    Raises:
        NotInTheTwin: it leads to where nobody looks, and traffic would flow.
    """
    missing = [end for end in ends if end[0] not in found.vpcs]
    for vpc, account, region in missing if found.peerings[peering].is_active else ():
        if (account, region) not in places or vpc in left_out:
            raise NotInTheTwin(f"the peering {peering}: it leads to {vpc} of account {account}, {region}")
    return not missing


class _Reader:
    """Reads one account in one Region."""

    def __init__(self, account: str, region: str, ec2: Any, found: _Found) -> None:
        self._account = account
        self._region = region
        self._ec2 = ec2
        self._found = found
        #: Ids of default VPCs.
        self.left_out: set[str] = set()
        #: The ends of each peering.
        self.ends: dict[str, tuple[End, End]] = {}

    def read(self) -> None:
        """Add everything to what was found."""
        own = {vpc.id: vpc for raw in self._all("describe_vpcs", "Vpcs") if (vpc := self._vpc(raw)) is not None}
        if not own:
            return
        self._found.vpcs |= own
        here = [{"Name": "vpc-id", "Values": sorted(own)}]
        endpoints = [self._endpoint(raw) for raw in self._all("describe_vpc_endpoints", "VpcEndpoints", Filters=here)]
        self._found.endpoints |= {endpoint.id: endpoint for endpoint in endpoints}
        managed = {interface for endpoint in endpoints for interface in endpoint.interfaces}
        interfaces = [
            self._interface(raw, managed, own[raw["VpcId"]])
            for raw in self._all("describe_network_interfaces", "NetworkInterfaces", Filters=here)
            if raw.get("InterfaceType") != _NAT  # it leads to the internet, which the twin has not
        ]
        # After the interfaces, so that the subnet of each is there, unless both are just being deleted.
        for raw in self._all("describe_subnets", "Subnets", Filters=here):
            subnet = Subnet(raw["SubnetId"], raw["VpcId"], raw["CidrBlock"], raw["AvailabilityZone"])
            self._found.subnets[subnet.id] = subnet
        self._found.interfaces |= {found.id: found for found in interfaces if found.subnet in self._found.subnets}
        for raw in self._all("describe_route_tables", "RouteTables", Filters=here):
            table = told.route_table(raw)
            self._found.route_tables[table.id] = table
        for raw in self._all("describe_vpc_peering_connections", "VpcPeeringConnections"):
            peering = told.peering(raw)
            self.ends[peering.id] = (told.end(raw["RequesterVpcInfo"]), told.end(raw["AccepterVpcInfo"]))
            # Each side tells of it, and it is active when both say so.
            known = self._found.peerings.get(peering.id, peering)
            self._found.peerings[peering.id] = peering if known.is_active else known
        groups = self._groups(here)
        self._found.groups |= {group.id: group for group in groups}
        self._found.prefix_lists |= {found.id: found for found in self._prefix_lists()}

    def _all(self, operation: str, key: str, **arguments: Any) -> list[Any]:
        pages = self._ec2.get_paginator(operation).paginate(**arguments)
        return [item for page in pages for item in page[key]]

    def _vpc(self, raw: Mapping[str, Any]) -> Vpc | None:
        if raw["IsDefault"]:
            self.left_out.add(raw["VpcId"])
            return None
        ranges = [item["CidrBlock"] for item in raw.get("CidrBlockAssociationSet", [])]
        ranges += [item["Ipv6CidrBlock"] for item in raw.get("Ipv6CidrBlockAssociationSet", [])]
        if len(ranges) > 1:
            raise NotInTheTwin(f"the second range of {raw['VpcId']} ({', '.join(ranges)})")
        tags = told.tags(raw)
        return Vpc(
            raw["VpcId"],
            self._account,
            self._region,
            raw["CidrBlock"],
            tags.get(_NODE_TAG, ""),
            tags.get(_FEDERATION_TAG, ""),
        )

    def _endpoint(self, raw: Mapping[str, Any]) -> Endpoint:
        return Endpoint(
            id=raw["VpcEndpointId"],
            vpc=raw["VpcId"],
            account=self._account,
            region=self._region,
            service=raw["ServiceName"].removeprefix(f"com.amazonaws.{self._region}."),
            kind=raw["VpcEndpointType"],
            interfaces=tuple(sorted(raw.get("NetworkInterfaceIds", []))),
            route_tables=tuple(sorted(raw.get("RouteTableIds", []))),
        )

    def _interface(self, raw: Mapping[str, Any], managed: set[str], vpc: Vpc) -> Interface:
        identifier = raw["NetworkInterfaceId"]
        kind: Kind = "node"
        if identifier in managed or raw.get("InterfaceType") == "vpc_endpoint":
            kind = "endpoint"
        elif raw.get("Description", "").startswith(_CONNECT_DESCRIPTION):
            kind = "connect"
        if not raw.get("SourceDestCheck", True):
            raise NotInTheTwin(f"{identifier}: without the source/destination check it sends from any address")
        addresses = [item["PrivateIpAddress"] for item in raw.get("PrivateIpAddresses", [])]
        if len(addresses) > 1:
            raise NotInTheTwin(f"the second address of {identifier} ({', '.join(addresses)})")
        tags = told.tags(raw)
        return Interface(
            id=identifier,
            account=self._account,
            region=self._region,
            vpc=vpc.id,
            subnet=raw["SubnetId"],
            address=raw["PrivateIpAddress"],
            mac=raw["MacAddress"].lower(),
            groups=tuple(sorted(group["GroupId"] for group in raw.get("Groups", []))),
            kind=kind,
            instance=raw.get("Attachment", {}).get("InstanceId"),
            node=tags.get(_NODE_TAG, "" if kind == "node" else vpc.node),
            federation=tags.get(_FEDERATION_TAG, "" if kind == "node" else vpc.federation),
            description=raw.get("Description", ""),
        )

    def _groups(self, here: list[dict[str, Any]]) -> list[Group]:
        rules: dict[tuple[str, bool], list[Rule]] = {}
        for raw in self._all("describe_security_group_rules", "SecurityGroupRules"):
            rule = told.rule(raw)
            if rule is not None:
                rules.setdefault((raw["GroupId"], raw["IsEgress"]), []).append(rule)
        return [
            Group(
                id=raw["GroupId"],
                account=self._account,
                vpc=raw["VpcId"],
                name=raw["GroupName"],
                ingress=told.sorted_rules(rules.get((raw["GroupId"], False), [])),
                egress=told.sorted_rules(rules.get((raw["GroupId"], True), [])),
            )
            for raw in self._all("describe_security_groups", "SecurityGroups", Filters=here)
        ]

    def _prefix_lists(self) -> list[PrefixList]:
        """Read the lists that something names: AWS has many."""
        own = [group for group in self._found.groups.values() if group.account == self._account]
        named = {rule.prefix_list for group in own for rule in (*group.ingress, *group.egress)}
        named |= {route.destination for table in self._found.route_tables.values() for route in table.routes}
        wanted = {name for name in named if name and name.startswith("pl-")} - set(self._found.prefix_lists)
        lists = self._all("describe_managed_prefix_lists", "PrefixLists") if wanted else []
        return [
            PrefixList(raw["PrefixListId"], raw["PrefixListName"], self._entries(raw["PrefixListId"]))
            for raw in lists
            if raw["PrefixListId"] in wanted
        ]

    def _entries(self, prefix_list: str) -> tuple[str, ...]:
        entries = self._all("get_managed_prefix_list_entries", "Entries", PrefixListId=prefix_list)
        networks = [ipaddress.ip_network(entry["Cidr"]) for entry in entries]
        return tuple(str(n) for n in sorted(n for n in networks if isinstance(n, ipaddress.IPv4Network)))
