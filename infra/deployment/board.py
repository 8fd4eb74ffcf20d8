"""What a person sees while stacks change: one row per stack, filled in from CloudFormation itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from botocore.exceptions import BotoCoreError, ClientError

from infra.deployment.condition import Condition, Stacks, judge
from infra.progress import Cell, LiveTable, Status
from stacks.plan import StackPlan

COLUMNS = ("status", "resource")
_POLL_SECONDS = 1.0
_SIGNS = {
    Condition.GOOD: Status.DONE,
    Condition.BUSY: Status.BUSY,
    Condition.BROKEN: Status.FAILED,
    Condition.STUCK: Status.FAILED,
}


def row(stack: StackPlan) -> str:
    """Return the key of a stack's row: its account and its id."""
    return f"{stack.account}  {stack.id}"


class Board:
    """Shows stacks in a table, and looks at those that are being worked on until the block ends.

    Args:
        table: where to show; its columns are :data:`COLUMNS`.
        stacks: CloudFormation.
    """

    def __init__(self, table: LiveTable, stacks: Stacks) -> None:
        self._table = table
        self._stacks = stacks
        self._has_resource: set[str] = set()
        self._watched: dict[str, StackPlan] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look_until_the_end, name="board", daemon=True)

    def __enter__(self) -> Self:
        """Show the table and begin to look."""
        self._table.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop looking and leave the table as it is."""
        self._end.set()
        self._thread.join()
        self._table.__exit__(kind, error, traceback)

    def say(self, message: str) -> None:
        """Show a line that stays."""
        self._table.say(message)

    def watch(self, stacks: Sequence[StackPlan]) -> None:
        """Begin to look at some stacks: they are being worked on."""
        with self._lock:
            self._watched.update({stack.id: stack for stack in stacks})
        for stack in stacks:
            self._table.update(row(stack), status=Cell("begins", Status.BUSY))

    def settle(self, stacks: Sequence[StackPlan], *, absent: Cell, present: Status | None = None) -> None:
        """Look a last time at some stacks.

        Args:
            stacks: those that are not worked on any more.
            absent: what to show for a stack that does not exist.
            present: the sign of one that is there and in order, where that is not success.
        """
        with self._lock:
            for stack in stacks:
                self._watched.pop(stack.id, None)
        try:
            for stack in stacks:
                self._show(stack, self._stacks.status(stack), absent, present)
                if stack.id in self._has_resource:
                    self._table.update(row(stack), resource="")
        except (BotoCoreError, ClientError):
            for stack in stacks:
                self._table.update(row(stack), status=Cell("unknown", Status.FAILED))

    def _show(self, stack: StackPlan, status: str | None, absent: Cell, present: Status | None) -> None:
        condition = judge(status)
        if condition is Condition.ABSENT:
            self._table.update(row(stack), status=absent)
        else:
            sign = present if present and condition is Condition.GOOD else _SIGNS[condition]
            self._table.update(row(stack), status=Cell(str(status), sign))

    def _look_until_the_end(self) -> None:
        while not self._end.wait(_POLL_SECONDS):
            with self._lock:
                watched = tuple(self._watched.values())
            for stack in watched:
                try:
                    self._look(stack)
                except (BotoCoreError, ClientError):
                    continue  # whoever works on the stack gets the same answer, and reports it

    def _look(self, stack: StackPlan) -> None:
        status = self._stacks.status(stack)
        if judge(status) is not Condition.BUSY:
            return
        newest = next(iter(self._stacks.events(stack)), None)
        with self._lock:
            if stack.id in self._watched:
                self._table.update(row(stack), status=Cell(str(status), Status.BUSY))
                if newest is not None:
                    self._has_resource.add(stack.id)
                    self._table.update(row(stack), resource=str(newest["LogicalResourceId"]))
