"""The records of Run Command: agents, commands, and how each command goes on each instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PENDING, IN_PROGRESS, CANCELLING = "Pending", "InProgress", "Cancelling"
ENDED = ("Success", "Failed", "TimedOut", "Cancelled")


class Refused(Exception):
    """A call is refused; ``code`` is AWS's name of the error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Agent:
    """An instance whose agent has registered."""

    instance: str
    told: Mapping[str, str]
    registered_at: float
    seen_at: float


@dataclass(slots=True)
class Invocation:
    """One command on one instance. Times are seconds since 1970; 0 for what has not been."""

    command: str
    instance: str
    status: str = PENDING
    details: str = PENDING
    exit_code: int = -1
    stdout: str = ""
    stderr: str = ""
    began_at: float = 0.0
    ended_at: float = 0.0

    def end(self, status: str, details: str, at: float) -> None:
        """Let it have ended."""
        self.status, self.details, self.ended_at = status, details, at


@dataclass(slots=True)
class Command:
    """One call of SendCommand."""

    id: str
    comment: str
    parameters: Mapping[str, Sequence[str]]
    delivery_seconds: int
    execution_seconds: int
    asked_at: float
    invocations: dict[str, Invocation] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The command's status: what is unfinished first, then the worst of what came of it."""
        found = {invocation.status for invocation in self.invocations.values()}
        order = (IN_PROGRESS, CANCELLING, PENDING, "Failed", "TimedOut", "Cancelled")
        return next((status for status in order if status in found), "Success")
