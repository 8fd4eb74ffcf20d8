"""What a node's bucket refuses, and what its key lets happen: the policies of both, whoever made them.

Those that Federate makes have these and nothing else. The owner of an existing bucket or key (``bucket``, ``kms_key``)
adds them to what he has: ``federate permissions SITE --for bucket`` prints them, and the preflight looks whether they
are there. Nothing here imports CDK.
"""

from __future__ import annotations

from collections.abc import Sequence

from infra.federation.derive import Node
from node_bootstrap import contract
from stacks.permissions import Statement, allow

#: Everything that gives an object's content, replication to another bucket included.
_READING = (
    "s3:GetObject",
    "s3:GetObjectTorrent",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionForReplication",
    "s3:GetObjectVersionTorrent",
)
#: To administer a key without using it.
_ADMINISTRATION = (
    "CancelKeyDeletion",
    "CreateAlias",
    "DeleteAlias",
    "DescribeKey",
    "DisableKey",
    "DisableKeyRotation",
    "EnableKey",
    "EnableKeyRotation",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "ListGrants",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListResourceTags",
    "PutKeyPolicy",
    "RevokeGrant",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateKeyDescription",
)
#: What EBS does with a volume's key.
_VOLUMES = ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")
#: What CloudWatch Logs does with a log group's key.
_LOGS = ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo")
#: What S3, Secrets Manager and the parameter store do for who puts and gets.
_OBJECTS = ("Decrypt", "Encrypt", "GenerateDataKey")


def own_bucket_statements(home: Node) -> tuple[Statement, ...]:
    """Return what the policy of a bucket that the account names is to refuse; see :func:`bucket_statements`."""
    return bucket_statements(home, f"arn:aws:s3:::{home.spec.bucket}", home.spec.kms_key)


def own_key_statements(home: Node) -> tuple[Statement, ...]:
    """Return what the policy of a key that the account names is to let happen; its administration is its owner's.

    Where alarms go to a topic of the account's own, they have nothing to do with the key.
    """
    left_out = {"AdministeredByTheAccount", *(("AlarmsOfThisNode",) if home.spec.alarm_topic else ())}
    return tuple(statement for statement in key_statements(home) if statement["Sid"] not in left_out)


def bucket_statements(home: Node, bucket_arn: str, key_arn: str | None) -> tuple[Statement, ...]:
    """Return what a node's bucket refuses, whatever a role's policy allows.

    - anything that is not encrypted on its way, by TLS 1.2 or newer;
    - anybody of another account, and anybody without one;
    - the content of ``data/`` to all but the node's role: an operator puts data and deletes it, and reads results;
    - objects that are encrypted otherwise than by the account's key. Who says nothing gets that key by default; who
      says ``aws:kms`` and names no key would get the one of S3, which is nobody's in particular.

    In a bucket that the account names, only objects below its ``bucket_prefix`` are meant: others are not the node's.

    Source: "Policies and permissions in Amazon S3"; "Using server-side encryption with AWS KMS keys" of the S3 User
    Guide; "AWS global condition context keys" of the IAM User Guide: a negated operator holds where its key is absent.

    Args:
        home: whose bucket it is.
        bucket_arn: its ARN; may be a CDK token.
        key_arn: ARN of the account's key; may be a CDK token. None for a bucket that the account names without a key:
            how that is encrypted is its owner's to say.
    """
    role = f"arn:aws:iam::{home.account}:role/{home.role_name}"
    encryption, of_key = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    objects = [f"{bucket_arn}/{home.bucket_prefix}*"]
    put = ["s3:PutObject"]
    by_the_key = (
        deny(
            "OtherEncryption",
            put,
            objects,
            {"StringNotEquals": {encryption: "aws:kms"}, "Null": {encryption: "false"}},
        ),
        deny("OtherKey", put, objects, {"StringNotEquals": {of_key: key_arn}, "Null": {of_key: "false"}}),
        deny("NoKeyNamed", put, objects, {"StringEquals": {encryption: "aws:kms"}, "Null": {of_key: "true"}}),
    )
    return (
        *only_over_tls(bucket_arn, home.bucket_prefix),
        deny(
            "OtherAccounts",
            ["s3:*"],
            [bucket_arn, *objects],
            {
                "StringNotEquals": {"aws:PrincipalAccount": home.account},
                "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
            },
        ),
        deny(
            "DataIsReadByTheNodeAlone",
            _READING,
            [f"{bucket_arn}/{home.bucket_prefix}{contract.DATA_PREFIX}*"],
            {"ArnNotEquals": {"aws:PrincipalArn": role}},
        ),
        *(by_the_key if key_arn is not None else ()),
        deny("CallersKey", put, objects, {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}}),
    )


def only_over_tls(bucket_arn: str, prefix: str = "") -> tuple[Statement, Statement]:
    """Return what a bucket refuses that is not encrypted on its way; of its objects those below a prefix."""
    everything = [bucket_arn, f"{bucket_arn}/{prefix}*"]
    return (
        deny("TlsOnly", ["s3:*"], everything, {"Bool": {"aws:SecureTransport": "false"}}),
        deny("Tls12OrNewer", ["s3:*"], everything, {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
    )


def deny(sid: str, actions: Sequence[str], resources: list[str], condition: Statement) -> Statement:
    """Return one Deny statement of a bucket's policy, for everybody for whom the condition holds."""
    return {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": list(actions),
        "Resource": resources,
        "Condition": condition,
    }


def key_statements(home: Node) -> tuple[Statement, ...]:
    """Return what a node's key lets happen: which services use it for whom, and who administers it.

    ``*`` as a resource is the key itself. The account as a principal means those to whom its IAM policies give the
    action as well; without it nobody could ever change the key again.

    Source: AWS KMS Developer Guide, "Key policies"; Amazon EBS User Guide, "How EBS encryption works"; CloudWatch Logs
    User Guide, "Encrypt log data"; Amazon EC2 User Guide, "Service-linked role for Spot Instance requests".
    """
    return (
        _for_account(home, "AdministeredByTheAccount", _ADMINISTRATION),
        _for_account(home, "ObjectsAndSecrets", _OBJECTS, _through(home, "s3", "secretsmanager", "ssm")),
        _for_account(home, "Volumes", _VOLUMES, _through(home, "ec2")),
        _for_account(
            home,
            "VolumesThatEc2Attaches",
            ("CreateGrant",),
            _through(home, "ec2") | {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
        {
            **_statement("LogsOfThisNode", _LOGS),
            "Principal": {"Service": f"logs.{home.region}.amazonaws.com"},
            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": _log_groups(home)}},
        },
        _alarms(home),
        *(_spot(home) if home.spec.spot else ()),
    )


def _for_account(
    home: Node, sid: str, actions: tuple[str, ...], condition: dict[str, object] | None = None
) -> Statement:
    statement = _statement(sid, actions) | {"Principal": {"AWS": f"arn:aws:iam::{home.account}:root"}}
    return statement | ({"Condition": condition} if condition else {})


def _statement(sid: str, actions: tuple[str, ...]) -> Statement:
    return allow(sid, [f"kms:{action}" for action in actions], ["*"])


def _through(home: Node, *services: str) -> dict[str, object]:
    """Return the condition that a service of the node's Region asks, not the caller itself."""
    return {"StringEquals": {"kms:ViaService": [f"{service}.{home.region}.amazonaws.com" for service in services]}}


def _log_groups(home: Node) -> list[str]:
    own = f"arn:aws:logs:{home.region}:{home.account}:log-group:{home.log_group}"
    return [own, f"{own}/*"]


def _alarms(home: Node) -> Statement:
    """Let CloudWatch put this node's alarms into its topic, which is encrypted with the key.

    Source: Amazon SNS Developer Guide, "Enable compatibility between event sources from AWS services and encrypted
    topics".
    """
    return {
        **_statement("AlarmsOfThisNode", ("Decrypt", "GenerateDataKey")),
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Condition": {
            "ArnLike": {"aws:SourceArn": home.alarm_pattern},
            "StringEquals": {"aws:SourceAccount": home.account},
        },
    }


def _spot(home: Node) -> tuple[Statement, Statement]:
    """Let EC2's service-linked role for spot capacity attach the node's volumes: IAM gives it no key.

    The role is named in a condition, because a principal must exist, and AWS makes this one at the first request.
    """
    role = f"arn:aws:iam::{home.account}:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
    whose = {"ArnEquals": {"aws:PrincipalArn": role}, "StringEquals": {"kms:CallerAccount": home.account}}
    anybody = {"Principal": {"AWS": "*"}}
    return (
        {**_statement("SpotVolumes", _VOLUMES), **anybody, "Condition": whose},
        {
            **_statement("SpotVolumesThatEc2Attaches", ("CreateGrant",)),
            **anybody,
            "Condition": whose | {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        },
    )
