"""Peering across accounts: who may, over what, and what may be named over it. Guards have their negative control."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stack_templates import template, vpc

ACCEPT = "ec2:AcceptVpcPeeringConnection"


class Pair:
    """A hub with a VPC and a site with one."""

    def __init__(self, hub: Any, site: Any) -> None:
        self.hub, self.site = hub, site
        group = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", "VpcId": {"Ref": "Vpc"}}}
        table = {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}}
        told = {
            "Vpc": {"Value": {"Ref": "Vpc"}},
            "Group": {"Value": {"Fn::GetAtt": ["Group", "GroupId"]}},
            "Table": {"Value": {"Ref": "Table"}},
        }
        hub.create("network", template(told, Vpc=vpc("10.30.0.0/16"), Group=group, Table=table))
        site.create("network", template(told, Vpc=vpc("10.10.0.0/16"), Group=group, Table=table))

    def offer_role(self, *, trusts: str | None = None, action: str = ACCEPT, requester: str | None = None) -> None:
        """Make the hub's role for the site, by default the right one."""
        here = f"arn:aws:ec2:us-east-1:{self.hub.id}"
        hub_vpc = f"{here}:vpc/{self.hub.outputs('network')['Vpc']}"
        requesters = f"arn:aws:ec2:us-east-1:{requester or self.site.id}:vpc/*"
        may = [
            {"Effect": "Allow", "Action": action, "Resource": hub_vpc},
            {
                "Effect": "Allow",
                "Action": action,
                "Resource": f"{here}:vpc-peering-connection/*",
                "Condition": {"ArnEquals": {"ec2:AccepterVpc": hub_vpc}, "ArnLike": {"ec2:RequesterVpc": requesters}},
            },
        ]
        principal = {"AWS": f"arn:aws:iam::{trusts or self.site.id}:root"}
        trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
        policies = [{"PolicyName": "accept", "PolicyDocument": {"Version": "2012-10-17", "Statement": may}}]
        role = {"RoleName": "accept-site", "AssumeRolePolicyDocument": trust, "Policies": policies}
        self.hub.create("accept", template(Role={"Type": "AWS::IAM::Role", "Properties": role}))

    def request(self, **change: Any) -> str:
        """Deploy the site's peering request and return the stack's status."""
        properties = {
            "VpcId": self.site.outputs("network")["Vpc"],
            "PeerVpcId": self.hub.outputs("network")["Vpc"],
            "PeerOwnerId": self.hub.id,
            "PeerRegion": "us-east-1",
            "PeerRoleArn": f"arn:aws:iam::{self.hub.id}:role/accept-site",
            **change,
        }
        given = {name: value for name, value in properties.items() if value is not None}
        peering = {"Type": "AWS::EC2::VPCPeeringConnection", "Properties": given}
        return self.site.create("peering", template({"Id": {"Value": {"Ref": "Peering"}}}, Peering=peering))

    def admit(self, name: str = "admit", *, owner: str | None = None) -> str:
        """Let the hub's group admit the site's group."""
        rule = {
            "GroupId": self.hub.outputs("network")["Group"],
            "IpProtocol": "tcp",
            "FromPort": 8890,
            "ToPort": 8890,
            "SourceSecurityGroupId": self.site.outputs("network")["Group"],
            "SourceSecurityGroupOwnerId": owner or self.site.id,
        }
        return self.hub.create(name, template(Rule={"Type": "AWS::EC2::SecurityGroupIngress", "Properties": rule}))

    def refusal(self) -> str:
        return self.site.reason("peering", "Peering", "CREATE_FAILED")


@pytest.fixture
def pair(new_account: Any) -> Pair:
    return Pair(new_account(), new_account())


def test_with_the_right_role_the_peering_is_active_in_both_accounts(pair: Pair) -> None:
    pair.offer_role()
    assert pair.request() == "CREATE_COMPLETE"
    for account in (pair.hub, pair.site):
        (peering,) = account.client("ec2").describe_vpc_peering_connections()["VpcPeeringConnections"]
        assert peering["Status"]["Code"] == "active"
        assert (peering["RequesterVpcInfo"]["OwnerId"], peering["AccepterVpcInfo"]["OwnerId"]) == (
            pair.site.id,
            pair.hub.id,
        )


def test_without_a_role_in_the_request_the_peering_is_refused(pair: Pair) -> None:
    pair.offer_role()
    assert pair.request(PeerRoleArn=None) == "ROLLBACK_COMPLETE"
    assert "cannot accept peering" in pair.refusal()


def test_a_role_that_is_not_there_refuses_the_peering(pair: Pair) -> None:
    assert pair.request() == "ROLLBACK_COMPLETE"
    assert "is not authorized to perform: sts:AssumeRole" in pair.refusal()


def test_a_role_that_trusts_another_account_refuses_the_peering(pair: Pair) -> None:
    pair.offer_role(trusts="999999999999")
    assert pair.request() == "ROLLBACK_COMPLETE"
    assert "is not authorized to perform: sts:AssumeRole" in pair.refusal()


def test_a_role_of_a_third_account_refuses_the_peering(pair: Pair, new_account: Any) -> None:
    pair.offer_role()
    assert pair.request(PeerRoleArn=f"arn:aws:iam::{new_account().id}:role/accept-site") == "ROLLBACK_COMPLETE"
    assert "is not authorized to perform: sts:AssumeRole" in pair.refusal()


@pytest.mark.parametrize("change", [{"action": "ec2:DescribeVpcs"}, {"requester": "999999999999"}])
def test_a_role_that_may_not_accept_this_peering_refuses_it(pair: Pair, change: dict[str, str]) -> None:
    pair.offer_role(**change)
    assert pair.request() == "ROLLBACK_COMPLETE"
    assert f"is not authorized to perform: {ACCEPT}" in pair.refusal()
    found = pair.hub.client("ec2").describe_vpc_peering_connections()["VpcPeeringConnections"]
    assert [peering for peering in found if peering["Status"]["Code"] == "active"] == []


def test_ranges_that_overlap_are_not_peered(pair: Pair) -> None:
    pair.offer_role()
    overlapping = pair.site.client("ec2").create_vpc(CidrBlock="10.30.128.0/24")["Vpc"]["VpcId"]
    assert pair.request(VpcId=overlapping) == "ROLLBACK_COMPLETE"
    assert "overlapping CIDR range" in pair.refusal()


def test_a_group_of_the_peer_is_admitted_over_an_active_peering(pair: Pair) -> None:
    pair.offer_role()
    pair.request()
    assert pair.admit() == "CREATE_COMPLETE"
    groups = pair.hub.client("ec2").describe_security_groups(GroupIds=[pair.hub.outputs("network")["Group"]])
    (permission,) = groups["SecurityGroups"][0]["IpPermissions"]
    (named,) = permission["UserIdGroupPairs"]
    assert (named["UserId"], named["GroupId"]) == (pair.site.id, pair.site.outputs("network")["Group"])


def test_without_a_peering_a_group_of_another_account_does_not_exist(pair: Pair) -> None:
    assert pair.admit() == "ROLLBACK_COMPLETE"
    assert "does not exist" in pair.hub.reason("admit", "Rule", "CREATE_FAILED")


def test_after_the_peering_is_deleted_no_new_rule_can_name_the_peers_group_but_the_old_one_can_go(pair: Pair) -> None:
    pair.offer_role()
    pair.request()
    pair.admit()
    assert pair.site.delete("peering") == "DELETE_COMPLETE"
    assert pair.hub.delete("admit") == "DELETE_COMPLETE"
    assert pair.admit("again") == "ROLLBACK_COMPLETE"


def test_a_group_of_the_peer_under_a_wrong_owner_does_not_exist(pair: Pair) -> None:
    pair.offer_role()
    pair.request()
    assert pair.admit(owner=pair.hub.id) == "ROLLBACK_COMPLETE"
    assert "does not exist" in pair.hub.reason("admit", "Rule", "CREATE_FAILED")


def test_an_egress_rule_cannot_name_a_group_of_the_peer_even_over_an_active_peering(pair: Pair) -> None:
    pair.offer_role()
    pair.request()
    rule = {
        "GroupId": pair.site.outputs("network")["Group"],
        "IpProtocol": "tcp",
        "FromPort": 8890,
        "ToPort": 8890,
        "DestinationSecurityGroupId": pair.hub.outputs("network")["Group"],
    }
    egress = template(Rule={"Type": "AWS::EC2::SecurityGroupEgress", "Properties": rule})
    assert pair.site.create("egress", egress) == "ROLLBACK_COMPLETE"
    assert "does not exist" in pair.site.reason("egress", "Rule", "CREATE_FAILED")
    with_owner = json.loads(json.dumps(egress))
    with_owner["Resources"]["Rule"]["Properties"]["DestinationSecurityGroupOwnerId"] = pair.hub.id
    assert pair.site.create("owner", with_owner) == "ROLLBACK_COMPLETE"
    reason = pair.site.reason("owner", "Rule", "CREATE_FAILED")
    assert "extraneous key [DestinationSecurityGroupOwnerId] is not permitted" in reason


def test_a_route_over_a_deleted_peering_is_a_black_hole(pair: Pair) -> None:
    pair.offer_role()
    pair.request()
    ec2 = pair.hub.client("ec2")
    peering = pair.site.outputs("peering")["Id"]
    table = pair.hub.outputs("network")["Table"]
    properties = {
        "RouteTableId": table,
        "DestinationCidrBlock": "10.10.0.0/16",
        "VpcPeeringConnectionId": peering,
    }
    assert pair.hub.create("route", template(Route={"Type": "AWS::EC2::Route", "Properties": properties})) == (
        "CREATE_COMPLETE"
    )

    def state() -> str:
        routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        return next(route["State"] for route in routes if route.get("VpcPeeringConnectionId") == peering)

    assert state() == "active"
    pair.site.delete("peering")
    assert state() == "blackhole"
    assert pair.hub.delete("route") == "DELETE_COMPLETE"
    refused = template(Route={"Type": "AWS::EC2::Route", "Properties": properties})
    assert pair.hub.create("late", refused) == "ROLLBACK_COMPLETE"


def test_a_request_through_the_api_is_not_accepted_by_the_wrong_account(pair: Pair) -> None:
    ec2 = pair.site.client("ec2")
    asked = ec2.create_vpc_peering_connection(
        VpcId=pair.site.outputs("network")["Vpc"],
        PeerVpcId=pair.hub.outputs("network")["Vpc"],
        PeerOwnerId=pair.hub.id,
    )["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=asked)
