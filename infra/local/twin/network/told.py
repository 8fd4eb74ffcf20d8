"""The EC2 API's answers, item by item, as values of the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.errors import FederateError
from infra.local.twin.network.picture import LOCAL, Peering, Route, RouteTable, Rule

_TARGETS = ("VpcPeeringConnectionId", "NatGatewayId", "NetworkInterfaceId", "TransitGatewayId", "InstanceId")
#: What a route may lead to in the twin: its VPC, a peering, a gateway endpoint; or the internet, which is nowhere.
_KNOWN_TARGETS = (LOCAL, "pcx-", "vpce-", "nat-", "igw-")
#: One end of a peering: VPC, account, Region.
End = tuple[str, str, str]


class NotInTheTwin(FederateError):
    """Something is deployed that the twin cannot give a body: better no picture than one with a way missing."""

    exit_code = 6

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The twin has no body for {what}.",
            remedy="Nothing that Federate deploys is so. Take it out of the account, or use DEPTH=processes.",
        )


def tags(raw: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a thing."""
    return {tag["Key"]: tag["Value"] for tag in raw.get("Tags", raw.get("TagSet", []))}


def sorted_rules(rules: list[Rule]) -> tuple[Rule, ...]:
    """Return rules in the order of their ids."""
    return tuple(sorted(rules, key=lambda rule: rule.id))


def route_table(raw: Mapping[str, Any]) -> RouteTable:
    """Read a route table.

    Raises:
        NotInTheTwin: a route leads to where the twin has no way.
    """
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
    # A range behind an endpoint is one behind an appliance (Gateway Load Balancer).
    is_appliance = target.startswith("vpce-") and not destination.startswith("pl-")
    if not target.startswith(_KNOWN_TARGETS) or is_appliance:
        raise NotInTheTwin(f"the route {destination} of {table}: it leads to {target or 'an unknown target'}")
    return Route(destination, target, raw.get("State") == "blackhole")


def peering(raw: Mapping[str, Any]) -> Peering:
    """Read a peering connection."""
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


def end(raw: Mapping[str, Any]) -> End:
    """Read one end of a peering connection."""
    return raw["VpcId"], raw["OwnerId"], raw["Region"]


def rule(raw: Mapping[str, Any]) -> Rule | None:
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
