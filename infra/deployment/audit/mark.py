"""How a resource is known to belong to a federation: by its tags, its name, or the VPC that it is in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stacks.plan import NODE_IMAGE, DeploymentPlan

_FEDERATION = "federate:federation"
_STACK = "aws:cloudformation:stack-name"
_LOGICAL_ID = "aws:cloudformation:logical-id"


@dataclass(frozen=True, slots=True)
class Found:
    """A resource that belongs to the federation.

    Args:
        kind: what it is: ``bucket``.
        id: its identifier in the account.
        tags: its tags, as far as they are known.
        is_going: whether AWS is deleting it already.
        made_as: node and logical id, where they are known otherwise than by the tags of CloudFormation.
        ends: the day on which AWS deletes it, by what is decided already; empty where nothing is.
    """

    kind: str
    id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    is_going: bool = False
    made_as: tuple[str, str] = ("", "")
    ends: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the resources of one federation look like.

    Args:
        federation: its name.
        retained: stack and logical id of what is declared to outlive its stack.
        pipeline: the stack that makes images; it stays when the federation goes, and federate image destroy deletes it.
    """

    federation: str
    retained: frozenset[tuple[str, str]]
    pipeline: str | None = None
    #: (node, logical id) likewise, for what bears no tag of CloudFormation.
    retained_of_nodes: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, plan: DeploymentPlan) -> Mark:
        """Return the mark of a plan's federation."""
        kept = frozenset((stack.name, logical_id) for stack in plan.stacks for logical_id in stack.retained)
        of_nodes = frozenset((stack.node, logical_id) for stack in plan.stacks for logical_id in stack.retained)
        pipeline = next((stack.name for stack in plan.stacks if stack.id == NODE_IMAGE), None)
        return cls(plan.federation, kept, pipeline, of_nodes)

    def is_stack(self, name: str) -> bool:
        """Say whether a stack is the federation's, in the plan or not. Names of federations have no capitals."""
        return re.match(rf"{re.escape(self.federation)}-((Hub|Site)[A-Z]|{NODE_IMAGE}\b)", name) is not None

    def is_bucket(self, name: str) -> bool:
        """Say whether a bucket has a name that CloudFormation makes for one of the federation's storage stacks."""
        return re.match(rf"{re.escape(self.federation)}-(hub|site)storage-", name) is not None

    def maker_of(self, log_group: str) -> tuple[str, str]:
        """Return node and logical id of a log group by its name: ``/federate/<federation>/<node>[/network]``."""
        node, _, part = log_group.removeprefix(f"/federate/{self.federation}/").partition("/")
        return node, {"": "LogGroup", "network": "FlowLogGroup"}.get(part, "")

    def is_tagged(self, tags: Mapping[str, str]) -> bool:
        """Say whether tags are those of the federation."""
        return tags.get(_FEDERATION) == self.federation or self.is_stack(tags.get(_STACK, ""))

    def is_anothers(self, tags: Mapping[str, str]) -> bool:
        """Say whether tags are those of another federation."""
        return tags.get(_FEDERATION, self.federation) != self.federation

    def is_retained(self, found: Found) -> bool:
        """Say whether the federation declares that the resource outlives its stack, or makes images with it."""
        if self.pipeline and self.pipeline in (
            found.tags.get(_STACK),
            found.id,
            found.id.partition("-BuildProfile")[0],
        ):
            return True
        by_tags = (found.tags.get(_STACK, ""), found.tags.get(_LOGICAL_ID, "")) in self.retained
        return by_tags or found.made_as in self.retained_of_nodes


def tags_of(listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return AWS's list of keys and values as a mapping."""
    return {item["Key"]: item["Value"] for item in listed}
