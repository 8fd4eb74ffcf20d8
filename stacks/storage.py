"""What outlives a node: its bucket, its state volume, its log, and what watches it."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.federation.derive import Node
from infra.federation.model import Federation
from stacks.base import FederateStack
from stacks.keys import account_key
from stacks.observability import Watch
from stacks.permissions import policy
from stacks.plan import Phase

#: Keys, checkpoints and the audit log; data comes from the bucket and goes to the root volume.
STATE_VOLUME_GIB = 20
LOG_RETENTION_DAYS = 365


class Storage(FederateStack):
    """A node's bucket, state volume and log group: ``HubStorage`` and ``SiteStorage-<id>``.

    Bucket, its policy and volume follow the account's ``on_destroy``. The log group has a fixed name, so that a node's
    log is always found in the same place; kept, it would stand in the way of the next deployment, so it goes.
    """

    def __init__(self, scope: Construct, id_: str, *, federation: Federation, home: Node, phase: Phase) -> None:
        super().__init__(
            scope,
            id_,
            federation=federation,
            home=home,
            phase=phase,
            description=f"Federate {federation.name}: bucket, state volume, log and alarms of {home.id}",
        )
        self.key = account_key(self, home)
        self.bucket = self._bucket()
        self.state_volume = self._state_volume(home)
        self._log_group("LogGroup", home.log_group)
        self._log_group("FlowLogGroup", home.flow_log_group)
        Watch(self, "Watch", federation=federation, home=home, key_arn=self.key.attr_arn)
        self.tell("BucketName", self.bucket.ref, description="The node's own bucket")
        self.tell("StateVolumeId", self.state_volume.ref, description="The volume with the node's keys and checkpoints")

    def _bucket(self) -> s3.CfnBucket:
        bucket = s3.CfnBucket(
            self,
            "Bucket",
            bucket_encryption=s3.CfnBucket.BucketEncryptionProperty(
                server_side_encryption_configuration=[
                    s3.CfnBucket.ServerSideEncryptionRuleProperty(
                        server_side_encryption_by_default=s3.CfnBucket.ServerSideEncryptionByDefaultProperty(
                            sse_algorithm="AES256"
                        )
                    )
                ]
            ),
            ownership_controls=s3.CfnBucket.OwnershipControlsProperty(
                rules=[s3.CfnBucket.OwnershipControlsRuleProperty(object_ownership="BucketOwnerEnforced")]
            ),
            public_access_block_configuration=s3.CfnBucket.PublicAccessBlockConfigurationProperty(
                block_public_acls=True,
                block_public_policy=True,
                ignore_public_acls=True,
                restrict_public_buckets=True,
            ),
            versioning_configuration=s3.CfnBucket.VersioningConfigurationProperty(status="Enabled"),
        )
        tls_only = s3.CfnBucketPolicy(
            self,
            "BucketPolicy",
            bucket=bucket.ref,
            policy_document=policy(
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [bucket.attr_arn, f"{bucket.attr_arn}/*"],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ),
        )
        self.keep_or_delete(bucket)
        self.keep_or_delete(tls_only)
        return bucket

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
        group.apply_removal_policy(RemovalPolicy.DESTROY)
