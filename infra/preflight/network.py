"""Whether the account has room for the network: ranges; quotas of VPCs, endpoints, peerings, routes and rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from infra.errors import Problem, Severity
from infra.preflight.check import Check, Visit, tags_of
from infra.preflight.quotas import (
    ADDRESSES,
    INTERFACE_ENDPOINTS_PER_VPC,
    PEERINGS_PER_VPC,
    PERMISSIONS,
    ROUTES_PER_TABLE,
    RULES_PER_GROUP,
    VPCS,
    quota,
    raise_it,
)


def _vpcs(visit: Visit) -> list[Mapping[str, Any]]:
    return visit.pages("ec2", "describe_vpcs", "Vpcs")


def ranges(visit: Visit) -> Iterator[Problem]:
    """Find the account's other VPCs whose ranges overlap a node's: AWS allows it, and it cannot be undone later."""
    for vpc in _vpcs(visit):
        if visit.is_ours(vpc):
            continue
        blocks = [block["CidrBlock"] for block in vpc.get("CidrBlockAssociationSet", [])] or [vpc["CidrBlock"]]
        for node in visit.nodes:
            for block in blocks:
                if ip_network(block).overlaps(node.spec.cidr):
                    name = tags_of(vpc).get("Name", "")
                    yield visit.problem(
                        f"the range of {node.id}, {node.spec.cidr}, overlaps {block} of the account's "
                        f"{vpc['VpcId']}{f' ({name})' if name else ''}.",
                        "AWS allows it, but the two can never be peered or share a transit gateway.",
                        "Choose another cidr now if that VPC is ever to reach the node: later it costs a new network.",
                        Severity.WARNING,
                    )


def vpc_quota(visit: Visit) -> Iterator[Problem]:
    """Find accounts that may have no further VPC."""
    vpcs = _vpcs(visit)
    there = {tags_of(vpc).get("federate:node") for vpc in vpcs if visit.is_ours(vpc)}
    needed = len([node for node in visit.nodes if node.id not in there])
    if not needed:
        return
    allowed = quota(visit, *VPCS)
    if len(vpcs) + needed > allowed:
        yield visit.problem(
            f"{needed} VPC{'s' if needed > 1 else ''} more are needed, and the account has {len(vpcs)} of {allowed:g} "
            f"(quota {VPCS[1]}).",
            "",
            f"Delete one that nobody needs. {raise_it(visit, *VPCS, len(vpcs) + needed)}",
        )


def _hub_quota(visit: Visit, which: tuple[str, str], needed: int, what: str) -> Iterator[Problem]:
    allowed = quota(visit, *which)
    if needed > allowed:
        yield visit.problem(
            f"the hub needs {needed} {what}, and {allowed:g} are allowed (quota {which[1]}).",
            "",
            f"{raise_it(visit, *which, needed)} Or have fewer sites.",
        )


def peerings(visit: Visit) -> Iterator[Problem]:
    """Find a hub that may not have a peering with each site; AWS's default is 50, its most 125."""
    yield from _hub_quota(visit, PEERINGS_PER_VPC, _sites(visit), "peerings")


def routes_and_rules(visit: Visit) -> Iterator[Problem]:
    """Find a hub whose route table and security group cannot hold one entry per site."""
    yield from _hub_quota(visit, ROUTES_PER_TABLE, _sites(visit) + 1, "routes (one per site, and its own)")
    yield from _hub_quota(visit, RULES_PER_GROUP, _sites(visit) + 1, "ingress rules (one per site, and SSH's)")


def _sites(visit: Visit) -> int:
    return len(visit.federation.participants)


def interface_endpoints(visit: Visit) -> Iterator[Problem]:
    """Find a network that may not have the interface endpoints that its template has."""
    planned = [
        resource
        for resource in visit.resources
        if resource.get("Type") == "AWS::EC2::VPCEndpoint"
        and resource.get("Properties", {}).get("VpcEndpointType") == "Interface"
    ]
    if not planned:
        return
    needed = -(-len(planned) // len(visit.nodes))  # each node has a VPC of its own
    allowed = quota(visit, *INTERFACE_ENDPOINTS_PER_VPC)
    if needed > allowed:
        yield visit.problem(
            f"a VPC needs {needed} interface endpoints, and {allowed:g} are allowed "
            f"(quota {INTERFACE_ENDPOINTS_PER_VPC[1]}).",
            "",
            raise_it(visit, *INTERFACE_ENDPOINTS_PER_VPC, needed),
        )


def addresses(visit: Visit) -> Iterator[Problem]:
    """Find accounts that may have no further public address for a NAT gateway."""
    taken = visit.client("ec2").describe_addresses()["Addresses"]
    there = {tags_of(address).get("federate:node") for address in taken if visit.is_ours(address)}
    needed = len([node for node in visit.nodes if node.spec.internet == "nat" and node.id not in there])
    if not needed:
        return
    allowed = quota(visit, *ADDRESSES)
    if len(taken) + needed > allowed:
        yield visit.problem(
            f"NAT gateways need {needed} public address{'es' if needed > 1 else ''} more, and the account has "
            f"{len(taken)} of {allowed:g} (quota {ADDRESSES[1]}).",
            "",
            "Release one that nobody needs, or leave out internet: nat. "
            + raise_it(visit, *ADDRESSES, len(taken) + needed),
        )


def _has_nat(visit: Visit) -> bool:
    return any(node.spec.internet == "nat" for node in visit.nodes)


def connect_endpoint(visit: Visit) -> Iterator[Problem]:
    """Find somebody else's EC2 Instance Connect Endpoint in a VPC of ours: a VPC can have one.

    Source: "Quotas for EC2 Instance Connect Endpoint", Amazon EC2 User Guide.
    """
    ours = {vpc["VpcId"] for vpc in _vpcs(visit) if visit.is_ours(vpc)}
    if not ours:
        return
    for endpoint in visit.client("ec2").describe_instance_connect_endpoints()["InstanceConnectEndpoints"]:
        if endpoint["VpcId"] in ours and not visit.is_ours(endpoint) and not endpoint["State"].startswith("delete"):
            yield visit.problem(
                f"{endpoint['InstanceConnectEndpointId']} is in {endpoint['VpcId']}, and was not made by Federate.",
                "A VPC has one EC2 Instance Connect Endpoint; the deployment brings its own.",
                "Delete it: aws ec2 delete-instance-connect-endpoint --instance-connect-endpoint-id "
                f"{endpoint['InstanceConnectEndpointId']} {visit.cli}.",
            )


def _is_hub(visit: Visit) -> bool:
    return visit.is_hub


CHECKS = (
    Check("cidr", "Do the nodes' ranges keep clear of the account's other VPCs?", ("ec2:DescribeVpcs",), ranges),
    Check("vpc-quota", "May the account have the VPCs?", ("ec2:DescribeVpcs", *PERMISSIONS), vpc_quota),
    Check("peering-quota", "May the hub's VPC have a peering with each site?", PERMISSIONS, peerings, _is_hub),
    Check(
        "hub-quotas",
        "May the hub have a route and a security-group rule for each site?",
        PERMISSIONS,
        routes_and_rules,
        _is_hub,
    ),
    Check("endpoint-quota", "May a VPC have the interface endpoints?", PERMISSIONS, interface_endpoints),
    Check(
        "address-quota",
        "May the account have the public addresses of its NAT gateways?",
        ("ec2:DescribeAddresses", *PERMISSIONS),
        addresses,
        _has_nat,
    ),
    Check(
        "connect-endpoint",
        "Is there room for the EC2 Instance Connect Endpoint of each VPC?",
        ("ec2:DescribeVpcs", "ec2:DescribeInstanceConnectEndpoints"),
        connect_endpoint,
    ),
)
