"""What was measured: places, connections between them, and how each came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: An address of nobody's: kept for documentation (RFC 5737).
NOBODY = "198.51.100.1"

PlaceKind = Literal["node", "connect", "endpoint", "resolver", "metadata", "nobody"]
#: ``refused`` is an answer of the target as well: what was asked reached it.
Outcome = Literal["open", "refused", "silent", "unreachable"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One end of a connection.

    Args:
        federation: whose it is.
        node: the node whose VPC it is in; empty for nobody.
        kind: what stands there.
        service: an endpoint's service.
    """

    federation: str
    node: str
    kind: PlaceKind
    service: str = ""

    def __str__(self) -> str:
        names = {
            "node": self.node,
            "connect": f"{self.node}'s connect endpoint",
            "endpoint": f"{self.node}'s endpoint {self.service}".rstrip(),
            "resolver": f"{self.node}'s resolver",
            "metadata": f"{self.node}'s metadata service",
            "nobody": f"nobody's address {NOBODY}",
        }
        return names[self.kind]


@dataclass(frozen=True, slots=True)
class Measured:
    """One connection that was tried."""

    source: Place
    target: Place
    address: str
    port: int
    outcome: Outcome

    @property
    def is_open(self) -> bool:
        """Whether the target was reached."""
        return self.outcome in ("open", "refused")


@dataclass(frozen=True, slots=True)
class Matrix:
    """What was measured.

    Args:
        measured: one entry for each connection that was tried.
        seconds: how long it took.
        scope: what was tried, in words.
    """

    measured: tuple[Measured, ...]
    seconds: float
    scope: str
