"""Ranges, and the quotas of the network."""

from __future__ import annotations

from typing import Any

import pytest
from stubbed_aws import StubbedAccounts

from infra.errors import Severity
from infra.federation.model import Participant
from infra.preflight import network

OURS = [{"Key": "federate:federation", "Value": "fed"}, {"Key": "federate:node", "Value": "hospital-a"}]
ENDPOINT = {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Interface"}}


def has(aws: StubbedAccounts, *vpcs: tuple[str, list[dict[str, str]]]) -> None:
    told = [{"VpcId": f"vpc-{n}", "CidrBlock": cidr, "Tags": tags} for n, (cidr, tags) in enumerate(vpcs)]
    aws.answers("ec2.describe_vpcs", {"Vpcs": told})


@pytest.mark.parametrize(
    ("cidr", "tags", "warnings"),
    [("172.31.0.0/16", [], 0), ("10.10.0.0/16", OURS, 0), ("10.10.128.0/20", [], 1), ("10.0.0.0/8", [], 1)],
)
def test_a_range_keeps_clear_of_the_accounts_other_vpcs(
    aws: StubbedAccounts, visit: Any, cidr: str, tags: list[dict[str, str]], warnings: int
) -> None:
    has(aws, (cidr, tags))
    problems = list(network.ranges(visit()))
    assert [problem.severity for problem in problems] == [Severity.WARNING] * warnings
    assert all(cidr in problem.found and "10.10.0.0/16" in problem.found for problem in problems)


@pytest.mark.parametrize(("quota", "errors"), [(2, 0), (1, 1)])
def test_the_vpcs_quota_counts_those_that_are_there(aws: StubbedAccounts, visit: Any, quota: int, errors: int) -> None:
    has(aws, ("172.31.0.0/16", []))
    aws.quota(quota)
    assert [problem.severity for problem in network.vpc_quota(visit())] == [Severity.ERROR] * errors


def test_a_vpc_that_is_ours_needs_no_further_one(aws: StubbedAccounts, visit: Any) -> None:
    has(aws, ("10.10.0.0/16", OURS))
    assert list(network.vpc_quota(visit())) == []


def sites(number: int) -> tuple[Participant, ...]:
    return tuple(
        Participant(id=f"site-{n}", account=f"{n:012}", profile=f"site-{n}", cidr=f"10.{n}.0.0/16")
        for n in range(1, number + 1)
    )


@pytest.mark.parametrize(("number", "errors"), [(50, 0), (51, 1)])
def test_a_hub_may_have_a_peering_with_fifty_sites(aws: StubbedAccounts, visit: Any, number: int, errors: int) -> None:
    aws.quota(50)
    problems = list(network.peerings(visit(to_hub=True, participants=sites(number))))
    assert [problem.severity for problem in problems] == [Severity.ERROR] * errors
    assert all(f"needs {number} peerings, and 50 are allowed" in problem.found for problem in problems)


def test_a_hub_needs_a_route_and_a_rule_for_each_site(aws: StubbedAccounts, visit: Any) -> None:
    aws.quota(3)
    aws.quota(2)
    (problem,) = network.routes_and_rules(visit(to_hub=True, participants=sites(2)))
    assert "3 ingress rules (one per site, and SSH's), and 2 are allowed (quota L-0EA8095F)" in problem.found


@pytest.mark.parametrize(("quota", "errors"), [(4, 0), (3, 1)])
def test_a_vpc_may_have_its_templates_interface_endpoints(
    aws: StubbedAccounts, visit: Any, quota: int, errors: int
) -> None:
    gateway = {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Gateway"}}
    aws.quota(quota)
    found = network.interface_endpoints(visit(resources=(*[ENDPOINT] * 4, gateway)))
    assert [problem.severity for problem in found] == [Severity.ERROR] * errors


@pytest.mark.parametrize(("taken", "errors"), [(4, 0), (5, 1)])
def test_a_nat_gateway_needs_an_address(aws: StubbedAccounts, visit: Any, taken: int, errors: int) -> None:
    aws.answers("ec2.describe_addresses", {"Addresses": [{"Tags": []}] * taken})
    aws.quota(5)
    found = network.addresses(visit(site={"internet": "nat"}))
    assert [problem.severity for problem in found] == [Severity.ERROR] * errors


@pytest.mark.parametrize(("tags", "errors"), [(OURS, 0), ([], 1)])
def test_our_vpc_holds_no_instance_connect_endpoint_but_ours(
    aws: StubbedAccounts, visit: Any, tags: list[dict[str, str]], errors: int
) -> None:
    has(aws, ("10.10.0.0/16", OURS))
    told = {"InstanceConnectEndpointId": "eice-1", "VpcId": "vpc-0", "State": "create-complete", "Tags": tags}
    aws.answers("ec2.describe_instance_connect_endpoints", {"InstanceConnectEndpoints": [told]})
    assert [problem.severity for problem in network.connect_endpoint(visit())] == [Severity.ERROR] * errors
