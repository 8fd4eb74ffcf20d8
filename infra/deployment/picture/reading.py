"""What the picture shows of each account, read from its templates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.deployment.groups import linked_site
from infra.federation.derive import AGGREGATOR_ID
from stacks.plan import DeploymentPlan, StackPlan

Resource = Mapping[str, Any]
#: Where a NAT gateway leads.
ANYWHERE = "0.0.0.0/0"

#: What an account keeps, and how it is watched: resource types in the reader's words, singular and plural.
_KEPT = {
    "AWS::S3::Bucket": ("bucket", "buckets"),
    "AWS::EC2::Volume": ("state volume", "volumes"),
    "AWS::KMS::Key": ("key", "keys"),
    "AWS::Logs::LogGroup": ("log", "logs"),
    "AWS::CloudWatch::Dashboard": ("dashboard", "dashboards"),
    "AWS::CloudWatch::Alarm": ("alarm", "alarms"),
}


@dataclass(frozen=True, slots=True)
class Card:
    """One account.

    Args:
        node: ``aggregator`` or the site's id.
        account: 12 digits.
        place: Region or zone.
        vpc: the VPC's range.
        machine: the node's instance type and address.
        internet: whether there is a way to the internet.
        endpoints: services that are reached without one.
        dials: what the node may open besides those, as ``10.30.0.10:8890``.
        admits: who may open what at the node.
        keeps: what outlives the node, and what watches it.
        accepts: roles for other accounts.
    """

    node: str
    account: str
    place: str
    vpc: str
    machine: str
    internet: bool
    endpoints: tuple[str, ...]
    dials: tuple[str, ...]
    admits: tuple[str, ...]
    keeps: tuple[str, ...]
    accepts: int


def read(folder: Path, plan: DeploymentPlan) -> list[Card]:
    """Read the accounts of a synthesised federation: the hub's first, then the sites' in the plan's order.

    Args:
        folder: of the templates.
        plan: whose they are.
    """
    by_node: dict[str, list[StackPlan]] = {}
    for stack in plan.stacks:
        by_node.setdefault(stack.node, []).append(stack)
    order = sorted(by_node, key=lambda node: node != AGGREGATOR_ID)
    return [_card(node, by_node[node], folder, plan) for node in order]


def _card(node: str, stacks: list[StackPlan], folder: Path, plan: DeploymentPlan) -> Card:
    resources = [
        (stack, resource)
        for stack in stacks
        for resource in json.loads((folder / f"{stack.id}.template.json").read_text("utf-8"))["Resources"].values()
    ]
    of = _Of([resource for _, resource in resources])
    (vpc,), (interface,), (machine,) = (
        of.type(f"AWS::EC2::{kind}") for kind in ("VPC", "NetworkInterface", "Instance")
    )
    zones = {subnet["AvailabilityZone"] for subnet in of.type("AWS::EC2::Subnet")}
    counted = Counter(resource["Type"] for _, resource in resources)
    return Card(
        node=node,
        account=stacks[0].account,
        place=", ".join(sorted(zones)),
        vpc=vpc["CidrBlock"],
        machine=f"{machine['InstanceType']} · {interface['PrivateIpAddress']}",
        internet=bool(of.type("AWS::EC2::InternetGateway")),
        endpoints=tuple(sorted(each["ServiceName"].rsplit(".", 1)[1] for each in of.type("AWS::EC2::VPCEndpoint"))),
        dials=tuple(sorted(_dialled(of))),
        admits=tuple(_admitted(resources, plan)),
        keeps=tuple(_counted(counted)),
        accepts=sum("AWS" in _principal(role) for role in of.type("AWS::IAM::Role")),
    )


@dataclass(frozen=True, slots=True)
class _Of:
    resources: list[Resource]

    def type(self, name: str) -> list[Mapping[str, Any]]:
        return [resource["Properties"] for resource in self.resources if resource["Type"] == name]


def _dialled(of: _Of) -> Iterator[str]:
    """Yield what is named by address: the account's own groups and prefix lists lead to its endpoints."""
    inline = [rule for group in of.type("AWS::EC2::SecurityGroup") for rule in group.get("SecurityGroupEgress", [])]
    for rule in (*inline, *of.type("AWS::EC2::SecurityGroupEgress")):
        cidr = rule.get("CidrIp", "")
        if cidr and not cidr.startswith("127."):
            yield f"{cidr.removesuffix('/32')}:{rule['FromPort']}"


def _admitted(resources: list[tuple[StackPlan, Resource]], plan: DeploymentPlan) -> Iterator[str]:
    """Yield who is let in to the node: a linked site, or the account's own Instance Connect Endpoint."""
    for stack, resource in resources:
        if resource["Type"] != "AWS::EC2::SecurityGroupIngress":
            continue
        rule = resource["Properties"]
        who = linked_site(plan, stack)
        if who is None:
            is_own = "ConnectSecurityGroup" in json.dumps(rule.get("SourceSecurityGroupId", ""))
            who = "own Instance Connect Endpoint" if is_own else str(rule.get("CidrIp", "another group"))
        yield f"{rule['FromPort']} from {who}"


def _counted(counted: Counter[str]) -> Iterator[str]:
    for kind, (one, many) in _KEPT.items():
        if number := counted[kind]:
            yield one if number == 1 else f"{number} {many}"


def _principal(role: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
    return found
