"""Small templates that the tests vary."""

from typing import Any


def vpc(cidr: str = "10.10.0.0/16", **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": cidr, **properties}}


def subnet(cidr: str = "10.10.0.0/24", **properties: Any) -> dict[str, Any]:
    place = {"VpcId": {"Ref": "Vpc"}, "AvailabilityZone": "us-east-1a"}
    return {"Type": "AWS::EC2::Subnet", "Properties": {**place, "CidrBlock": cidr, **properties}}


def interface(address: str = "10.10.0.10", **properties: Any) -> dict[str, Any]:
    place = {"SubnetId": {"Ref": "Subnet"}, "PrivateIpAddress": address}
    return {"Type": "AWS::EC2::NetworkInterface", "Properties": {**place, **properties}}


def volume(**attributes: Any) -> dict[str, Any]:
    return {"Type": "AWS::EC2::Volume", "Properties": {"AvailabilityZone": "us-east-1a", "Size": 20}, **attributes}


def parameter(value: Any, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value, **properties}}


def template(outputs: dict[str, Any] | None = None, **resources: Any) -> dict[str, Any]:
    return {"Resources": resources, **({"Outputs": outputs} if outputs else {})}


def node_network() -> dict[str, Any]:
    """A network with the node's interface, and the state volume, exported for a node's stack."""
    exports = {
        "Interface": {"Value": {"Ref": "Interface"}, "Export": {"Name": "interface"}},
        "Volume": {"Value": {"Ref": "Volume"}, "Export": {"Name": "volume"}},
    }
    return template(exports, Vpc=vpc(), Subnet=subnet(), Interface=interface(), Volume=volume())


def node(image: str = "ami-0fed0000000000001", **properties: Any) -> dict[str, Any]:
    instance = {
        "ImageId": image,
        "InstanceType": "g4dn.xlarge",
        "UserData": {"Fn::Base64": "#!/bin/sh\necho first"},
        "NetworkInterfaces": [{"NetworkInterfaceId": {"Fn::ImportValue": "interface"}, "DeviceIndex": "0"}],
        "MetadataOptions": {"HttpTokens": "required"},
        **properties,
    }
    attachment = {"Device": "/dev/sdf", "InstanceId": {"Ref": "Node"}, "VolumeId": {"Fn::ImportValue": "volume"}}
    return template(
        {"InstanceId": {"Value": {"Ref": "Node"}}, "Address": {"Value": {"Fn::GetAtt": ["Node", "PrivateIp"]}}},
        Node={"Type": "AWS::EC2::Instance", "Properties": instance},
        State={"Type": "AWS::EC2::VolumeAttachment", "Properties": attachment},
    )
