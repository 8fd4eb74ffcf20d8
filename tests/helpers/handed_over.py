"""A federation of two sites whose names, accounts and ranges occur nowhere else, and its sites' kits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.deployment.assembly import Assembly
from infra.federation.derive import Node, nodes
from infra.federation.model import Federation
from infra.handover.kit import Kit, make
from infra.nodes.release import Release
from stacks.plan import FromOutput

HUB_VPC = "vpc-0123456789abcdef0"
DATA: dict[str, Any] = {
    "name": "herz",
    "region": "us-east-1",
    "images": {"us-east-1": "ami-0fed0000000000001", "eu-west-3": "ami-0fed0000000000007"},
    "aggregator": {"account": "909090909090", "profile": "koordination", "cidr": "10.30.0.0/16"},
    "participants": [
        {"id": "klinik-nord", "account": "717171717171", "operated_by": "site", "cidr": "10.77.0.0/16"},
        {
            "id": "spital-sued",
            "account": "828282828282",
            "profile": "suedprofil",
            "cidr": "10.88.0.0/16",
            "instance_type": "g5.2xlarge",
            "region": "eu-west-3",
            "data": {"hospitals": [8642097]},
        },
    ],
}


@dataclass(frozen=True)
class Federated:
    """A federation and what synth makes of it."""

    federation: Federation
    assembly: Assembly

    def node(self, site: str) -> Node:
        return next(node for node in nodes(self.federation) if node.id == site)

    def kit(self, site: str, release: Release) -> Kit:
        folder = self.assembly.folder

        def value_of(source: FromOutput) -> str:
            assert source == FromOutput("HubNetwork", "VpcId")
            return HUB_VPC

        return make(
            self.federation,
            self.node(site),
            self.assembly.plan,
            template_of=lambda stack: (folder / f"{stack.id}.template.json").read_text("utf-8"),
            value_of=value_of,
            release=release,
        )
