"""``internet: nat``: one way out, for HTTPS, and none in; whoever does not ask for it has nothing of it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

ANYWHERE = "0.0.0.0/0"


@pytest.fixture
def with_nat(synth: Any, data: Any) -> Any:
    """The example, where hospital-a asks for a NAT gateway."""
    data["participants"][0]["internet"] = "nat"
    return synth(data)


def _resources(template: Any, *types: str) -> dict[str, Any]:
    return {name: r["Properties"] for name, r in template["Resources"].items() if r["Type"] in types}


def _routes_of(template: Any, subnet: str) -> dict[str, Any]:
    """Return the targets by destination of the routes that a subnet's own table has."""
    associations = _resources(template, "AWS::EC2::SubnetRouteTableAssociation").values()
    (table,) = [found["RouteTableId"] for found in associations if found["SubnetId"] == {"Ref": subnet}]
    routes = [r for r in _resources(template, "AWS::EC2::Route").values() if r["RouteTableId"] == table]
    return {r["DestinationCidrBlock"]: r.get("GatewayId") or r.get("NatGatewayId") for r in routes}


def test_the_nodes_subnet_leads_to_the_nat_gateway_and_never_to_the_internet_gateway(with_nat: Any) -> None:
    template = with_nat.templates["SiteNetwork-hospital-a"]
    assert _routes_of(template, "Subnet")[ANYWHERE] == {"Ref": "NatGateway"}
    assert _routes_of(template, "PublicSubnet") == {ANYWHERE: {"Ref": "InternetGateway"}}
    (gateway,) = _resources(template, "AWS::EC2::NatGateway").values()
    assert gateway["SubnetId"] == {"Ref": "PublicSubnet"}


def test_nothing_else_stands_in_the_public_subnet(with_nat: Any) -> None:
    template = with_nat.templates["SiteNetwork-hospital-a"]
    users = {
        name
        for name, resource in template["Resources"].items()
        if '{"Ref": "PublicSubnet"}' in json.dumps(resource["Properties"])
    }
    assert users == {"NatGateway", "PublicSubnetRoutes"}


def test_the_node_dials_https_alone_and_nobody_dials_the_node(with_nat: Any) -> None:
    template = with_nat.templates["SiteNetwork-hospital-a"]
    egress = _resources(template, "AWS::EC2::SecurityGroupEgress")
    (out,) = [rule for rule in egress.values() if rule.get("CidrIp") == ANYWHERE]
    assert (out["IpProtocol"], out["FromPort"], out["ToPort"]) == ("tcp", 443, 443)
    assert out["GroupId"] == {"Fn::GetAtt": ["NodeSecurityGroup", "GroupId"]}
    ingress = _resources(template, "AWS::EC2::SecurityGroupIngress")
    inline = [
        rule
        for group in _resources(template, "AWS::EC2::SecurityGroup").values()
        for rule in group.get("SecurityGroupIngress", [])
    ]
    assert all("CidrIp" not in rule for rule in [*ingress.values(), *inline])


def test_no_other_stack_changes_by_a_byte(synth: Any, data: Any) -> None:
    example = synth(copy.deepcopy(data))
    data["participants"][0]["internet"] = "nat"
    with_nat = synth(data)
    changed = {name for name, content in with_nat.bytes.items() if content != example.bytes[name]}
    assert changed == {"SiteNetwork-hospital-a"}
    assert ANYWHERE not in example.bytes["SiteNetwork-hospital-a"].decode()


def test_the_gateway_and_its_address_wait_for_the_attachment(with_nat: Any) -> None:
    resources = with_nat.templates["SiteNetwork-hospital-a"]["Resources"]
    assert "InternetGatewayAttachment" in resources["RouteToInternet"]["DependsOn"]
    assert "InternetGatewayAttachment" in resources["NatAddress"]["DependsOn"]
    assert "RouteToInternet" in resources["NatGateway"]["DependsOn"]
