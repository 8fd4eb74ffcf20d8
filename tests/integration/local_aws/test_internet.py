"""``internet: nat`` on loopback AWS: made in an order that works, gone without a trace, and a body in the twin."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from deployed_network import EXAMPLE, DeployedNetwork, deploy

from infra.deployment.default_group import empty_default_groups
from infra.federation.model import Federation
from infra.local.twin.network import plan
from infra.local.twin.network.layout import NOWHERE
from stacks.plan import StackPlan

SITE = "888888888801"
ANYWHERE = "0.0.0.0/0"


@pytest.fixture(scope="module")
def deployed() -> DeployedNetwork:
    """The example, in accounts of its own, with a way out for hospital-a."""
    told = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    for number, member in enumerate((told["aggregator"], *told["participants"])):
        member["account"] = f"88888888880{number}"
    told["participants"][0]["internet"] = "nat"
    return deploy(Federation.model_validate(told))


def network_stack(deployed: DeployedNetwork, node: str, stack: str, account: str) -> StackPlan:
    name = f"{deployed.federation.name}-{stack}"
    return StackPlan(stack, name, "sites", node, account, "us-east-1", node, {}, ("VpcId",), ())


class AsAccounts:
    """The accounts as the deployment reaches them, whatever the profile."""

    def __init__(self, deployed: DeployedNetwork, account: str) -> None:
        self._deployed = deployed
        self._account = account

    def client(self, service: str, *, profile: str, region: str) -> Any:
        return self._deployed.client(service, self._account, region)


def test_the_gateway_stands_in_a_subnet_of_its_own_and_has_the_only_public_address(deployed: DeployedNetwork) -> None:
    ec2 = deployed.ec2("hospital-a")
    (gateway,) = ec2.describe_nat_gateways()["NatGateways"]
    (subnet,) = ec2.describe_subnets(SubnetIds=[gateway["SubnetId"]])["Subnets"]
    assert subnet["CidrBlock"] == "10.10.255.240/28"
    (address,) = ec2.describe_addresses()["Addresses"]
    (interface,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[address["NetworkInterfaceId"]])[
        "NetworkInterfaces"
    ]
    assert interface["SubnetId"] == gateway["SubnetId"]
    assert deployed.ec2("hospital-b").describe_addresses()["Addresses"] == []


def test_the_twin_has_a_body_for_it_with_no_way_to_the_internet(deployed: DeployedNetwork) -> None:
    picture = deployed.picture()
    fabric = plan(picture)
    assert not any(interface.description.startswith("Interface for NAT") for interface in picture.interfaces)
    vpcs = {vpc.id for vpc in picture.vpcs}
    ways = {way.by for one in fabric.namespaces if one.name in vpcs for way in one.ways if way.destination == ANYWHERE}
    assert ways == {f"dev {NOWHERE}"}


def test_what_is_put_into_the_vpc_by_mistake_is_admitted_nothing(deployed: DeployedNetwork) -> None:
    ec2 = deployed.ec2("hospital-a")
    stack = network_stack(deployed, "hospital-a", "SiteNetwork-hospital-a", SITE)
    accounts = AsAccounts(deployed, SITE)
    (vpc,) = [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]
    default = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]

    def rules() -> list[Any]:
        (group,) = ec2.describe_security_groups(Filters=default)["SecurityGroups"]
        return [*group["IpPermissions"], *group["IpPermissionsEgress"]]

    assert rules(), "as AWS makes it, it has rules"
    assert empty_default_groups([stack], accounts) == [stack.name]
    assert rules() == []
    assert empty_default_groups([stack], accounts) == []


def test_it_goes_without_a_trace(deployed: DeployedNetwork) -> None:
    ec2 = deployed.ec2("hospital-a")
    cloudformation = deployed.client("cloudformation", SITE, "us-east-1")
    name = deployed.federation.name
    with pytest.raises(ClientError, match="DependencyViolation"):
        ec2.delete_subnet(SubnetId=ec2.describe_nat_gateways()["NatGateways"][0]["SubnetId"])
    for stack in ("SiteNode", "SiteNetwork"):
        cloudformation.delete_stack(StackName=f"{name}-{stack}-hospital-a")
    statuses = [
        found["StackStatus"]
        for found in cloudformation.list_stacks()["StackSummaries"]
        if "SiteStorage" not in found["StackName"]
    ]
    assert set(statuses) == {"DELETE_COMPLETE"}, statuses
    assert ec2.describe_addresses()["Addresses"] == []
    assert [g["State"] for g in ec2.describe_nat_gateways()["NatGateways"]] in ([], ["deleted"])
    assert ec2.describe_internet_gateways()["InternetGateways"] == []
    marked = ec2.describe_tags(Filters=[{"Name": "tag:federate:federation", "Values": [name]}])["Tags"]
    kinds = {tag["ResourceType"] for tag in marked}
    assert "volume" in kinds, "it is retained"
    assert not kinds & {"vpc-flow-log", "flow-logs", "natgateway", "internet-gateway", "elastic-ip"}, kinds
