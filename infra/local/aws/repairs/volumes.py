"""Volumes are attached once and within their zone, and snapshots have owners.

Source: the errors VolumeInUse and InvalidVolume.ZoneMismatch in "Error codes for the Amazon EC2 API"; DescribeSnapshots
in the Amazon EC2 API Reference.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_block_store import EBSBackend
from moto.ec2.responses.elastic_block_store import ElasticBlockStore


def repair() -> None:
    """Refuse what is in use or out of reach; leave the snapshots of public images to their owners."""
    attach, describe = EBSBackend.attach_volume, ElasticBlockStore.describe_snapshots

    def attach_volume(self: Any, volume_id: str, instance_id: str, *args: Any, **kwargs: Any) -> Any:
        volume, instance = self.get_volume(volume_id), self.get_instance(instance_id)
        if volume.attachment is not None:
            raise EC2ClientError("VolumeInUse", f"{volume_id} is already attached to an instance")
        if volume.zone.name != instance.placement.zone:
            raise EC2ClientError(
                "InvalidVolume.ZoneMismatch",
                f"The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'",
            )
        return attach(self, volume_id, instance_id, *args, **kwargs)

    def describe_snapshots(self: Any) -> ActionResult:
        answer = describe(self)
        owners = {self.current_account if owner == "self" else owner for owner in self._get_param("OwnerIds", [])}
        if owners:
            found = answer.result["Snapshots"]
            answer = ActionResult({"Snapshots": [item for item in found if item.owner_id in owners]})
        return answer

    EBSBackend.attach_volume = attach_volume
    ElasticBlockStore.describe_snapshots = describe_snapshots
