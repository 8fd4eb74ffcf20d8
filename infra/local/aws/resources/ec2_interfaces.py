"""``AWS::EC2::NetworkInterface``: an address that stays while instances come and go."""

from __future__ import annotations

from infra.local.aws.resources.base import Attributes, Call, Handler, Made, Properties, Schema, names, pick
from infra.local.aws.resources.ec2_tags import tag


class NetworkInterface(Handler):
    """A network interface. Its address is create-only, so a change makes a new one before the old one goes."""

    type = "AWS::EC2::NetworkInterface"
    schema = Schema(
        create_only=names("SubnetId PrivateIpAddress"),
        updatable=names("GroupSet Description SourceDestCheck"),
        required=names("SubnetId"),
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the interface; refused where its address is in use."""
        ec2 = call.service("ec2")
        groups = {"Groups": properties["GroupSet"]} if "GroupSet" in properties else {}
        asked = pick(properties, "SubnetId", "PrivateIpAddress", "Description")
        made = ec2.create_network_interface(**asked, **groups)["NetworkInterface"]
        interface = made["NetworkInterfaceId"]
        call.begun(interface)
        tag(call, interface, properties)
        attributes = {"Id": interface, "PrimaryPrivateIpAddress": made["PrivateIpAddress"], "VpcId": made["VpcId"]}
        return Made(interface, attributes)

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change groups, description and the source/destination check."""
        ec2 = call.service("ec2")
        change = ec2.modify_network_interface_attribute
        if new.get("GroupSet") != old.get("GroupSet"):
            change(NetworkInterfaceId=physical_id, Groups=new.get("GroupSet", []))
        if new.get("Description") != old.get("Description"):
            change(NetworkInterfaceId=physical_id, Description={"Value": new.get("Description", "")})
        if new.get("SourceDestCheck") != old.get("SourceDestCheck"):
            change(NetworkInterfaceId=physical_id, SourceDestCheck={"Value": new.get("SourceDestCheck", True)})
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the interface; refused while an instance uses it."""
        call.service("ec2").delete_network_interface(NetworkInterfaceId=physical_id)


HANDLERS = (NetworkInterface(),)
