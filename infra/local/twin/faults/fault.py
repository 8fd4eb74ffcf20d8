"""A fault that is in force, and an event that is over, as they are kept in a file and shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong now, and can be taken back.

    Args:
        id: names it for as long as it lasts.
        kind: what is wrong: ``slow``, ``cut``, ….
        node: where.
        parameters: by the kind: numbers in the unit that their name says.
        since: when it began, ISO 8601, UTC.
        text: the parameters in words.
        details: what is needed to take it back, beyond the parameters.
    """

    id: str
    kind: str
    node: str
    parameters: dict[str, Any]
    since: str
    text: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done and cannot be taken back: a process was killed, a node was rebooted."""

    kind: str
    node: str
    parameters: dict[str, Any]
    at: str
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def now() -> str:
    """Return the time as faults and events bear it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
