"""The deployed example, read back through the EC2 API: every pair is measured, and is as the model intends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from deployed_network import DeployedNetwork, deploy
from twin_world import As

from infra.federation.derive import nodes
from infra.local.twin.network import apply, plan
from infra.local.twin.network.picture import Picture
from infra.local.twin.network.reachability import Report, compare, measure

SSH = 22


@pytest.fixture(scope="module")
def deployed() -> DeployedNetwork:
    made = deploy()
    for node in nodes(made.federation):
        _offer_connect_endpoint(made.ec2(node.id))
    return made


@pytest.fixture(scope="module")
def picture(deployed: DeployedNetwork) -> Picture:
    return deployed.picture()


def _offer_connect_endpoint(ec2: Any) -> None:
    """Make the interface of an Instance Connect Endpoint, with its rules, where the stacks made none."""
    (interface,) = [
        found
        for found in ec2.describe_network_interfaces()["NetworkInterfaces"]
        if found["Description"].startswith("The fixed address")
    ]
    described = {found["Description"] for found in ec2.describe_network_interfaces()["NetworkInterfaces"]}
    if any(text.startswith("EC2 Instance Connect Endpoint") for text in described):
        return
    vpc, (group,) = interface["VpcId"], interface["Groups"]
    connect = ec2.create_security_group(GroupName="connect", Description="connect", VpcId=vpc)["GroupId"]
    ssh = {"IpProtocol": "tcp", "FromPort": SSH, "ToPort": SSH}
    everything = ec2.describe_security_groups(GroupIds=[connect])["SecurityGroups"][0]["IpPermissionsEgress"]
    ec2.revoke_security_group_egress(GroupId=connect, IpPermissions=everything)
    ec2.authorize_security_group_egress(
        GroupId=connect, IpPermissions=[{**ssh, "UserIdGroupPairs": [{"GroupId": group["GroupId"]}]}]
    )
    ec2.authorize_security_group_ingress(
        GroupId=group["GroupId"], IpPermissions=[{**ssh, "UserIdGroupPairs": [{"GroupId": connect}]}]
    )
    ec2.create_network_interface(
        SubnetId=interface["SubnetId"],
        Groups=[connect],
        Description="EC2 Instance Connect Endpoint eice-0123456789abcdef0",
    )


def test_the_picture_holds_what_was_deployed(deployed: DeployedNetwork, picture: Picture) -> None:
    wanted = {(node.account, str(node.spec.cidr), node.id) for node in nodes(deployed.federation)}
    assert {(vpc.account, vpc.cidr, vpc.node) for vpc in picture.vpcs} == wanted
    assert Counter(interface.kind for interface in picture.interfaces) == {"node": 3, "endpoint": 12, "connect": 3}
    addresses = {interface.node: interface.address for interface in picture.interfaces if interface.kind == "node"}
    assert addresses == {node.id: str(node.address) for node in nodes(deployed.federation)}
    assert {interface.federation for interface in picture.interfaces} == {"eicu"}
    assert all(interface.instance for interface in picture.interfaces if interface.kind == "node")
    assert [peering.is_active for peering in picture.peerings] == [True, True]
    assert {endpoint.service for endpoint in picture.endpoints} == {
        "s3",
        "ssm",
        "ssmmessages",
        "logs",
        "secretsmanager",
    }
    assert {found.name for found in picture.prefix_lists} == {"com.amazonaws.us-east-1.s3"}
    described = {rule.description for group in picture.groups for rule in group.ingress}
    assert {"FL port for hospital-a", "FL port for hospital-b"} <= described


def test_two_looks_at_the_same_deployment_are_the_same_picture(deployed: DeployedNetwork, picture: Picture) -> None:
    assert deployed.picture() == picture
    assert plan(deployed.picture()) == plan(picture)


@pytest.mark.parametrize("who", ["root", "user"])
def test_every_pair_is_as_the_model_intends(
    deployed: DeployedNetwork, picture: Picture, world: Callable[[Callable[[], Report]], Report], who: As
) -> None:
    port = deployed.federation.aggregator.port

    def report() -> Report:
        fabric = plan(picture)
        apply(None, fabric)
        return compare(deployed.federation, measure(fabric, picture, [port, SSH]))

    found = world(report)
    found.check()
    opened = {(str(row.source), str(row.target), row.port) for row in found.rows if row.measured == "open"}
    between = {row for row in opened if row[2] == port}
    assert between == {("hospital-a", "aggregator", port), ("hospital-b", "aggregator", port)}
    assert len([row for row in opened if row[2] == SSH]) == 3
    tried = {(row.source.node, row.target.node) for row in found.rows if row.target.kind == row.source.kind == "node"}
    names = [node.id for node in nodes(deployed.federation)]
    assert tried == {(one, other) for one in names for other in names if one != other}


def test_negative_control_a_hub_that_admits_anybody_on_its_ssh_port_is_a_difference_only_once_a_site_may_ask(
    deployed: DeployedNetwork, picture: Picture, world: Callable[[Callable[[], Report]], Report]
) -> None:
    hub, site = deployed.ec2("aggregator"), deployed.ec2("hospital-a")
    groups = {found.node: found.groups[0] for found in picture.interfaces if found.kind == "node"}
    anybody = [{"IpProtocol": "tcp", "FromPort": SSH, "ToPort": SSH, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]

    def differences() -> set[tuple[str, str, int]]:
        opened = deployed.picture()

        def report() -> Report:
            fabric = plan(opened)
            apply(None, fabric)
            return compare(deployed.federation, measure(fabric, opened, [SSH]))

        # The FL port is not measured here, and so it is missing.
        found = [row for row in world(report).differences if row.measured == "open"]
        return {(str(row.source), str(row.target), row.port) for row in found}

    hub.authorize_security_group_ingress(GroupId=groups["aggregator"], IpPermissions=anybody)
    try:
        assert differences() == set()
        site.authorize_security_group_egress(GroupId=groups["hospital-a"], IpPermissions=anybody)
        try:
            assert differences() == {("hospital-a", "aggregator", SSH)}
        finally:
            site.revoke_security_group_egress(GroupId=groups["hospital-a"], IpPermissions=anybody)
    finally:
        hub.revoke_security_group_ingress(GroupId=groups["aggregator"], IpPermissions=anybody)
