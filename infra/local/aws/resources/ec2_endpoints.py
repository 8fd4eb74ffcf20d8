"""``AWS::EC2::VPCEndpoint``, gateway and interface, and ``AWS::EC2::InstanceConnectEndpoint``."""

from __future__ import annotations

from infra.local.aws.resources.base import (
    Attributes,
    Call,
    Handler,
    Made,
    Properties,
    Schema,
    boolean,
    document,
    names,
    pick,
)
from infra.local.aws.resources.ec2_tags import tag


class VpcEndpoint(Handler):
    """A VPC endpoint."""

    type = "AWS::EC2::VPCEndpoint"
    schema = Schema(
        create_only=names("VpcId ServiceName VpcEndpointType PrivateDnsEnabled"),
        updatable=names("PolicyDocument RouteTableIds SubnetIds SecurityGroupIds"),
        required=names("VpcId ServiceName"),
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the endpoint, with routes or interfaces by its type."""
        asked = pick(
            properties, "VpcId", "ServiceName", "VpcEndpointType", "RouteTableIds", "SubnetIds", "SecurityGroupIds"
        )
        if "PrivateDnsEnabled" in properties:
            asked["PrivateDnsEnabled"] = boolean(properties["PrivateDnsEnabled"])
        if "PolicyDocument" in properties:
            asked["PolicyDocument"] = document(properties["PolicyDocument"])
        made = call.service("ec2").create_vpc_endpoint(**asked)["VpcEndpoint"]
        endpoint = made["VpcEndpointId"]
        call.begun(endpoint)
        tag(call, endpoint, properties)
        return Made(endpoint, {"Id": endpoint, "NetworkInterfaceIds": made.get("NetworkInterfaceIds", [])})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change the policy, and what the endpoint is attached to."""
        asked: dict[str, object] = {}
        if new.get("PolicyDocument") != old.get("PolicyDocument") and "PolicyDocument" in new:
            asked["PolicyDocument"] = document(new["PolicyDocument"])
        for name in ("RouteTableIds", "SubnetIds", "SecurityGroupIds"):
            had, wanted = old.get(name, []), new.get(name, [])
            if added := [item for item in wanted if item not in had]:
                asked[f"Add{name}"] = added
            if removed := [item for item in had if item not in wanted]:
                asked[f"Remove{name}"] = removed
        if asked:
            call.service("ec2").modify_vpc_endpoint(VpcEndpointId=physical_id, **asked)
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the endpoint with its interfaces or routes."""
        call.service("ec2").delete_vpc_endpoints(VpcEndpointIds=[physical_id])


class InstanceConnectEndpoint(Handler):
    """An EC2 Instance Connect Endpoint. Nothing of it can be changed, so a change makes another."""

    type = "AWS::EC2::InstanceConnectEndpoint"
    schema = Schema(
        create_only=names("SubnetId SecurityGroupIds PreserveClientIp ClientToken"),
        required=names("SubnetId"),
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the endpoint, with its interface."""
        asked: dict[str, object] = pick(properties, "SubnetId", "SecurityGroupIds", "ClientToken")
        if "PreserveClientIp" in properties:
            asked["PreserveClientIp"] = boolean(properties["PreserveClientIp"])
        made = call.service("ec2").create_instance_connect_endpoint(**asked)["InstanceConnectEndpoint"]
        endpoint = made["InstanceConnectEndpointId"]
        call.begun(endpoint)
        tag(call, endpoint, properties)
        return Made(endpoint, {"Id": endpoint})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change the tags."""
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the endpoint with its interface."""
        call.service("ec2").delete_instance_connect_endpoint(InstanceConnectEndpointId=physical_id)


HANDLERS = (VpcEndpoint(), InstanceConnectEndpoint())
