"""Stacks of the federation that its file no longer has: what stays in the accounts when a site's block is deleted."""

from __future__ import annotations

from collections.abc import Sequence

from infra.accounts import Accounts, explained
from infra.deployment.audit.mark import Mark
from infra.deployment.condition import Condition, StackFailed, Stacks
from infra.deployment.side_by_side import Stop, wait_until
from stacks.plan import DeploymentPlan, StackPlan

_LINK = "HubLink-"


def orphans(plan: DeploymentPlan, accounts: Accounts) -> tuple[StackPlan, ...]:
    """Return the stacks that the plan's accounts have of this federation and the plan does not.

    The account of a site that has left the file is known no more, unless another node shares it.
    """
    places = {(stack.account, stack.region): stack for stack in plan.stacks if stack.is_operated_here}
    planned = {(stack.account, stack.region, stack.name) for stack in plan.stacks}
    mark = Mark.of(plan)
    found = []
    for (account, region), of in places.items():
        with explained(f"account {account}, profile {of.profile}", profile=of.profile, region=region):
            client = accounts.client("cloudformation", profile=of.profile, region=region)
            pages = client.get_paginator("describe_stacks").paginate()
            names = [stack["StackName"] for page in pages for stack in page["Stacks"]]
        for name in names:
            if mark.is_stack(name) and (account, region, name) not in planned:
                id_ = name.removeprefix(f"{plan.federation}-")
                found.append(StackPlan(id_, name, "links", of.node, account, region, of.profile, {}, (), ()))
    return tuple(found)


def links(found: Sequence[StackPlan]) -> tuple[StackPlan, ...]:
    """Return those that let a site in that has left: the hub's route to it, and its admission."""
    return tuple(stack for stack in found if stack.id.startswith(_LINK))


def delete(chosen: Sequence[StackPlan], accounts: Accounts, *, poll_seconds: float = 1.0) -> None:
    """Delete orphaned links, which are the hub's own; nothing else is deleted that the file does not name.

    Raises:
        StackFailed: one could not be deleted.
    """
    stacks = Stacks(accounts)
    stop = Stop()
    for stack in chosen:
        with explained(f"account {stack.account}, profile {stack.profile}", profile=stack.profile, region=stack.region):
            stacks.delete(stack)

            def is_over(stack: StackPlan = stack) -> bool:
                return stacks.condition(stack) is not Condition.BUSY

            wait_until(is_over, stop, poll_seconds=poll_seconds)
            if stacks.condition(stack) is not Condition.ABSENT:
                raise StackFailed(
                    stack, stacks.reason(stack), remedy="Remove what stands in the way, and run this again."
                )


def in_words(found: Sequence[StackPlan]) -> str:
    """Say which stacks are left over and what to do about them."""
    lines = [f"  {stack.name} in account {stack.account}, {stack.region}" for stack in found]
    sites = sorted({stack.id.partition("-")[2] for stack in found if stack.id.startswith(_LINK)})
    whose = f" of {', '.join(sites)}" if sites else ""
    return "\n".join(
        [
            f"Not in the federation's file any more, and still deployed{whose}:",
            *lines,
            "  A site leaves while its block is in the file: federate destroy --only SITE, then delete the block.",
            "  Links of sites that have gone are deleted now. What their own accounts still have, their admins delete, "
            "or federate destroy --only SITE once the block is back.",
        ]
    )
