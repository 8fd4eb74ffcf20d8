"""What the wire tells the rounds. Events come on the wire's threads; the receiver queues them and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fl_app.errors import FlAppError
from fl_app.transport.wire import Envelope


@dataclass(frozen=True, slots=True)
class Joined:
    """A new session with a peer has begun: a process of its is there that has heard nothing yet."""

    peer: str


@dataclass(frozen=True, slots=True)
class Left:
    """A peer's stream is gone; it may come back within the same session."""

    peer: str


@dataclass(frozen=True, slots=True)
class Returned:
    """A peer's stream is back within the same session; nothing was lost."""

    peer: str


@dataclass(frozen=True, slots=True)
class Expelled:
    """A site's certificate was found to be revoked: it is not admitted any more."""

    peer: str


@dataclass(frozen=True, slots=True)
class Local:
    """Something that this process tells itself, as a message type of its own."""

    kind: int


@dataclass(frozen=True, slots=True)
class Received:
    """A message, checked for form and sender."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Failed:
    """The connection cannot come about without a person; the error says why."""

    error: FlAppError


Event = Joined | Left | Returned | Expelled | Received | Failed | Local
Deliver = Callable[[Event], None]
