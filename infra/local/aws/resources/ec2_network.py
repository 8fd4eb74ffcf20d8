"""VPC, subnet, route table, association, route and flow log.

Source for properties, ``Ref`` and attributes: each type's page in the AWS CloudFormation Template Reference.
"""

from __future__ import annotations

from typing import Any

from infra.local.aws.cfn.errors import ResourceFailure
from infra.local.aws.resources.base import (
    Attributes,
    Call,
    Handler,
    Made,
    Properties,
    Schema,
    boolean,
    integer,
    names,
    pick,
)
from infra.local.aws.resources.ec2_tags import tag, untag


class Vpc(Handler):
    """``AWS::EC2::VPC``."""

    type = "AWS::EC2::VPC"
    schema = Schema(
        create_only=names("CidrBlock InstanceTenancy"),
        updatable=names("EnableDnsSupport EnableDnsHostnames"),
        required=names("CidrBlock"),
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the VPC and set its DNS options."""
        ec2 = call.service("ec2")
        vpc = ec2.create_vpc(**pick(properties, "CidrBlock", "InstanceTenancy"))["Vpc"]["VpcId"]
        call.begun(vpc)
        self._options(ec2, vpc, properties)
        tag(call, vpc, properties)
        here = [{"Name": "vpc-id", "Values": [vpc]}]
        by_name = [*here, {"Name": "group-name", "Values": ["default"]}]
        group = ec2.describe_security_groups(Filters=by_name)["SecurityGroups"][0]["GroupId"]
        acl = ec2.describe_network_acls(Filters=here)["NetworkAcls"][0]["NetworkAclId"]
        attributes = {
            "VpcId": vpc,
            "CidrBlock": properties["CidrBlock"],
            "DefaultSecurityGroup": group,
            "DefaultNetworkAcl": acl,
        }
        return Made(vpc, attributes)

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change DNS options and tags; an option that is taken away goes back to AWS's default."""
        defaults = {"EnableDnsSupport": True, "EnableDnsHostnames": False}
        self._options(call.service("ec2"), physical_id, {**defaults, **new})
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the VPC; refused while anything is in it."""
        call.service("ec2").delete_vpc(VpcId=physical_id)

    @staticmethod
    def _options(ec2: Any, vpc: str, properties: Properties) -> None:
        for name in ("EnableDnsSupport", "EnableDnsHostnames"):
            if name in properties:
                ec2.modify_vpc_attribute(VpcId=vpc, **{name: {"Value": boolean(properties[name])}})


class Subnet(Handler):
    """``AWS::EC2::Subnet``."""

    type = "AWS::EC2::Subnet"
    schema = Schema(
        create_only=names("VpcId CidrBlock AvailabilityZone"),
        updatable=names("MapPublicIpOnLaunch"),
        required=names("VpcId"),
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the subnet; without a public address at launch unless the template says so."""
        ec2 = call.service("ec2")
        made = ec2.create_subnet(**pick(properties, "VpcId", "CidrBlock", "AvailabilityZone"))["Subnet"]
        subnet = made["SubnetId"]
        call.begun(subnet)
        self._map_public(ec2, subnet, properties)
        tag(call, subnet, properties)
        attributes = {
            "SubnetId": subnet,
            "VpcId": properties["VpcId"],
            "CidrBlock": made["CidrBlock"],
            "AvailabilityZone": made["AvailabilityZone"],
        }
        return Made(subnet, attributes)

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change the public address option and tags."""
        self._map_public(call.service("ec2"), physical_id, new)
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the subnet; refused while an interface is in it."""
        call.service("ec2").delete_subnet(SubnetId=physical_id)

    @staticmethod
    def _map_public(ec2: Any, subnet: str, properties: Properties) -> None:
        wanted = boolean(properties.get("MapPublicIpOnLaunch", False))
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": wanted})


class RouteTable(Handler):
    """``AWS::EC2::RouteTable``."""

    type = "AWS::EC2::RouteTable"
    schema = Schema(create_only=names("VpcId"), required=names("VpcId"), tags="list")

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the route table, with the VPC's local route."""
        table = call.service("ec2").create_route_table(VpcId=properties["VpcId"])["RouteTable"]["RouteTableId"]
        call.begun(table)
        tag(call, table, properties)
        return Made(table, {"RouteTableId": table})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change tags."""
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the route table; refused while a subnet is associated with it."""
        call.service("ec2").delete_route_table(RouteTableId=physical_id)


class SubnetRouteTableAssociation(Handler):
    """``AWS::EC2::SubnetRouteTableAssociation``."""

    type = "AWS::EC2::SubnetRouteTableAssociation"
    schema = Schema(create_only=names("SubnetId RouteTableId"), required=names("SubnetId RouteTableId"))

    def create(self, call: Call, properties: Properties) -> Made:
        """Associate them."""
        answer = call.service("ec2").associate_route_table(**pick(properties, "SubnetId", "RouteTableId"))
        return Made(answer["AssociationId"], {"Id": answer["AssociationId"]})

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Leave the subnet to the VPC's main route table."""
        call.service("ec2").disassociate_route_table(AssociationId=physical_id)


class Route(Handler):
    """``AWS::EC2::Route``: to a peering connection, a network interface, or a gateway to the internet."""

    type = "AWS::EC2::Route"
    schema = Schema(
        create_only=names("RouteTableId DestinationCidrBlock"),
        updatable=names("VpcPeeringConnectionId NetworkInterfaceId GatewayId NatGatewayId"),
        required=names("RouteTableId DestinationCidrBlock"),
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the route; its peering must exist and be active.

        Source: the errors InvalidVpcPeeringConnectionID.NotFound and InvalidStateTransition, "Error codes for the
        Amazon EC2 API".
        """
        ec2 = call.service("ec2")
        self._check_peering(ec2, properties)
        ec2.create_route(**pick(properties, *self.schema.known))
        destination = properties["DestinationCidrBlock"]
        return Made(f"{properties['RouteTableId']}|{destination}", {"CidrBlock": destination})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Point the route elsewhere."""
        ec2 = call.service("ec2")
        self._check_peering(ec2, new)
        ec2.replace_route(**pick(new, *self.schema.known))
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the route."""
        call.service("ec2").delete_route(**pick(properties, "RouteTableId", "DestinationCidrBlock"))

    @staticmethod
    def _check_peering(ec2: Any, properties: Properties) -> None:
        peering = properties.get("VpcPeeringConnectionId")
        if peering is None:
            return
        found = ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[peering])["VpcPeeringConnections"]
        if not found:
            raise ResourceFailure(f"The vpcPeeringConnection ID '{peering}' does not exist", code="NotFound")
        status = found[0]["Status"]["Code"]
        if status != "active":
            raise ResourceFailure(f"Vpc peering connection {peering} is {status}; a route needs an active one")


class FlowLog(Handler):
    """``AWS::EC2::FlowLog``."""

    type = "AWS::EC2::FlowLog"
    schema = Schema(
        create_only=names(
            "ResourceId ResourceType TrafficType LogDestinationType LogDestination LogGroupName "
            "DeliverLogsPermissionArn LogFormat MaxAggregationInterval"
        ),
        required=names("ResourceId ResourceType"),
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Start the flow log."""
        given = pick(properties, *(self.schema.create_only - {"ResourceId"}))
        if "MaxAggregationInterval" in given:
            given["MaxAggregationInterval"] = integer(given["MaxAggregationInterval"])
        answer = call.service("ec2").create_flow_logs(ResourceIds=[properties["ResourceId"]], **given)
        if answer.get("Unsuccessful"):
            raise ResourceFailure(answer["Unsuccessful"][0]["Error"]["Message"])
        log = answer["FlowLogIds"][0]
        tag(call, log, properties)
        return Made(log, {"Id": log})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change tags."""
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Stop the flow log."""
        call.service("ec2").delete_flow_logs(FlowLogIds=[physical_id])
        untag(call, physical_id)


HANDLERS = (Vpc(), Subnet(), RouteTable(), SubnetRouteTableAssociation(), Route(), FlowLog())
