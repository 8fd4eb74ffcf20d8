"""Teardown: the phases backwards, and never a network that another account still hangs on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from infra.accounts import Accounts, NoAnswer, explained
from infra.deployment.board import Board
from infra.deployment.cdk import Cdk
from infra.deployment.condition import Condition, StackFailed, Stacks
from infra.deployment.groups import EVERY_PHASE, PHASES, Group, groups, linked_site
from infra.deployment.instances import Instances, is_of_node
from infra.deployment.side_by_side import Stop, side_by_side, wait_until
from infra.deployment.storage import empty_buckets
from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID
from infra.progress import Cell, Status
from stacks.plan import DeploymentPlan, StackPlan

#: A node may write into its bucket until it is gone, so a bucket may have to be emptied twice.
_ATTEMPTS = 2


class WrongOrder(FederateError):
    """Something else is deployed that needs what is to be deleted."""

    exit_code = 2


class NotDestroyed(FederateError):
    """Some stacks could not be deleted.

    Args:
        failures: every failure.
        left: what is still there, line by line.
    """

    def __init__(self, failures: Sequence[FederateError], left: Sequence[str] = ()) -> None:
        super().__init__("\n".join([*dict.fromkeys(str(failure) for failure in failures), *left]))
        self.failures = tuple(failures)
        self.exit_code = failures[0].exit_code


def refuse_wrong_order(plan: DeploymentPlan, chosen: Sequence[StackPlan], accounts: Accounts) -> None:
    """Refuse to delete the hub while a site stays that is connected to it.

    Raises:
        WrongOrder: naming the sites.
    """
    if not any(stack.node == AGGREGATOR_ID and linked_site(plan, stack) is None for stack in chosen):
        return
    stacks = Stacks(accounts)
    # Of a site that its own admin operates, the link on the hub's side is what there is to see.
    others = [stack for stack in plan.stacks if stack not in chosen and stack.phase in PHASES]
    staying = [stack for stack in others if stack.is_operated_here]
    sites = {linked_site(plan, stack) or stack.node for stack in staying if stacks.describe(stack) is not None}
    if sites:
        names = ", ".join(sorted(sites))
        raise WrongOrder(
            f"The hub cannot be deleted while sites are connected to it: {names}.",
            remedy=f"Delete them first ({' '.join(f'--only {site}' for site in sorted(sites))}), "
            "or all together: federate destroy.",
        )


@dataclass
class Teardown:
    """Deletes stacks of a plan.

    Args:
        plan: all stacks of the federation.
        accounts: AWS's APIs.
        cdk: the CDK command.
        board: what the user sees.
        poll_seconds: time between two looks at a stack that somebody else works on.
    """

    plan: DeploymentPlan
    accounts: Accounts
    cdk: Cdk
    board: Board
    poll_seconds: float = 2.0
    _stop: Stop = field(default_factory=Stop, init=False)

    def __post_init__(self) -> None:
        self._stacks = Stacks(self.accounts)

    def run(self, chosen: Sequence[StackPlan]) -> None:
        """Delete stacks, the order of which has been found right; what does not exist is passed over.

        Raises:
            NotDestroyed: with every stack that failed and why.
            KeyboardInterrupt: Ctrl-C, once everything of ours has ended.
        """
        failures: list[FederateError] = []
        for phase in reversed(EVERY_PHASE):
            held = self._held(failures)
            todo = [group for group in groups(chosen, phase) if group.node not in held]
            failures += side_by_side(todo, self._destroy, on_interrupt=self._interrupt)
            if any(isinstance(failure, NoAnswer) for failure in failures):
                break
        if failures:
            is_reached = not any(isinstance(failure, NoAnswer) for failure in failures)
            raise NotDestroyed(failures, self._still_there(chosen) if is_reached else ())

    def _still_there(self, chosen: Sequence[StackPlan]) -> list[str]:
        """Name the stacks that were to go and have not; those that something else held are among them."""
        try:
            found = [(stack, self._stacks.status(stack)) for stack in chosen]
        except (BotoCoreError, ClientError) as error:
            return [f"What exists now could not be asked: {error}"]
        there = [f"  {stack.name} in account {stack.account}: {status}" for stack, status in found if status]
        return ["Still there, for the same command to delete:", *there] if there else []

    def _held(self, failures: Sequence[FederateError]) -> set[str]:
        """Return the nodes whose stacks must stay: a site whose link failed, and the hub if anything did."""
        failed = [failure.stack for failure in failures if isinstance(failure, StackFailed)]
        held = {linked_site(self.plan, stack) or stack.node for stack in failed}
        return held | {AGGREGATOR_ID} if failures else held

    def _interrupt(self) -> None:
        self._stop.set()
        self.cdk.interrupt()

    def _destroy(self, group: Group) -> Iterator[FederateError]:
        with explained(group.where, profile=group.profile, region=group.region):
            self.board.watch(group.stacks)
            try:
                log = self._attempt(group)
            finally:
                self.board.settle(group.stacks, absent=Cell("deleted", Status.DONE), present=Status.FAILED)
            yield from self._failures(group, log)

    def _failures(self, group: Group, log: Path | None) -> Iterator[StackFailed]:
        """Find the stacks that are still there and why; those that were not tried yet are no failure of their own."""
        then = "Then run the same command again." + (f" All that was said is in {log}." if log else "")
        left = {stack.id: self._stacks.status(stack) for stack in self._present(group)}
        there = [stack for stack in group.stacks if stack.id in left]
        told = {stack.id: _said_of(stack, log) for stack in there}
        tried = [stack for stack in there if left[stack.id] == "DELETE_FAILED" or told[stack.id]]
        for stack in tried or there:
            status, reason = left[stack.id], self._stacks.reason(stack)
            # A stack that is as it was has no reason of its own: it was not begun with, and the command may know why.
            why = f"{status}: {reason}" if reason != status else f"it was not deleted{told[stack.id]}"
            yield StackFailed(stack, why, remedy="Remove what stands in the way.", then=then)

    def _attempt(self, group: Group) -> Path | None:
        """Delete the group's stacks; return the log of the last run of the command, None if there was none."""
        log = None
        for _ in range(_ATTEMPTS):
            for stack in group.stacks:
                wait_until(partial(self._is_free, stack), self._stop, poll_seconds=self.poll_seconds)
            present = self._present(group)
            if not present:
                break
            for stack in present:
                if is_of_node(stack):
                    Instances(self.accounts).end(stack, self._stop, poll_seconds=self.poll_seconds)
                empty_buckets(stack, self.accounts)
            ids = [stack.id for stack in present]
            log = self.cdk.destroy(ids, profile=group.profile, concurrency=len(ids), title=group.title).log
        return log

    def _present(self, group: Group) -> list[StackPlan]:
        return [stack for stack in group.stacks if self._stacks.condition(stack) is not Condition.ABSENT]

    def _is_free(self, stack: StackPlan) -> bool:
        return self._stacks.condition(stack) is not Condition.BUSY


def _said_of(stack: StackPlan, log: Path | None) -> str:
    """Return what the command said of a stack that it could not even begin to delete, after a colon; or nothing."""
    lines = log.read_text("utf-8", errors="replace").splitlines() if log else []
    said = [line.strip().lstrip("❌ ") for line in lines if "❌" in line and re.search(rf"\b{stack.name}\b(?!-)", line)]
    return f": {said[-1]}" if said else ""
