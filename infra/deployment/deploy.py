"""Deployment: the phases one after the other, the accounts of a phase side by side; run again, it goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from infra.accounts import Accounts, NoAnswer, explained
from infra.deployment.board import Board
from infra.deployment.cdk import Cdk, CdkRun
from infra.deployment.condition import Condition, StackFailed, Stacks, judge, what_is_left
from infra.deployment.groups import EVERY_PHASE, Group, groups, linked_site
from infra.deployment.parameters import resolve
from infra.deployment.side_by_side import Stop, side_by_side, wait_until
from infra.errors import FederateError
from infra.progress import Cell, Status
from stacks.plan import DeploymentPlan, StackPlan

AGAIN = "Then run the same command again: it goes on where it ended."
#: The CDK command's own line about a stack that failed.
_FAILED = re.compile(r"❌\s+(?P<stack>[\w-]+) failed: (?P<reason>.*)")
_LAST_LINES = 4


class NotDeployed(FederateError):
    """Some stacks could not be deployed; the others are.

    Args:
        failures: every failure.
        left: what is half made, line by line.
    """

    def __init__(self, failures: Sequence[FederateError], left: Sequence[str] = ()) -> None:
        super().__init__("\n".join([*dict.fromkeys(str(failure) for failure in failures), *left]))
        self.failures = tuple(failures)
        self.exit_code = failures[0].exit_code


@dataclass
class Deployment:
    """Deploys stacks of a plan.

    Args:
        plan: all stacks of the federation.
        accounts: AWS's APIs.
        cdk: the CDK command.
        board: what the user sees.
        poll_seconds: time between two looks at a stack that somebody else works on.
        given: values of parameters that a hand-over file tells, by ``<stack name>:<parameter>``.
    """

    plan: DeploymentPlan
    accounts: Accounts
    cdk: Cdk
    board: Board
    poll_seconds: float = 2.0
    given: Mapping[str, str] = field(default_factory=dict)
    _stop: Stop = field(default_factory=Stop, init=False)

    def __post_init__(self) -> None:
        self._stacks = Stacks(self.accounts)

    def run(self, chosen: Sequence[StackPlan]) -> None:
        """Deploy stacks. A site that fails stops neither the other sites nor the hub's node.

        Raises:
            NotDeployed: with every stack that failed and why.
            KeyboardInterrupt: Ctrl-C, once everything of ours has ended.
        """
        failures: list[FederateError] = []
        for phase in EVERY_PHASE:
            ready = [group for group in groups(chosen, phase) if self._without(group, failures)]
            failures += side_by_side(
                [self._without(group, failures) or group for group in ready], self._deploy, on_interrupt=self._interrupt
            )
            if (phase == "hub" and failures) or any(isinstance(failure, NoAnswer) for failure in failures):
                break
        if failures:
            is_reached = not any(isinstance(failure, NoAnswer) for failure in failures)
            raise NotDeployed(failures, what_is_left(chosen, self._stacks) if is_reached else ())

    def _without(self, group: Group, failures: Sequence[FederateError]) -> Group | None:
        """Return the group without links to sites that failed; None if nothing is left of it."""
        lost = {failure.stack.node for failure in failures if isinstance(failure, StackFailed)}
        kept = tuple(stack for stack in group.stacks if linked_site(self.plan, stack) not in lost)
        return Group(group.phase, group.node, kept) if kept else None

    def _interrupt(self) -> None:
        self._stop.set()
        self.cdk.interrupt()

    def _deploy(self, group: Group) -> Iterator[FederateError]:
        with explained(group.where, profile=group.profile, region=group.region):
            run = self._attempt(group)
            if run.exit_code != 0:
                yield from self._failures(group, run)

    def _attempt(self, group: Group) -> CdkRun:
        self.board.watch(group.stacks)
        try:
            for stack in reversed(group.stacks):
                self._make_deployable(stack)
            return self.cdk.deploy(
                [stack.id for stack in group.stacks],
                profile=group.profile,
                parameters=resolve(self.plan, group.stacks, self.accounts, self.given),
                concurrency=len(group.stacks),
                title=group.title,
            )
        finally:
            self.board.settle(group.stacks, absent=Cell("not there", Status.WAITING))

    def _make_deployable(self, stack: StackPlan) -> None:
        """Wait for what is going on in a stack, and delete it if its creation or deletion failed before.

        Raises:
            StackFailed: it cannot be deployed in its present status.
        """
        wait_until(
            lambda: self._stacks.condition(stack) is not Condition.BUSY, self._stop, poll_seconds=self.poll_seconds
        )
        status = self._stacks.status(stack)
        condition = judge(status)
        if condition is Condition.STUCK:
            raise self._stacks.stuck(stack, str(status))
        if condition is not Condition.BROKEN:
            return
        self.board.say(f"{stack.name} is {status} from an earlier attempt: it is deleted and made anew.")
        self._stacks.delete(stack)
        wait_until(lambda: self._is_deleted(stack), self._stop, poll_seconds=self.poll_seconds)
        if self._stacks.condition(stack) is not Condition.ABSENT:
            reason = self._stacks.reason(stack)
            raise StackFailed(
                stack, f"cannot be deleted: {reason}", remedy="Remove what stands in the way.", then=AGAIN
            )

    def _is_deleted(self, stack: StackPlan) -> bool:
        return self._stacks.condition(stack) is not Condition.BUSY

    def _failures(self, group: Group, run: CdkRun) -> Iterator[StackFailed]:
        """Find which stacks failed and why: CloudFormation knows, or else the command said it."""
        then = f"{AGAIN} All that was said is in {run.log}."
        said = {match["stack"]: match["reason"] for match in _FAILED.finditer(run.said())}
        found = False
        for stack in group.stacks:
            status = self._stacks.status(stack)
            is_undone = status is not None and ("ROLLBACK" in status or judge(status) is not Condition.GOOD)
            if is_undone or stack.name in said or stack.id in said:
                found = True
                reason = self._stacks.reason(stack) if is_undone else said.get(stack.name) or said[stack.id]
                yield StackFailed(stack, f"{status or 'not created'}: {reason}", remedy="Repair that.", then=then)
        if not found:
            words = " ".join(run.said().strip().splitlines()[-_LAST_LINES:])
            yield StackFailed(
                group.stacks[0], f"cdk deploy ended with {run.exit_code}: {words}", remedy="Repair that.", then=then
            )
