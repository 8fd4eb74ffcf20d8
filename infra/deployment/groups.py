"""Which stacks go together, and in which order: the phases of the plan, and the part of them that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID
from stacks.plan import DeploymentPlan, FromOutput, Phase, StackPlan

#: The order of deployment; teardown goes the other way.
PHASES: tuple[Phase, ...] = ("hub", "sites", "links")
#: With the one that is never deployed together with the others.
EVERY_PHASE: tuple[Phase, ...] = (*PHASES, "image")


class UnknownNode(FederateError):
    """A node was asked for that is not in the federation."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Group:
    """Stacks of one account that one run of the CDK command deploys, in the plan's order."""

    phase: Phase
    node: str
    stacks: tuple[StackPlan, ...]

    @property
    def profile(self) -> str:
        """The profile of the account."""
        return self.stacks[0].profile

    @property
    def region(self) -> str:
        """The Region of the account."""
        return self.stacks[0].region

    @property
    def where(self) -> str:
        """The account, for an error."""
        return f"{self.node}, account {self.stacks[0].account}, profile {self.profile}"

    @property
    def title(self) -> str:
        """A name for log files."""
        return f"{self.phase}-{self.node}"


def groups(stacks: Sequence[StackPlan], phase: Phase) -> tuple[Group, ...]:
    """Return the groups of a phase: one for each node that has stacks in it."""
    by_node: dict[str, list[StackPlan]] = {}
    for stack in stacks:
        if stack.phase == phase:
            by_node.setdefault(stack.node, []).append(stack)
    return tuple(Group(phase, node, tuple(found)) for node, found in by_node.items())


def linked_site(plan: DeploymentPlan, stack: StackPlan) -> str | None:
    """Return the site that a stack of phase ``links`` links to the hub, or None if it links none."""
    node_of = {other.id: other.node for other in plan.stacks}
    for source in stack.parameters.values():
        if stack.phase == "links" and isinstance(source, FromOutput):
            return node_of[source.stack]
    return None


def chosen(plan: DeploymentPlan, only: Sequence[str]) -> tuple[StackPlan, ...]:
    """Return the stacks that belong to the named nodes, or all if none is named; never the one that makes images.

    A link is on the hub's side, but belongs to its site: it comes and goes with it.

    Raises:
        UnknownNode: a name is not a node of the federation.
    """
    known = list(dict.fromkeys(stack.node for stack in plan.stacks))
    for name in only:
        if name not in known:
            raise UnknownNode(
                f"--only {name}: the federation has no such node.", remedy=f"There are {', '.join(known)}."
            )
    stacks = tuple(stack for stack in plan.stacks if stack.phase in PHASES)
    if not only:
        return stacks
    return tuple(stack for stack in stacks if (linked_site(plan, stack) or stack.node) in only)


def sites(plan: DeploymentPlan) -> tuple[str, ...]:
    """Return the ids of the sites."""
    return tuple(dict.fromkeys(stack.node for stack in plan.stacks if stack.node != AGGREGATOR_ID))
