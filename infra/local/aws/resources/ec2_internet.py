"""Internet gateway and its attachment, elastic address and NAT gateway; nothing on loopback leads to the internet.

Source for properties, ``Ref`` and attributes: each type's page in the AWS CloudFormation Template Reference.
"""

from __future__ import annotations

from infra.local.aws.resources.base import Attributes, Call, Handler, Made, Properties, Schema, names, pick
from infra.local.aws.resources.ec2_tags import tag, untag


class InternetGateway(Handler):
    """``AWS::EC2::InternetGateway``."""

    type = "AWS::EC2::InternetGateway"
    schema = Schema(tags="list")

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the gateway, attached to nothing."""
        made = call.service("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        call.begun(made)
        tag(call, made, properties)
        return Made(made, {"InternetGatewayId": made})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change tags."""
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the gateway; refused while it is attached."""
        call.service("ec2").delete_internet_gateway(InternetGatewayId=physical_id)
        untag(call, physical_id)


class GatewayAttachment(Handler):
    """``AWS::EC2::VPCGatewayAttachment``, of an internet gateway."""

    type = "AWS::EC2::VPCGatewayAttachment"
    schema = Schema(create_only=names("VpcId InternetGatewayId"), required=names("VpcId InternetGatewayId"))

    def create(self, call: Call, properties: Properties) -> Made:
        """Attach the gateway."""
        call.service("ec2").attach_internet_gateway(**pick(properties, "VpcId", "InternetGatewayId"))
        return Made(f"IGW|{properties['VpcId']}", {"AttachmentType": "IGW"})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Nothing of an attachment can be changed."""
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Detach the gateway."""
        call.service("ec2").detach_internet_gateway(**pick(properties, "VpcId", "InternetGatewayId"))


class ElasticAddress(Handler):
    """``AWS::EC2::EIP`` of a VPC."""

    type = "AWS::EC2::EIP"
    schema = Schema(create_only=names("Domain"), tags="list")

    def create(self, call: Call, properties: Properties) -> Made:
        """Take an address."""
        made = call.service("ec2").allocate_address(Domain=properties.get("Domain", "vpc"))
        call.begun(made["AllocationId"])
        tag(call, made["AllocationId"], properties)
        attributes = {"AllocationId": made["AllocationId"], "PublicIp": made["PublicIp"]}
        return Made(made["AllocationId"], attributes)

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change tags."""
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Give the address back."""
        call.service("ec2").release_address(AllocationId=physical_id)
        untag(call, physical_id)


class NatGateway(Handler):
    """``AWS::EC2::NatGateway``, public."""

    type = "AWS::EC2::NatGateway"
    schema = Schema(
        create_only=names("SubnetId AllocationId ConnectivityType"), required=names("SubnetId"), tags="list"
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the gateway with its interface in the public subnet."""
        asked = pick(properties, "SubnetId", "AllocationId", "ConnectivityType")
        made = call.service("ec2").create_nat_gateway(**asked)["NatGateway"]["NatGatewayId"]
        call.begun(made)
        tag(call, made, properties)
        return Made(made, {"NatGatewayId": made})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change tags."""
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the gateway with its interface."""
        call.service("ec2").delete_nat_gateway(NatGatewayId=physical_id)
        untag(call, physical_id)


HANDLERS = (InternetGateway(), GatewayAttachment(), ElasticAddress(), NatGateway())
