"""Where packets may go: nowhere but to the aggregator's one port and the account's own endpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

Template = dict[str, Any]
Rule = dict[str, Any]

PORT = 8890
FORBIDDEN_TYPES = {
    "AWS::EC2::InternetGateway",
    "AWS::EC2::NatGateway",
    "AWS::EC2::EgressOnlyInternetGateway",
    "AWS::EC2::EIP",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::EC2::TransitGateway",
}


def _rules(template: Template, way: str) -> list[Rule]:
    found: list[Rule] = []
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::EC2::SecurityGroup":
            found += resource["Properties"].get(f"SecurityGroup{way}", [])
        elif resource["Type"] == f"AWS::EC2::SecurityGroup{way}":
            found.append(resource["Properties"])
    return found


def _open_to_the_world(template: Template) -> bool:
    text = json.dumps(template)
    return "0.0.0.0/0" in text or "::/0" in text


def _admits_ssh(template: Template) -> bool:
    """Say whether any but the Instance Connect Endpoint's own group is let in to port 22."""
    return any(
        (rule["IpProtocol"] in ("-1", -1) or int(rule["FromPort"]) <= 22 <= int(rule["ToPort"]))
        and not _is_the_endpoints(rule)
        for rule in _rules(template, "Ingress")
    )


def _is_the_endpoints(rule: Rule) -> bool:
    source = {key: value for key, value in rule.items() if key.startswith(("Source", "Cidr"))}
    ports = (rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort"))
    connect = {"Fn::GetAtt": ["ConnectSecurityGroup", "GroupId"]}
    return ports == ("tcp", 22, 22) and source == {"SourceSecurityGroupId": connect}


def _public(template: Template) -> list[str]:
    found = [n for n, r in template["Resources"].items() if r["Type"] in FORBIDDEN_TYPES]
    found += [n for n, r in template["Resources"].items() if r["Properties"].get("MapPublicIpOnLaunch") is True]
    return found + (["public address"] if '"AssociatePublicIpAddress": true' in json.dumps(template) else [])


GUARDS: list[tuple[Callable[[Template], Any], str, Rule]] = [
    (_open_to_the_world, "AWS::EC2::Route", {"DestinationCidrBlock": "0.0.0.0/0"}),
    (_open_to_the_world, "AWS::EC2::SecurityGroupEgress", {"CidrIpv6": "::/0", "IpProtocol": "-1"}),
    (_admits_ssh, "AWS::EC2::SecurityGroupIngress", {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}),
    (_admits_ssh, "AWS::EC2::SecurityGroupIngress", {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535}),
    (_admits_ssh, "AWS::EC2::SecurityGroupIngress", {"IpProtocol": "-1"}),
    (
        _admits_ssh,
        "AWS::EC2::SecurityGroupIngress",
        {
            "IpProtocol": "tcp",
            "FromPort": 22,
            "ToPort": 22,
            "SourceSecurityGroupId": {"Fn::GetAtt": ["EndpointSecurityGroup", "GroupId"]},
        },
    ),
    (_public, "AWS::EC2::InternetGateway", {}),
    (_public, "AWS::EC2::Subnet", {"MapPublicIpOnLaunch": True}),
]


def test_no_rule_and_no_route_leads_anywhere_in_the_world(example: Any) -> None:
    for name, template in example.templates.items():
        assert not _open_to_the_world(template), name
        assert not _admits_ssh(template), name
        assert not _public(template), name


@pytest.mark.parametrize(("guard", "kind", "properties"), GUARDS)
def test_a_hole_would_be_noticed(example: Any, guard: Callable[[Template], Any], kind: str, properties: Rule) -> None:
    template = json.loads(example.bytes["HubNetwork"])
    assert not guard(template)
    template["Resources"]["Hole"] = {"Type": kind, "Properties": properties}
    assert guard(template)


def test_a_sites_node_may_dial_the_aggregator_its_endpoints_and_s3_and_nothing_else(example: Any, of_type: Any) -> None:
    template = example.templates["SiteNetwork-hospital-a"]
    inline = template["Resources"]["NodeSecurityGroup"]["Properties"]["SecurityGroupEgress"]
    hub_address = ip_network("10.30.0.0/16").network_address + 10
    assert [(r.get("CidrIp"), r.get("DestinationPrefixListId"), r["FromPort"], r["ToPort"]) for r in inline] == [
        (f"{hub_address}/32", None, PORT, PORT),
        (None, {"Ref": "S3PrefixListId"}, 443, 443),
    ]
    (further,) = of_type(template, "AWS::EC2::SecurityGroupEgress").values()
    assert further["GroupId"] == {"Fn::GetAtt": ["NodeSecurityGroup", "GroupId"]}
    assert further["DestinationSecurityGroupId"] == {"Fn::GetAtt": ["EndpointSecurityGroup", "GroupId"]}
    assert (further["FromPort"], further["ToPort"]) == (443, 443)
    assert {r["IpProtocol"] for r in (*inline, further)} == {"tcp"}


def test_the_hubs_node_dials_nobody_but_its_endpoints_and_s3(example: Any, of_type: Any) -> None:
    template = example.templates["HubNetwork"]
    (inline,) = template["Resources"]["NodeSecurityGroup"]["Properties"]["SecurityGroupEgress"]
    assert inline["DestinationPrefixListId"] == {"Ref": "S3PrefixListId"}
    assert len(of_type(template, "AWS::EC2::SecurityGroupEgress")) == 1


def test_nothing_but_ssh_from_its_own_connect_endpoint_is_admitted_to_a_sites_node(example: Any, of_type: Any) -> None:
    for site in ("hospital-a", "hospital-b"):
        template = example.templates[f"SiteNetwork-{site}"]
        assert "SecurityGroupIngress" not in template["Resources"]["NodeSecurityGroup"]["Properties"]
        (admitted,) = of_type(template, "AWS::EC2::SecurityGroupIngress").values()
        assert admitted["GroupId"] == {"Fn::GetAtt": ["NodeSecurityGroup", "GroupId"]}
        assert _is_the_endpoints(admitted)


@pytest.mark.parametrize("stack", ["HubNetwork", "SiteNetwork-hospital-a"])
def test_the_connect_endpoint_dials_ssh_of_its_own_node_and_nothing_else(
    example: Any, of_type: Any, stack: str
) -> None:
    template = example.templates[stack]
    group = template["Resources"]["ConnectSecurityGroup"]["Properties"]
    (dials,) = group["SecurityGroupEgress"]
    assert dials["DestinationSecurityGroupId"] == {"Fn::GetAtt": ["NodeSecurityGroup", "GroupId"]}
    assert (dials["IpProtocol"], dials["FromPort"], dials["ToPort"]) == ("tcp", 22, 22)
    assert "SecurityGroupIngress" not in group
    (endpoint,) = of_type(template, "AWS::EC2::InstanceConnectEndpoint").values()
    assert endpoint["SecurityGroupIds"] == [{"Fn::GetAtt": ["ConnectSecurityGroup", "GroupId"]}]
    assert endpoint["SubnetId"] == {"Ref": "Subnet"}
    assert endpoint["PreserveClientIp"] is False
    assert template["Outputs"]["ConnectEndpointId"]["Value"] == {"Ref": "ConnectEndpoint"}


def test_groups_name_each_other_one_way_only_so_that_they_can_be_made(example: Any, of_type: Any) -> None:
    groups = of_type(example.templates["HubNetwork"], "AWS::EC2::SecurityGroup")
    named = {name: set(re.findall(r'"Fn::GetAtt": \["(\w+)"', json.dumps(group))) for name, group in groups.items()}
    assert named["NodeSecurityGroup"].isdisjoint(groups)


def test_endpoints_admit_https_of_the_own_node_and_dial_nowhere(example: Any) -> None:
    for stack in ("HubNetwork", "SiteNetwork-hospital-a"):
        group = example.templates[stack]["Resources"]["EndpointSecurityGroup"]["Properties"]
        (ingress,) = group["SecurityGroupIngress"]
        assert ingress["SourceSecurityGroupId"] == {"Fn::GetAtt": ["NodeSecurityGroup", "GroupId"]}
        assert (ingress["FromPort"], ingress["ToPort"]) == (443, 443)
        assert [rule["CidrIp"] for rule in group["SecurityGroupEgress"]] == ["127.0.0.1/32"]


def test_the_hub_admits_one_port_from_the_sites_own_group(example: Any) -> None:
    for site, account in (("hospital-a", "111111111111"), ("hospital-b", "222222222222")):
        admission = example.templates[f"HubLink-{site}"]["Resources"]["Admission"]["Properties"]
        assert admission["SourceSecurityGroupId"] == {"Ref": "SiteSecurityGroupId"}
        assert admission["SourceSecurityGroupOwnerId"] == account
        assert (admission["IpProtocol"], admission["FromPort"], admission["ToPort"]) == ("tcp", PORT, PORT)
        assert "CidrIp" not in admission


def test_across_regions_the_hub_admits_by_address_and_the_site_names_the_hubs_region(
    elsewhere: Any, synth: Any
) -> None:
    templates = synth(elsewhere).templates
    link = templates["HubLink-hospital-b"]
    admission = link["Resources"]["Admission"]["Properties"]
    assert admission["CidrIp"] == "10.20.0.10/32"
    assert "SourceSecurityGroupId" not in admission
    assert set(link["Parameters"]) == {"PeeringId"}
    assert templates["SiteNetwork-hospital-b"]["Resources"]["Peering"]["Properties"]["PeerRegion"] == "us-east-1"
    assert "PeerRegion" not in templates["SiteNetwork-hospital-a"]["Resources"]["Peering"]["Properties"]
    zone = templates["SiteNetwork-hospital-b"]["Resources"]["Subnet"]["Properties"]["AvailabilityZone"]
    assert zone == "eu-central-1a"


def test_a_route_leads_to_the_other_ends_subnet_and_no_further(example: Any, of_type: Any) -> None:
    (there,) = of_type(example.templates["SiteNetwork-hospital-a"], "AWS::EC2::Route").values()
    assert there["DestinationCidrBlock"] == "10.30.0.0/24"
    assert there["VpcPeeringConnectionId"] == {"Ref": "Peering"}
    for site, subnet in (("hospital-a", "10.10.0.0/24"), ("hospital-b", "10.20.0.0/24")):
        (back,) = of_type(example.templates[f"HubLink-{site}"], "AWS::EC2::Route").values()
        assert back["DestinationCidrBlock"] == subnet
        assert back["VpcPeeringConnectionId"] == {"Ref": "PeeringId"}


def test_no_template_knows_a_way_from_hospital_to_hospital(example: Any) -> None:
    for site, other in (("hospital-a", "10.20."), ("hospital-b", "10.10.")):
        for part in ("Storage", "Network", "Node"):
            assert other not in example.bytes[f"Site{part}-{site}"].decode()


def test_the_nodes_address_is_the_tenth_of_its_subnet_and_belongs_to_the_network(example: Any) -> None:
    for stack, cidr in (("HubNetwork", "10.30.0.0/24"), ("SiteNetwork-hospital-a", "10.10.0.0/24")):
        resources = example.templates[stack]["Resources"]
        assert resources["Subnet"]["Properties"]["CidrBlock"] == cidr
        interface = resources["NodeInterface"]["Properties"]
        assert interface["PrivateIpAddress"] == str(ip_network(cidr).network_address + 10)
        assert interface["GroupSet"] == [{"Fn::GetAtt": ["NodeSecurityGroup", "GroupId"]}]


def test_the_accounts_services_are_reached_over_endpoints_in_the_vpc(example: Any, of_type: Any) -> None:
    endpoints = of_type(example.templates["SiteNetwork-hospital-a"], "AWS::EC2::VPCEndpoint").values()
    kinds = {e["ServiceName"]: e["VpcEndpointType"] for e in endpoints}
    assert kinds == {
        "com.amazonaws.us-east-1.s3": "Gateway",
        **{f"com.amazonaws.us-east-1.{s}": "Interface" for s in ("ssm", "ssmmessages", "logs", "secretsmanager")},
    }
    for endpoint in endpoints:
        if endpoint["VpcEndpointType"] == "Interface":
            assert endpoint["PrivateDnsEnabled"] is True
            assert endpoint["SecurityGroupIds"] == [{"Fn::GetAtt": ["EndpointSecurityGroup", "GroupId"]}]
        else:
            assert endpoint["RouteTableIds"] == [{"Ref": "RouteTable"}]


def test_the_port_is_the_federations(data: Any, synth: Any) -> None:
    data["aggregator"]["port"] = 9999
    templates = synth(data).templates
    egress = templates["SiteNetwork-hospital-b"]["Resources"]["NodeSecurityGroup"]["Properties"]["SecurityGroupEgress"]
    admission = templates["HubLink-hospital-b"]["Resources"]["Admission"]["Properties"]
    assert (egress[0]["FromPort"], egress[0]["ToPort"]) == (9999, 9999)
    assert (admission["FromPort"], admission["ToPort"]) == (9999, 9999)
