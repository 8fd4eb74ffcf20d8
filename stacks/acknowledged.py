"""What scanners find in our templates and we mean: each finding with the reason that a hospital's reviewer is given.

A scanner's finding that is not here fails ``make policies``, and so does an entry here that no scanner finds any more.
An entry holds for one kind of stack, one construct in it and one exact finding: a wildcard that is acknowledged under
the node's own prefix acknowledges no other. Pure: nothing here imports CDK or a scanner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stacks.plan import StackPlan

#: What CDK's own validation and cfn-lint warn of, and why it is meant.
MEANT: Final = {
    "W3010": "The zone is the federation's to say: subnet, state volume and node must share one.",
    "W2506": "A type of AWS's own is looked up at every update: a node whose image is retired could never be updated.",
    "W9010": "The machine image is pinned: another image replaces a node, which is to be decided, not to happen.",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One finding of a scanner.

    Args:
        stack: id of the stack.
        construct: path of the construct within the stack, such as ``Role``.
        rule: the rule's name, such as ``AwsSolutions-IAM5``.
        detail: what stands in brackets behind the rule's name where one resource can have several findings.
    """

    stack: str
    construct: str
    rule: str
    detail: str = ""

    def __str__(self) -> str:
        """Render the finding as the scanner writes it."""
        return f"{self.stack}/{self.construct}: {self.rule}" + (f"[{self.detail}]" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Findings that are meant.

    Args:
        rules: names of rules.
        where: ``<kind of stack>/<construct>``; a ``*`` stands for one name, such as a site's.
        reason: why it is meant, for a reviewer who did not write it.
        details: what stands in brackets; ``{region}``, ``{account}``, ``{federation}``, ``{node}``, ``{storage}`` (name
            of the node's storage stack) and ``{bucket}`` (an existing bucket and the prefix in it) are the stack's.
    """

    rules: tuple[str, ...]
    where: tuple[str, ...]
    reason: str
    details: tuple[str, ...] = ("",)

    def parts(self) -> Iterator[tuple[str, str, str]]:
        """Yield each (rule, where, detail): none of them may be stale."""
        for rule in self.rules:
            for where in self.where:
                for detail in self.details:
                    yield rule, where, detail


def matching(
    found: Found, *, stack: StackPlan, federation: str, among: Sequence[Acknowledged], bucket: str = ""
) -> tuple[Acknowledged, tuple[str, str, str]] | None:
    """Return the entry, and its part, that acknowledges a finding; None if nothing does.

    Args:
        found: the finding.
        stack: the stack that it is in.
        federation: the federation's name.
        among: the entries.
        bucket: the existing bucket of the stack's account and the prefix in it, where the federation names one.
    """
    kind = stack.id.removesuffix(f"-{stack.node}").split("-")[0]
    place = f"{kind}/{found.construct}".split("/")
    values = {
        "region": stack.region,
        "account": stack.account,
        "federation": federation,
        "node": stack.node,
        "bucket": bucket,
        "storage": f"{federation}-" + ("HubStorage" if kind.startswith("Hub") else f"SiteStorage-{stack.node}"),
    }
    for entry in among:
        for rule, where, detail in entry.parts():
            names = where.split("/")
            here = len(names) == len(place) and all(name in ("*", own) for name, own in zip(names, place, strict=True))
            if here and rule == found.rule and detail.format_map(values) == found.detail:
                return entry, (rule, where, detail)
    return None


def _regulated(*rules: str) -> tuple[str, ...]:
    """Return these rules as the two packs that share them call them."""
    return tuple(f"{pack}-{rule}" for rule in rules for pack in ("HIPAA.Security", "NIST.800.53.R5"))


_NODES: Final = ("HubNode", "SiteNode")
_STORAGES: Final = ("HubStorage", "SiteStorage")
_NETWORKS: Final = ("HubNetwork", "SiteNetwork")


def _in(kinds: Sequence[str], construct: str) -> tuple[str, ...]:
    return tuple(f"{kind}/{construct}" for kind in kinds)


ACKNOWLEDGED: Final[tuple[Acknowledged, ...]] = (
    Acknowledged(
        rules=("AwsSolutions-EC29",),
        where=_in(_NODES, "Instance"),
        reason="A node is thrown away by deleting its stack, and made anew: termination protection would stop just "
        "that. What must survive (keys, checkpoints, audit log) is on the storage stack's volume, which is retained.",
    ),
    Acknowledged(
        rules=_regulated("EC2InstancesInVPC"),
        where=_in(_NODES, "Instance"),
        reason="The rule looks for the instance's own SubnetId. The node is in its private subnet by the network "
        "interface that it is given, which CloudFormation does not allow beside a SubnetId.",
    ),
    Acknowledged(
        rules=_regulated("IAMNoInlinePolicy"),
        where=(*_in(_NODES, "Role"), *_in(_NETWORKS, "Default/FlowLogRole"), "HubNetwork/Accept/*"),
        reason="Each of these policies is of one role and of no use to another: inline, it can be attached to nothing "
        "else and goes with its role. A reviewer reads role and permissions in one place.",
    ),
    Acknowledged(
        rules=("AwsSolutions-IAM5",),
        where=_in(_NODES, "Role"),
        details=("Resource::*",),
        reason="The Systems Manager message gateway has no resource types, so '*' is all that AWS offers for its four "
        "channel actions. A condition admits them only from an instance of this account and Region.",
    ),
    Acknowledged(
        rules=("AwsSolutions-IAM5",),
        where=_in(_NODES, "Role"),
        details=("Resource::arn:aws:ec2:{region}:{account}:instance/*",),
        reason="The role exists before its instance, whose id is not known then. The one action on it is to report "
        "itself to Systems Manager; an instance can report only itself.",
    ),
    Acknowledged(
        rules=("AwsSolutions-IAM5",),
        where=_in(_NODES, "Role"),
        details=(
            "Resource::arn:aws:ssm:{region}:{account}:parameter/federate/{federation}/{node}/*",
            "Resource::arn:aws:secretsmanager:{region}:{account}:secret:federate/{federation}/{node}/*",
            "Resource::arn:aws:logs:{region}:{account}:log-group:/federate/{federation}/{node}:log-stream:*",
        ),
        reason="The node's own prefix and nothing beyond: parameters and secrets under its name are read only, and "
        "log streams are made in its one log group.",
    ),
    Acknowledged(
        rules=("AwsSolutions-IAM5",),
        where=_in(_NODES, "Role"),
        details=(
            "Resource::{storage}:ExportsOutputFnGetAttBucketArn436138FE/run/*",
            "Resource::{storage}:ExportsOutputFnGetAttBucketArn436138FE/releases/*",
            "Resource::{storage}:ExportsOutputFnGetAttBucketArn436138FE/results/*",
        ),
        reason="Three folders of the node's own bucket: two to read from, results/ to write to. Objects' names are not "
        "known before they are there.",
    ),
    Acknowledged(
        rules=("AwsSolutions-IAM5",),
        where=("SiteNode/Role",),
        details=("Resource::{storage}:ExportsOutputFnGetAttBucketArn436138FE/data/*",),
        reason="The folder of the hospital's own bucket with the data that its node trains on, read only.",
    ),
    Acknowledged(
        rules=("AwsSolutions-IAM5",),
        where=("SiteNode/Role",),
        details=(
            "Resource::arn:aws:s3:::{bucket}data/*",
            "Resource::arn:aws:s3:::{bucket}run/*",
            "Resource::arn:aws:s3:::{bucket}releases/*",
            "Resource::arn:aws:s3:::{bucket}results/*",
        ),
        reason="The same folders in a bucket that the hospital has already, under the prefix that it names.",
    ),
    Acknowledged(
        rules=("AwsSolutions-IAM5",),
        where=("HubNetwork/Accept/*",),
        details=("Resource::arn:aws:ec2:{region}:{account}:vpc-peering-connection/*",),
        reason="The connection is made after the role that accepts it. Conditions narrow it to both ends: into the "
        "hub's VPC, from a VPC of the one site's account.",
    ),
    Acknowledged(
        rules=("AwsSolutions-IAM5",),
        where=_in(_NETWORKS, "Default/FlowLogRole"),
        details=(
            "Resource::arn:aws:logs:{region}:{account}:log-group:/federate/{federation}/{node}/network:*",
            "Resource::arn:aws:logs:{region}:{account}:log-group:/federate/{federation}/{node}/network:log-stream:*",
        ),
        reason="VPC Flow Logs name the streams of the one group that they write to; the role can be assumed for a flow "
        "log of this account alone.",
    ),
    Acknowledged(
        rules=_regulated("EC2EBSInBackupPlan"),
        where=_in(_STORAGES, "StateVolume"),
        reason="Which backup plan and vault an account uses is its owner's policy, selected by the tag "
        "federate:federation. The volume outlives the node; a site's keys can be made anew, and the aggregator's last "
        "checkpoints are kept on it.",
    ),
    Acknowledged(
        rules=_regulated("S3BucketReplicationEnabled"),
        where=_in(_STORAGES, "Bucket"),
        reason="Patient data stays in the one Region of its account: a copy elsewhere is the hospital's decision. The "
        "bucket is versioned, and what it holds is a copy of the hospital's own source.",
    ),
    Acknowledged(
        rules=_regulated("VPCDefaultSecurityGroupClosed"),
        where=_in(_NETWORKS, "Default/Vpc"),
        reason="The rule warns of every VPC in a template, because a template cannot say what is in the group that AWS "
        "makes with it. Nothing is ever put into that group, and the deployment takes its rules away.",
    ),
    Acknowledged(
        rules=_regulated("VPCNoUnrestrictedRouteToIGW"),
        where=("SiteNetwork/Default/RouteToInternet",),
        reason="Only where an account asks for a NAT gateway (internet: nat). The route is that of the public subnet, "
        "in which there is nothing but the gateway; the node's own subnet has no route to the internet gateway, and "
        "nothing outside can dial in through NAT.",
    ),
    # The pipeline that makes machine images, where a federation asks for one.
    Acknowledged(
        rules=("AwsSolutions-S1", *_regulated("S3BucketLoggingEnabled", "S3BucketReplicationEnabled")),
        where=("NodeImage/Source",),
        reason="It holds two archives of the toolkit's own published sources, named by their digests, and is filled "
        "again from any checkout: nobody's data, and nothing whose reading or loss would matter.",
    ),
    Acknowledged(
        rules=_regulated("S3DefaultEncryptionKMS"),
        where=("NodeImage/Source",),
        reason="Published sources, encrypted with S3's own key. The account's key opens results and checkpoints; an "
        "instance that has the internet shall have no use of it.",
    ),
    Acknowledged(
        rules=("AwsSolutions-VPC7", *_regulated("VPCFlowLogsEnabled", "VPCDefaultSecurityGroupClosed")),
        where=("NodeImage/Network/Vpc",),
        reason="The VPC is connected to no other, holds no data, and has an instance only while an image is made, and "
        "its group admits nobody. Nothing is ever put into the default group.",
    ),
    Acknowledged(
        rules=_regulated("VPCSubnetAutoAssignPublicIpDisabled"),
        where=("NodeImage/Network/Subnet",),
        reason="An instance is there only while an image is made, and its group admits nobody: a public address is as "
        "closed as a NAT gateway's, and costs nothing between builds.",
    ),
    Acknowledged(
        rules=_regulated("VPCNoUnrestrictedRouteToIGW"),
        where=("NodeImage/Network/RouteToInternet",),
        reason="The one way to the internet, for the instance that fetches packages while an image is made. Its group "
        "has two ports out and none in, and the VPC is connected to no other.",
    ),
    Acknowledged(
        rules=_regulated("CloudWatchLogGroupEncrypted"),
        where=("NodeImage/LogX8664Gpu",),
        reason="What pip and systemd say while published software is installed; encrypted with the service's own key.",
    ),
    Acknowledged(
        rules=_regulated("IAMNoInlinePolicy"),
        where=("NodeImage/BuildRole",),
        reason="The policy is of this role and of no use to another: inline, it goes with its role.",
    ),
    Acknowledged(
        rules=("AwsSolutions-IAM5",),
        where=("NodeImage/BuildRole",),
        details=("Resource::*", "Resource::arn:aws:ec2:{region}:{account}:instance/*"),
        reason="Systems Manager's message services have no resource types, and the instance's id is not known before "
        "it is there; a condition admits them only from an instance of this account and Region.",
    ),
    Acknowledged(
        rules=("AwsSolutions-IAM5",),
        where=("NodeImage/BuildRole",),
        details=(
            "Resource::<Source.Arn>/*",
            "Resource::arn:aws:s3:::ec2imagebuilder-toe-{region}-prod/*",
            "Resource::arn:aws:logs:{region}:{account}:log-group:/aws/imagebuilder/federate-{federation}-gpu-x86_64"
            ":log-stream:*",
        ),
        reason="Reading published sources from the stack's own bucket, reading AWS's program that executes components "
        "from AWS's bucket, and writing streams of the recipe's own log group.",
    ),
    Acknowledged(
        rules=_regulated("S3DefaultEncryptionKMS"),
        where=_in(_STORAGES, "AccessLog"),
        reason="S3 delivers access logs only to a bucket that is encrypted by its own keys (SSE-S3). They hold names "
        "of objects and who asked for them, and no object.",
    ),
    Acknowledged(
        rules=_regulated("S3BucketReplicationEnabled"),
        where=_in(_STORAGES, "AccessLog"),
        reason="The log of accesses to a bucket stays where the bucket is, for as long as the account keeps it.",
    ),
)
