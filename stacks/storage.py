"""What outlives a node: its key, its bucket, its state volume, its log, and what watches it."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.federation.derive import Node
from infra.federation.model import Federation
from stacks.base import FederateStack
from stacks.buckets import LOG_RETENTION_DAYS, node_bucket
from stacks.keys import account_key
from stacks.observability import Watch
from stacks.plan import Phase

#: Keys, checkpoints and the audit log; data comes from the bucket and goes to the root volume.
STATE_VOLUME_GIB = 20


class Storage(FederateStack):
    """A node's key, bucket, state volume and log group: ``HubStorage`` and ``SiteStorage-<id>``.

    All of it follows the account's ``on_destroy``: a bucket, volume or log without its key is lost. The log group has a
    fixed name, so that a node's log is always found in the same place; one that was retained is taken over by the next
    deployment, which asks CloudFormation to import what exists.

    Attributes:
        key: the account's key, which encrypts all of it.
        bucket: the node's bucket.
        state_volume: the volume with the node's keys and checkpoints.
    """

    def __init__(self, scope: Construct, id_: str, *, federation: Federation, home: Node, phase: Phase) -> None:
        super().__init__(
            scope,
            id_,
            federation=federation,
            home=home,
            phase=phase,
            description=f"Federate {federation.name}: key, bucket, state volume, log and alarms of {home.id}",
        )
        self.key = account_key(self, home)
        self.bucket = node_bucket(self, home, self.key)
        self.state_volume = self._state_volume(home)
        self._log_group("LogGroup", home.log_group)
        self._log_group("FlowLogGroup", home.flow_log_group)
        Watch(self, "Watch", federation=federation, home=home, key_arn=self.key.attr_arn)
        self.tell("BucketName", self.bucket.ref, description="The node's own bucket")
        self.tell("StateVolumeId", self.state_volume.ref, description="The volume with the node's keys and checkpoints")
        self.tell("KeyArn", self.key.attr_arn, description="The key that encrypts what the node keeps")

    def _state_volume(self, home: Node) -> ec2.CfnVolume:
        volume = ec2.CfnVolume(
            self,
            "StateVolume",
            availability_zone=home.availability_zone,
            encrypted=True,
            kms_key_id=self.key.attr_arn,
            size=STATE_VOLUME_GIB,
            volume_type="gp3",
        )
        self.keep_or_delete(volume)
        return volume

    def _log_group(self, id_: str, name: str) -> None:
        group = logs.CfnLogGroup(
            self,
            id_,
            log_group_name=name,
            retention_in_days=LOG_RETENTION_DAYS,
            kms_key_id=self.key.attr_arn,
        )
        self.keep_or_delete(group)
