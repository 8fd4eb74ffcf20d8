"""Reads the network of the accounts through the EC2 API, account by account, as each one shows itself.

Default VPCs are left out: nothing of a federation is in them, and they lead nowhere here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from infra.errors import FederateError
from infra.local.twin.network.picture import (
    LOCAL,
    Endpoint,
    Group,
    Interface,
    Kind,
    Peering,
    Picture,
    PrefixList,
    Route,
    RouteTable,
    Rule,
    Subnet,
    Vpc,
)

#: Makes a boto3 client of (service, account, Region).
Client = Callable[[str, str, str], Any]

_FEDERATION_TAG, _NODE_TAG = "federate:federation", "federate:node"
_CONNECT_DESCRIPTION = "EC2 Instance Connect Endpoint "
_TARGETS = ("VpcPeeringConnectionId", "NatGatewayId", "NetworkInterfaceId", "TransitGatewayId", "InstanceId")
#: What a route may lead to in the twin: besides its VPC, a peering or a gateway endpoint.
_KNOWN_TARGETS = (LOCAL, "pcx-", "vpce-")


class NotInTheTwin(FederateError):
    """Something is deployed that the twin cannot give a body: better no picture than one with a way missing."""

    exit_code = 6

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The twin has no body for {what}.",
            remedy="Nothing that Federate deploys is so. Take it out of the account, or use DEPTH=processes.",
        )


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
        NotInTheTwin: a route, a second range or a peering leads to where the twin cannot follow.
        ClientError, BotoCoreError: an account refuses, or nobody answers.
    """
    found = _Found()
    every = list(places)
    for account, region in every:
        _Reader(account, region, client("ec2", account, region), found).read()
    for peering in list(found.peerings.values()):
        _check_ends(peering, found, {account for account, _ in every})
    return Picture(
        **{part.name: tuple(value for _, value in sorted(getattr(found, part.name).items())) for part in fields(found)}
    )


def _check_ends(peering: Peering, found: _Found, accounts: set[str]) -> None:
    """Leave out a peering with a VPC that is only just being made; it is there at the next look.

    Raises:
        NotInTheTwin: it leads to an account that is not looked at.
    """
    ends = (
        (peering.requester_vpc, peering.requester_account),
        (peering.accepter_vpc, peering.accepter_account),
    )
    for vpc, account in ends:
        if vpc in found.vpcs:
            continue
        if peering.is_active and account not in accounts:
            raise NotInTheTwin(f"the peering {peering.id}: it leads to {vpc} of account {account}, which is not ours")
        found.peerings.pop(peering.id, None)


class _Reader:
    """Reads one account in one Region."""

    def __init__(self, account: str, region: str, ec2: Any, found: _Found) -> None:
        self._account = account
        self._region = region
        self._ec2 = ec2
        self._found = found

    def read(self) -> None:
        """Add everything to what was found."""
        own = {vpc.id: vpc for raw in self._all("describe_vpcs", "Vpcs") if (vpc := self._vpc(raw)) is not None}
        if not own:
            return
        self._found.vpcs |= own
        here = [{"Name": "vpc-id", "Values": sorted(own)}]
        for raw in self._all("describe_subnets", "Subnets", Filters=here):
            subnet = Subnet(raw["SubnetId"], raw["VpcId"], raw["CidrBlock"], raw["AvailabilityZone"])
            self._found.subnets[subnet.id] = subnet
        endpoints = [self._endpoint(raw) for raw in self._all("describe_vpc_endpoints", "VpcEndpoints", Filters=here)]
        self._found.endpoints |= {endpoint.id: endpoint for endpoint in endpoints}
        managed = {interface for endpoint in endpoints for interface in endpoint.interfaces}
        for raw in self._all("describe_network_interfaces", "NetworkInterfaces", Filters=here):
            interface = self._interface(raw, managed, own[raw["VpcId"]])
            self._found.interfaces[interface.id] = interface
        for raw in self._all("describe_route_tables", "RouteTables", Filters=here):
            table = _route_table(raw)
            self._found.route_tables[table.id] = table
        for raw in self._all("describe_vpc_peering_connections", "VpcPeeringConnections"):
            peering = _peering(raw)
            # Each side tells of it, and it is active when both say so.
            told = self._found.peerings.get(peering.id, peering)
            self._found.peerings[peering.id] = peering if told.is_active else told
        groups = self._groups(here)
        self._found.groups |= {group.id: group for group in groups}
        self._found.prefix_lists |= {found.id: found for found in self._prefix_lists()}

    def _all(self, operation: str, key: str, **arguments: Any) -> list[Any]:
        pages = self._ec2.get_paginator(operation).paginate(**arguments)
        return [item for page in pages for item in page[key]]

    def _vpc(self, raw: Mapping[str, Any]) -> Vpc | None:
        if raw["IsDefault"]:
            return None
        ranges = [item["CidrBlock"] for item in raw.get("CidrBlockAssociationSet", [])]
        if len(ranges) > 1:
            raise NotInTheTwin(f"the second range of {raw['VpcId']} ({', '.join(ranges)})")
        tags = _tags(raw)
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
        if identifier in managed:
            kind = "endpoint"
        elif raw.get("Description", "").startswith(_CONNECT_DESCRIPTION):
            kind = "connect"
        tags = _tags(raw)
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
            rule = _rule(raw)
            if rule is not None:
                rules.setdefault((raw["GroupId"], raw["IsEgress"]), []).append(rule)
        return [
            Group(
                id=raw["GroupId"],
                account=self._account,
                vpc=raw["VpcId"],
                name=raw["GroupName"],
                ingress=_sorted(rules.get((raw["GroupId"], False), [])),
                egress=_sorted(rules.get((raw["GroupId"], True), [])),
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
        told = self._all("get_managed_prefix_list_entries", "Entries", PrefixListId=prefix_list)
        networks = [ipaddress.ip_network(entry["Cidr"]) for entry in told]
        return tuple(str(n) for n in sorted(n for n in networks if isinstance(n, ipaddress.IPv4Network)))


def _tags(raw: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in raw.get("Tags", raw.get("TagSet", []))}


def _sorted(rules: list[Rule]) -> tuple[Rule, ...]:
    return tuple(sorted(rules, key=lambda rule: rule.id))


def _route_table(raw: Mapping[str, Any]) -> RouteTable:
    associations = raw.get("Associations", [])
    routes = [_route(raw["RouteTableId"], route) for route in raw["Routes"] if "DestinationIpv6CidrBlock" not in route]
    return RouteTable(
        id=raw["RouteTableId"],
        vpc=raw["VpcId"],
        subnets=tuple(sorted(item["SubnetId"] for item in associations if "SubnetId" in item)),
        is_main=any(item.get("Main") for item in associations),
        routes=tuple(sorted(routes, key=lambda route: (route.destination, route.target))),
    )


def _route(table: str, raw: Mapping[str, Any]) -> Route:
    destination = raw.get("DestinationCidrBlock") or raw.get("DestinationPrefixListId") or ""
    target = next((raw[name] for name in _TARGETS if raw.get(name)), raw.get("GatewayId", ""))
    if not target.startswith(_KNOWN_TARGETS):
        raise NotInTheTwin(f"the route {destination} of {table}: it leads to {target or 'an unknown target'}")
    return Route(destination, target, raw.get("State") == "blackhole")


def _peering(raw: Mapping[str, Any]) -> Peering:
    requester, accepter = raw["RequesterVpcInfo"], raw["AccepterVpcInfo"]
    return Peering(
        id=raw["VpcPeeringConnectionId"],
        requester_vpc=requester["VpcId"],
        requester_account=requester["OwnerId"],
        requester_cidr=requester.get("CidrBlock", ""),
        accepter_vpc=accepter["VpcId"],
        accepter_account=accepter["OwnerId"],
        accepter_cidr=accepter.get("CidrBlock", ""),
        is_active=raw["Status"]["Code"] == "active",
    )


def _rule(raw: Mapping[str, Any]) -> Rule | None:
    """Return a rule; None for one of IPv6, which the federation's VPCs do not have."""
    if "CidrIpv6" in raw:
        return None
    return Rule(
        id=raw["SecurityGroupRuleId"],
        protocol={"6": "tcp", "17": "udp", "1": "icmp"}.get(raw["IpProtocol"], raw["IpProtocol"]),
        from_port=raw.get("FromPort", -1),
        to_port=raw.get("ToPort", -1),
        cidr=raw.get("CidrIpv4"),
        group=raw.get("ReferencedGroupInfo", {}).get("GroupId"),
        prefix_list=raw.get("PrefixListId"),
        description=raw.get("Description", ""),
    )
