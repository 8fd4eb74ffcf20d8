"""The customer-managed key of a node's account: what is kept there can be read by nobody whom its policy does not let.

A key policy is the only place where KMS looks for another account's rights: nobody outside is named here, so that
neither the hub's account nor the coordinator can decrypt what a hospital keeps. A key that the organisation has already
(``kms_key``) is used as it is; :func:`key_policy` says what its policy must let happen.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms

from infra.federation.derive import Node
from stacks.base import FederateStack
from stacks.permissions import Statement, allow, policy

#: The longest that KMS offers: until then a deletion can be taken back, and what the key encrypts is not lost.
PENDING_DAYS = 30

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


@dataclass(frozen=True, slots=True)
class AccountKey:
    """A node's key.

    Args:
        attr_arn: its ARN; a CDK token where the key is made by the stack.
        made: the key, if the stack makes it; None where the account's own is used.
    """

    attr_arn: str
    made: kms.CfnKey | None


def account_key(stack: FederateStack, home: Node) -> AccountKey:
    """Make a node's key and its alias in a storage stack, or take the key that the federation names.

    The key goes or stays with what it encrypts. The alias always goes: it would keep its name from the next key.
    """
    if home.spec.kms_key is not None:
        stack.keep_from_before("Key")
        return AccountKey(home.spec.kms_key, None)
    key = kms.CfnKey(
        stack,
        "Key",
        description=f"Federate {home.federation}: what {home.id} keeps",
        enable_key_rotation=True,
        pending_window_in_days=PENDING_DAYS,
        key_policy=key_policy(home),
    )
    stack.keep_or_delete(key)
    alias = kms.CfnAlias(stack, "KeyAlias", alias_name=home.key_alias, target_key_id=key.ref)
    alias.apply_removal_policy(RemovalPolicy.DESTROY)
    return AccountKey(key.attr_arn, key)


def key_policy(home: Node) -> dict[str, object]:
    """Return the policy of a node's key: which services use it for whom, and who administers it.

    ``*`` as a resource is the key itself. The account as a principal means those to whom its IAM policies give the
    action as well; without it nobody could ever change the key again.

    Source: AWS KMS Developer Guide, "Key policies"; Amazon EBS User Guide, "How EBS encryption works"; CloudWatch Logs
    User Guide, "Encrypt log data"; Amazon EC2 User Guide, "Service-linked role for Spot Instance requests".
    """
    return policy(
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
