"""Instances and launch templates.

An instance takes an existing network interface, or a subnet and groups. Spot comes from a launch template: the instance
type itself has no such property ("AWS::EC2::Instance", AWS CloudFormation Template Reference).
"""

from __future__ import annotations

import base64
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
    only,
    pick,
)
from infra.local.aws.resources.ec2_tags import tag

#: What a launch template may hold here; the EC2 API's names are the template's.
_LAUNCH_DATA = (
    "BlockDeviceMappings",
    "EbsOptimized",
    "IamInstanceProfile",
    "ImageId",
    "InstanceMarketOptions",
    "InstanceType",
    "MetadataOptions",
    "Monitoring",
    "SecurityGroupIds",
    "UserData",
)


class Instance(Handler):
    """``AWS::EC2::Instance``. A change of user data stops and starts the instance, which keeps its id."""

    type = "AWS::EC2::Instance"
    schema = Schema(
        create_only=names(
            "ImageId SubnetId NetworkInterfaces PrivateIpAddress BlockDeviceMappings LaunchTemplate AvailabilityZone "
            "PropagateTagsToVolumeOnCreation"
        ),
        updatable=names(
            "InstanceType UserData IamInstanceProfile EbsOptimized Monitoring SecurityGroupIds MetadataOptions "
            "DisableApiTermination"
        ),
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Launch the instance."""
        ec2 = call.service("ec2")
        asked = {**_from_launch_template(ec2, properties), **_from_properties(properties)}
        if "NetworkInterfaces" in asked:
            asked.pop("SecurityGroupIds", None)
        instance = ec2.run_instances(MinCount=1, MaxCount=1, **asked)["Instances"][0]["InstanceId"]
        call.begun(instance)
        tag(call, instance, properties)
        if boolean(properties.get("PropagateTagsToVolumeOnCreation", False)):
            for volume in _volumes(ec2, instance):
                tag(call, volume, properties)
        if boolean(properties.get("DisableApiTermination", False)):
            _protect(ec2, instance, True)
        return Made(instance, _attributes(ec2, instance))

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change what can be changed; type and user data need the instance to be stopped in between."""
        ec2 = call.service("ec2")
        changed = {name for name in self.schema.updatable if old.get(name) != new.get(name)}
        stopping = changed & {"InstanceType", "UserData", "EbsOptimized"}
        for name in changed & {"IamInstanceProfile", "EbsOptimized", "Monitoring"}:
            raise ResourceFailure(f"An update of {name} is not implemented on loopback AWS", code="NotUpdatable")
        if stopping:
            ec2.stop_instances(InstanceIds=[physical_id])
            change = ec2.modify_instance_attribute
            if "InstanceType" in stopping:
                change(InstanceId=physical_id, InstanceType={"Value": new["InstanceType"]})
            if "UserData" in stopping:
                # moto wants the text still encoded here, unlike RunInstances.
                change(InstanceId=physical_id, UserData={"Value": new.get("UserData", "").encode()})
            ec2.start_instances(InstanceIds=[physical_id])
        if "SecurityGroupIds" in changed:
            ec2.modify_instance_attribute(InstanceId=physical_id, Groups=new["SecurityGroupIds"])
        if "MetadataOptions" in changed:
            ec2.modify_instance_metadata_options(InstanceId=physical_id, **_metadata(new.get("MetadataOptions", {})))
        if "DisableApiTermination" in changed:
            _protect(ec2, physical_id, boolean(new.get("DisableApiTermination", False)))
        tag(call, physical_id, new, old)
        return _attributes(ec2, physical_id)

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Terminate the instance; interfaces and volumes that it was given stay."""
        call.service("ec2").terminate_instances(InstanceIds=[physical_id])


def _from_properties(properties: Properties) -> dict[str, Any]:
    asked = pick(properties, "ImageId", "InstanceType", "SubnetId", "SecurityGroupIds", "PrivateIpAddress")
    if "IamInstanceProfile" in properties:
        asked["IamInstanceProfile"] = {"Name": properties["IamInstanceProfile"]}
    if "UserData" in properties:
        asked["UserData"] = base64.b64decode(properties["UserData"]).decode()
    if "AvailabilityZone" in properties:
        asked["Placement"] = {"AvailabilityZone": properties["AvailabilityZone"]}
    if "EbsOptimized" in properties:
        asked["EbsOptimized"] = boolean(properties["EbsOptimized"])
    if "Monitoring" in properties:
        asked["Monitoring"] = {"Enabled": boolean(properties["Monitoring"])}
    if "MetadataOptions" in properties:
        asked["MetadataOptions"] = _metadata(properties["MetadataOptions"])
    if "BlockDeviceMappings" in properties:
        asked["BlockDeviceMappings"] = [_device(device) for device in properties["BlockDeviceMappings"]]
    if "NetworkInterfaces" in properties:
        asked["NetworkInterfaces"] = [_interface(interface) for interface in properties["NetworkInterfaces"]]
    return asked


def _from_launch_template(ec2: Any, properties: Properties) -> dict[str, Any]:
    given = properties.get("LaunchTemplate")
    if given is None:
        return {}
    only(given, "LaunchTemplate", "LaunchTemplateId", "LaunchTemplateName", "Version")
    which = pick(given, "LaunchTemplateId", "LaunchTemplateName")
    versions = ec2.describe_launch_template_versions(**which, Versions=[str(given["Version"])])
    data: dict[str, Any] = dict(versions["LaunchTemplateVersions"][0]["LaunchTemplateData"])
    asked = pick(data, *_LAUNCH_DATA)
    if "UserData" in asked:
        asked["UserData"] = base64.b64decode(asked["UserData"]).decode()
    if "MetadataOptions" in asked:
        asked["MetadataOptions"] = _metadata(asked["MetadataOptions"])
    return asked


def _metadata(options: Properties) -> dict[str, Any]:
    known = ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint", "InstanceMetadataTags", "HttpProtocolIpv6")
    only({key: value for key, value in options.items() if key != "State"}, "MetadataOptions", *known)
    asked = pick(options, *known)
    if "HttpPutResponseHopLimit" in asked:
        asked["HttpPutResponseHopLimit"] = integer(asked["HttpPutResponseHopLimit"])
    return asked


def _device(device: Properties) -> dict[str, Any]:
    only(device, "BlockDeviceMappings", "DeviceName", "Ebs")
    known = ("VolumeSize", "VolumeType", "Encrypted", "DeleteOnTermination", "KmsKeyId", "SnapshotId")
    only(device["Ebs"], "BlockDeviceMappings/Ebs", *known)
    ebs = pick(device["Ebs"], *known)
    for name in ("Encrypted", "DeleteOnTermination"):
        if name in ebs:
            ebs[name] = boolean(ebs[name])
    if "VolumeSize" in ebs:
        ebs["VolumeSize"] = integer(ebs["VolumeSize"])
    return {"DeviceName": device["DeviceName"], "Ebs": ebs}


def _interface(interface: Properties) -> dict[str, Any]:
    known = (
        "NetworkInterfaceId",
        "DeviceIndex",
        "SubnetId",
        "GroupSet",
        "PrivateIpAddress",
        "DeleteOnTermination",
        "AssociatePublicIpAddress",
    )
    only(interface, "NetworkInterfaces", *known)
    asked = pick(interface, "NetworkInterfaceId", "SubnetId", "PrivateIpAddress")
    asked["DeviceIndex"] = integer(interface["DeviceIndex"])
    if "GroupSet" in interface:
        asked["Groups"] = interface["GroupSet"]
    for name in ("DeleteOnTermination", "AssociatePublicIpAddress"):
        if name in interface:
            asked[name] = boolean(interface[name])
    return asked


def _attributes(ec2: Any, instance: str) -> dict[str, str | list[str]]:
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return {
        "InstanceId": instance,
        "PrivateIp": found.get("PrivateIpAddress", ""),
        "PrivateDnsName": found.get("PrivateDnsName", ""),
        "PublicIp": found.get("PublicIpAddress", ""),
        "PublicDnsName": found.get("PublicDnsName", ""),
        "AvailabilityZone": found["Placement"]["AvailabilityZone"],
        "VpcId": found.get("VpcId", ""),
    }


def _volumes(ec2: Any, instance: str) -> list[str]:
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return [mapping["Ebs"]["VolumeId"] for mapping in found["BlockDeviceMappings"]]


def _protect(ec2: Any, instance: str, protected: bool) -> None:
    ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": protected})


class LaunchTemplate(Handler):
    """``AWS::EC2::LaunchTemplate``; a change makes a new version."""

    type = "AWS::EC2::LaunchTemplate"
    schema = Schema(
        create_only=names("LaunchTemplateName"),
        updatable=names("LaunchTemplateData VersionDescription TagSpecifications"),
        required=names("LaunchTemplateData"),
        name="LaunchTemplateName",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the template with its first version."""
        name = properties.get("LaunchTemplateName") or call.generated_name(128)
        made = call.service("ec2").create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData=_launch_data(properties),
            **pick(properties, "VersionDescription", "TagSpecifications"),
        )["LaunchTemplate"]
        attributes = {
            "LaunchTemplateId": made["LaunchTemplateId"],
            "LatestVersionNumber": "1",
            "DefaultVersionNumber": "1",
        }
        return Made(made["LaunchTemplateId"], attributes)

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Make a new version; the default stays the first."""
        version = call.service("ec2").create_launch_template_version(
            LaunchTemplateId=physical_id, LaunchTemplateData=_launch_data(new), **pick(new, "VersionDescription")
        )["LaunchTemplateVersion"]
        return {"LatestVersionNumber": str(version["VersionNumber"])}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the template with all versions."""
        call.service("ec2").delete_launch_template(LaunchTemplateId=physical_id)


def _launch_data(properties: Properties) -> dict[str, Any]:
    given = properties["LaunchTemplateData"]
    only(given, "LaunchTemplateData", *_LAUNCH_DATA)
    data = pick(given, *_LAUNCH_DATA)
    if "EbsOptimized" in data:
        data["EbsOptimized"] = boolean(data["EbsOptimized"])
    if "BlockDeviceMappings" in data:
        data["BlockDeviceMappings"] = [_device(device) for device in data["BlockDeviceMappings"]]
    if "MetadataOptions" in data:
        data["MetadataOptions"] = _metadata(data["MetadataOptions"])
    return data


HANDLERS = (Instance(), LaunchTemplate())
