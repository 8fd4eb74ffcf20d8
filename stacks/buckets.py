"""A node's bucket and the bucket of its access log: how they are kept, and what their policies refuse to everybody.

A policy of the bucket's own is needed beside the roles': an account's other roles may well be allowed ``s3:*``, and
what a bucket refuses, no role's policy can give. The account's administrator can always change the policy: that is a
change to be seen in CloudTrail, and nothing that another account could do.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_s3 as s3

from infra.federation.derive import Node
from stacks.base import FederateStack
from stacks.keys import AccountKey
from stacks.permissions import Statement, policy
from stacks.resource_policies import bucket_statements, deny, only_over_tls

LOG_RETENTION_DAYS = 365
#: How long an object that was deleted or written over can be had back.
OLD_VERSIONS_DAYS = 90
_ABANDONED_UPLOADS_DAYS = 7
_LOGGING = "logging.s3.amazonaws.com"
_PRIVATE = s3.CfnBucket.PublicAccessBlockConfigurationProperty(
    block_public_acls=True, block_public_policy=True, ignore_public_acls=True, restrict_public_buckets=True
)
_OWNED = s3.CfnBucket.OwnershipControlsProperty(
    rules=[s3.CfnBucket.OwnershipControlsRuleProperty(object_ownership="BucketOwnerEnforced")]
)
_VERSIONED = s3.CfnBucket.VersioningConfigurationProperty(status="Enabled")


@dataclass(frozen=True, slots=True)
class NodeBucket:
    """A node's bucket.

    Args:
        ref: its name; a CDK token where the bucket is made by the stack.
        attr_arn: its ARN, likewise.
        made: the bucket, if the stack makes it; None where the account's own is used.
    """

    ref: str
    attr_arn: str
    made: s3.CfnBucket | None


def node_bucket(stack: FederateStack, home: Node, key: AccountKey) -> NodeBucket:
    """Make a node's bucket and that of its access log in a storage stack, or take the bucket that the federation names.

    A bucket that is named is left as it is: nothing is configured, and its policy is not touched.
    """
    if home.spec.bucket is not None:
        stack.keep_from_before("Bucket", "BucketPolicy", "AccessLog", "AccessLogPolicy")
        return NodeBucket(home.spec.bucket, f"arn:aws:s3:::{home.spec.bucket}", None)
    log, log_access = _log_bucket(stack, home)
    bucket = s3.CfnBucket(
        stack,
        "Bucket",
        bucket_encryption=_encryption("aws:kms", key.attr_arn),
        lifecycle_configuration=_lifecycle(
            _rule("OldVersions", noncurrent_version_expiration=_noncurrent(OLD_VERSIONS_DAYS))
        ),
        logging_configuration=s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=log.ref, log_file_prefix=f"{home.id}/"
        ),
        ownership_controls=_OWNED,
        public_access_block_configuration=_PRIVATE,
        versioning_configuration=_VERSIONED,
    )
    bucket.add_resource_dependency(log_access)
    access = s3.CfnBucketPolicy(
        stack,
        "BucketPolicy",
        bucket=bucket.ref,
        policy_document=policy(*bucket_statements(home, bucket.attr_arn, key.attr_arn)),
    )
    for resource in (log, log_access, bucket, access):
        stack.keep_or_delete(resource)
    return NodeBucket(bucket.ref, bucket.attr_arn, bucket)


def log_bucket_statements(home: Node, log_bucket_arn: str) -> tuple[Statement, ...]:
    """Return who writes the access log: the service that keeps it, for this federation's buckets of this account.

    The bucket's name is not known before the bucket is made, which needs this first: so it is by how names begin.

    Source: "Enabling Amazon S3 server access logging" of the S3 User Guide.
    """
    objects = f"{log_bucket_arn}/*"
    return (
        *only_over_tls(log_bucket_arn),
        {
            "Sid": "AccessLog",
            "Effect": "Allow",
            "Principal": {"Service": _LOGGING},
            "Action": ["s3:PutObject"],
            "Resource": objects,
            "Condition": {
                "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{home.federation}-*"},
                "StringEquals": {"aws:SourceAccount": home.account},
            },
        },
        deny(
            "NobodyElseWrites",
            ["s3:PutObject"],
            [objects],
            {"StringNotEquals": {"aws:PrincipalServiceName": _LOGGING}},
        ),
    )


def _log_bucket(stack: FederateStack, home: Node) -> tuple[s3.CfnBucket, s3.CfnBucketPolicy]:
    """Make the bucket of the access log. S3's logging service writes to a bucket with S3's own encryption alone."""
    log = s3.CfnBucket(
        stack,
        "AccessLog",
        bucket_encryption=_encryption("AES256", None),
        lifecycle_configuration=_lifecycle(
            _rule(
                "Expiry",
                expiration_in_days=LOG_RETENTION_DAYS,
                noncurrent_version_expiration=_noncurrent(OLD_VERSIONS_DAYS),
            )
        ),
        ownership_controls=_OWNED,
        public_access_block_configuration=_PRIVATE,
        versioning_configuration=_VERSIONED,
    )
    access = s3.CfnBucketPolicy(
        stack,
        "AccessLogPolicy",
        bucket=log.ref,
        policy_document=policy(*log_bucket_statements(home, log.attr_arn)),
    )
    return log, access


def _encryption(algorithm: str, key_arn: str | None) -> s3.CfnBucket.BucketEncryptionProperty:
    return s3.CfnBucket.BucketEncryptionProperty(
        server_side_encryption_configuration=[
            s3.CfnBucket.ServerSideEncryptionRuleProperty(
                # A key of the bucket's own under the account's: one call to KMS for many objects, not one for each.
                bucket_key_enabled=True if key_arn else None,
                server_side_encryption_by_default=s3.CfnBucket.ServerSideEncryptionByDefaultProperty(
                    sse_algorithm=algorithm, kms_master_key_id=key_arn
                ),
            )
        ]
    )


def _lifecycle(rule: s3.CfnBucket.RuleProperty) -> s3.CfnBucket.LifecycleConfigurationProperty:
    return s3.CfnBucket.LifecycleConfigurationProperty(rules=[rule])


def _rule(
    id_: str,
    *,
    noncurrent_version_expiration: s3.CfnBucket.NoncurrentVersionExpirationProperty,
    expiration_in_days: int | None = None,
) -> s3.CfnBucket.RuleProperty:
    return s3.CfnBucket.RuleProperty(
        id=id_,
        status="Enabled",
        abort_incomplete_multipart_upload=s3.CfnBucket.AbortIncompleteMultipartUploadProperty(
            days_after_initiation=_ABANDONED_UPLOADS_DAYS
        ),
        expiration_in_days=expiration_in_days,
        noncurrent_version_expiration=noncurrent_version_expiration,
    )


def _noncurrent(days: int) -> s3.CfnBucket.NoncurrentVersionExpirationProperty:
    return s3.CfnBucket.NoncurrentVersionExpirationProperty(noncurrent_days=days)
