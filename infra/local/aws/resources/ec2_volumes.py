"""EBS volumes and their attachment."""

from __future__ import annotations

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
from infra.local.aws.resources.ec2_tags import tag


class Volume(Handler):
    """``AWS::EC2::Volume``."""

    type = "AWS::EC2::Volume"
    schema = Schema(
        create_only=names("AvailabilityZone Encrypted KmsKeyId SnapshotId"),
        updatable=names("Size VolumeType Iops Throughput"),
        required=names("AvailabilityZone"),
        tags="list",
    )

    def create(self, call: Call, properties: Properties) -> Made:
        """Make the volume."""
        asked = pick(properties, "AvailabilityZone", "KmsKeyId", "SnapshotId", "VolumeType")
        if "Encrypted" in properties:
            asked["Encrypted"] = boolean(properties["Encrypted"])
        volume = call.service("ec2").create_volume(**asked, **_numbers(properties))["VolumeId"]
        call.begun(volume)
        tag(call, volume, properties)
        return Made(volume, {"VolumeId": volume})

    def update(self, call: Call, physical_id: str, old: Properties, new: Properties) -> Attributes:
        """Change size, type and performance; a volume never shrinks."""
        changed = {**pick(new, "VolumeType"), **_numbers(new)}
        if any(new.get(name) != old.get(name) for name in self.schema.updatable):
            call.service("ec2").modify_volume(VolumeId=physical_id, **changed)
        tag(call, physical_id, new, old)
        return {}

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Delete the volume; refused while it is attached."""
        call.service("ec2").delete_volume(VolumeId=physical_id)

    def snapshot(self, call: Call, physical_id: str) -> None:
        """Keep a snapshot."""
        call.service("ec2").create_snapshot(
            VolumeId=physical_id, Description=f"Created by stack {call.place.stack_name}"
        )


def _numbers(properties: Properties) -> dict[str, int]:
    return {name: integer(properties[name]) for name in ("Size", "Iops", "Throughput") if name in properties}


class VolumeAttachment(Handler):
    """``AWS::EC2::VolumeAttachment``."""

    type = "AWS::EC2::VolumeAttachment"
    schema = Schema(create_only=names("Device InstanceId VolumeId"), required=names("InstanceId VolumeId"))

    def create(self, call: Call, properties: Properties) -> Made:
        """Attach the volume; refused while it is attached elsewhere or in another zone."""
        asked = pick(properties, "InstanceId", "VolumeId")
        call.service("ec2").attach_volume(**asked, Device=properties.get("Device", "/dev/sdf"))
        return Made(f"{properties['VolumeId']}|{properties['InstanceId']}")

    def delete(self, call: Call, physical_id: str, properties: Properties) -> None:
        """Detach the volume."""
        ec2 = call.service("ec2")
        attached = ec2.describe_volumes(VolumeIds=[properties["VolumeId"]])["Volumes"][0]["Attachments"]
        if any(attachment["InstanceId"] == properties["InstanceId"] for attachment in attached):
            ec2.detach_volume(**pick(properties, "InstanceId", "VolumeId"))


HANDLERS = (Volume(), VolumeAttachment())
