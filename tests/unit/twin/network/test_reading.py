"""What the twin cannot give a body is refused by name, and never left out of the picture in silence."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.twin.network.layout import NOWHERE
from infra.local.twin.network.reading import NotInTheTwin, read
from infra.local.twin.network.routing import ways_of

ACCOUNT, REGION = "111111111111", "us-east-1"
KEYS = {
    "describe_vpcs": "Vpcs",
    "describe_subnets": "Subnets",
    "describe_vpc_endpoints": "VpcEndpoints",
    "describe_network_interfaces": "NetworkInterfaces",
    "describe_route_tables": "RouteTables",
    "describe_vpc_peering_connections": "VpcPeeringConnections",
    "describe_security_group_rules": "SecurityGroupRules",
    "describe_security_groups": "SecurityGroups",
    "describe_managed_prefix_lists": "PrefixLists",
}


class FakeEc2:
    """An account with one VPC, and what a test adds to it."""

    def __init__(self, **told: list[dict[str, Any]]) -> None:
        vpc = {"VpcId": "vpc-1", "CidrBlock": "10.1.0.0/16", "IsDefault": False}
        self.told = {"describe_vpcs": [vpc], **told}

    def get_paginator(self, operation: str) -> Any:
        pages = [{KEYS[operation]: self.told.get(operation, [])}]
        return type("Paginator", (), {"paginate": lambda *_, **__: pages})()


def look(ec2: FakeEc2) -> Any:
    return read([(ACCOUNT, REGION)], lambda *_: ec2)


def route(**target: str) -> dict[str, Any]:
    return {
        "RouteTableId": "rtb-1",
        "VpcId": "vpc-1",
        "Associations": [{"Main": True}],
        "Routes": [{"DestinationCidrBlock": "0.0.0.0/0", "State": "active", **target}],
    }


def peering(account: str, status: str = "active", region: str = REGION) -> dict[str, Any]:
    return {
        "VpcPeeringConnectionId": "pcx-1",
        "RequesterVpcInfo": {"VpcId": "vpc-1", "OwnerId": ACCOUNT, "CidrBlock": "10.1.0.0/16", "Region": REGION},
        "AccepterVpcInfo": {"VpcId": "vpc-9", "OwnerId": account, "CidrBlock": "10.9.0.0/16", "Region": region},
        "Status": {"Code": status},
    }


@pytest.mark.parametrize(
    "target",
    [
        {"GatewayId": "eigw-1"},
        {"NetworkInterfaceId": "eni-1"},
        {"TransitGatewayId": "tgw-1"},
        {"GatewayId": "vpce-1"},
        {},
    ],
)
def test_a_route_to_where_the_twin_has_no_way_is_refused(target: dict[str, str]) -> None:
    with pytest.raises(NotInTheTwin, match=r"the route 0\.0\.0\.0/0 of rtb-1") as refused:
        look(FakeEc2(describe_route_tables=[route(**target)]))
    assert next(iter(target.values()), "an unknown target") in str(refused.value)


def test_a_route_over_a_peering_and_one_inside_the_vpc_are_read() -> None:
    told = route(VpcPeeringConnectionId="pcx-1")
    told["Routes"].append({"DestinationCidrBlock": "10.1.0.0/16", "GatewayId": "local", "State": "active"})
    (table,) = look(FakeEc2(describe_route_tables=[told])).route_tables
    assert [found.target for found in table.routes] == ["pcx-1", "local"]


@pytest.mark.parametrize("target", [{"GatewayId": "igw-1"}, {"NatGatewayId": "nat-1"}])
def test_a_route_to_the_internet_is_read_and_leads_nowhere(target: dict[str, str]) -> None:
    (table,) = look(FakeEc2(describe_route_tables=[route(**target)])).route_tables
    (way,) = [way for way in ways_of(table, (), {}, {}, frozenset()) if way.destination == "0.0.0.0/0"]
    assert way.by == f"dev {NOWHERE}"


def test_a_peering_with_an_account_that_is_not_looked_at_is_refused() -> None:
    with pytest.raises(NotInTheTwin, match="leads to vpc-9 of account 999999999999"):
        look(FakeEc2(describe_vpc_peering_connections=[peering("999999999999")]))


def test_a_peering_with_a_region_that_is_not_looked_at_is_refused() -> None:
    with pytest.raises(NotInTheTwin, match="leads to vpc-9 of account 111111111111, eu-central-1"):
        look(FakeEc2(describe_vpc_peering_connections=[peering(ACCOUNT, region="eu-central-1")]))


def test_a_peering_with_a_default_vpc_is_refused() -> None:
    vpcs = [
        {"VpcId": "vpc-1", "CidrBlock": "10.1.0.0/16", "IsDefault": False},
        {"VpcId": "vpc-9", "CidrBlock": "172.31.0.0/16", "IsDefault": True},
    ]
    with pytest.raises(NotInTheTwin, match="leads to vpc-9"):
        look(FakeEc2(describe_vpcs=vpcs, describe_vpc_peering_connections=[peering(ACCOUNT)]))


def interface(**told: Any) -> dict[str, Any]:
    own = {"NetworkInterfaceId": "eni-1", "VpcId": "vpc-1", "SubnetId": "subnet-1", "MacAddress": "02:00:00:00:00:01"}
    return {**own, "PrivateIpAddress": "10.1.0.10", **told}


def in_its_subnet(found: dict[str, Any]) -> FakeEc2:
    subnet = {"SubnetId": "subnet-1", "VpcId": "vpc-1", "CidrBlock": "10.1.0.0/24", "AvailabilityZone": "us-east-1a"}
    return FakeEc2(describe_network_interfaces=[found], describe_subnets=[subnet])


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({"SourceDestCheck": False}, "eni-1: without the source/destination check"),
        (
            {"PrivateIpAddresses": [{"PrivateIpAddress": "10.1.0.10"}, {"PrivateIpAddress": "10.1.0.11"}]},
            "the second address of eni-1",
        ),
    ],
)
def test_an_interface_that_sends_from_more_than_its_address_is_refused(told: dict[str, Any], what: str) -> None:
    assert len(look(in_its_subnet(interface())).interfaces) == 1
    with pytest.raises(NotInTheTwin, match=what):
        look(in_its_subnet(interface(**told)))


def test_an_endpoints_interface_is_known_by_its_type_before_the_endpoint_tells_of_it() -> None:
    kinds = [found.kind for found in look(in_its_subnet(interface(InterfaceType="vpc_endpoint"))).interfaces]
    assert kinds == ["endpoint"]


def test_an_interface_that_goes_with_its_subnet_while_it_is_read_is_left_out() -> None:
    assert look(FakeEc2(describe_network_interfaces=[interface()])).interfaces == ()


@pytest.mark.parametrize(("account", "status"), [(ACCOUNT, "active"), ("999999999999", "pending-acceptance")])
def test_a_peering_whose_other_end_is_not_there_yet_waits(account: str, status: str) -> None:
    assert look(FakeEc2(describe_vpc_peering_connections=[peering(account, status)])).peerings == ()


def test_a_second_range_of_a_vpc_is_refused() -> None:
    ranges = [{"CidrBlock": "10.1.0.0/16"}, {"CidrBlock": "10.7.0.0/16"}]
    vpc = {"VpcId": "vpc-1", "CidrBlock": "10.1.0.0/16", "IsDefault": False, "CidrBlockAssociationSet": ranges}
    with pytest.raises(NotInTheTwin, match=r"the second range of vpc-1 \(10\.1\.0\.0/16, 10\.7\.0\.0/16\)"):
        look(FakeEc2(describe_vpcs=[vpc]))


def test_an_ipv6_range_of_a_vpc_is_refused() -> None:
    vpc = {
        "VpcId": "vpc-1",
        "CidrBlock": "10.1.0.0/16",
        "IsDefault": False,
        "CidrBlockAssociationSet": [{"CidrBlock": "10.1.0.0/16"}],
        "Ipv6CidrBlockAssociationSet": [{"Ipv6CidrBlock": "2001:db8::/56"}],
    }
    with pytest.raises(NotInTheTwin, match=r"the second range of vpc-1 \(10\.1\.0\.0/16, 2001:db8::/56\)"):
        look(FakeEc2(describe_vpcs=[vpc]))


def test_default_vpcs_are_left_out() -> None:
    assert look(FakeEc2(describe_vpcs=[{"VpcId": "vpc-0", "CidrBlock": "172.31.0.0/16", "IsDefault": True}])).vpcs == ()
