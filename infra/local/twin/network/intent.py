"""What the federation's model intends, beside what was measured. A difference is an error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from infra.errors import FederateError
from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.local.twin.network.matrix import Matrix, Measured, Place
from infra.local.twin.network.measuring import DNS, HTTP, HTTPS

SSH = 22
_MOST_NAMED = 10

State = Literal["open", "closed", "not there"]


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """A connection that is meant to be possible; an endpoint stands for all of its VPC's."""

    source: Place
    target: Place
    port: int


@dataclass(frozen=True, slots=True)
class Row:
    """One connection: what is meant, and what is."""

    source: Place
    target: Place
    port: int
    intended: State
    measured: State

    @property
    def is_as_intended(self) -> bool:
        """Whether there is no difference."""
        return self.intended == self.measured

    @property
    def verdict(self) -> str:
        """Say it in words."""
        return "as intended" if self.is_as_intended else "DIFFERS"


class NotAsIntended(FederateError):
    """Somebody reaches whom he should not, or does not reach whom he should."""

    exit_code = 6

    def __init__(self, rows: Iterable[Row]) -> None:
        differing = list(rows)
        lines = [
            f"{row.source} → {row.target}, TCP {row.port}: {row.measured}, and is to be {row.intended}."
            for row in differing[:_MOST_NAMED]
        ]
        more = len(differing) - len(lines)
        super().__init__(
            "\n".join([*lines, *([f"… and {more} more."] if more else [])]),
            remedy="Compare the accounts' route tables and security groups with docs/network.md; "
            "faults of the twin count as well: federate local fault list.",
        )
        self.rows = differing


@dataclass(frozen=True, slots=True)
class Report:
    """The comparison.

    Args:
        federation: its name.
        rows: every connection that was tried or is intended, in the order of the federation's file.
        scope: what was tried, in words.
        seconds: how long it took.
    """

    federation: str
    rows: tuple[Row, ...]
    scope: str
    seconds: float

    @property
    def differences(self) -> tuple[Row, ...]:
        """The rows that are not as intended."""
        return tuple(row for row in self.rows if not row.is_as_intended)

    def check(self) -> None:
        """Make sure that all is as intended.

        Raises:
            NotAsIntended: names source, target and port of each difference.
        """
        if self.differences:
            raise NotAsIntended(self.differences)


def intended(federation: Federation) -> frozenset[Edge]:
    """Return every connection that the model intends; what is not in it is to be closed.

    A site's node reaches the aggregator's FL port; each node reaches the endpoints of its own VPC, and the two services
    that AWS gives every instance; an Instance Connect Endpoint reaches its own node.
    """
    hub, *sites = nodes(federation)
    edges = set()
    for node in (hub, *sites):
        own = Place(federation.name, node.id, "node")
        edges |= {
            Edge(own, replace(own, kind="endpoint"), HTTPS),
            Edge(own, replace(own, kind="resolver"), DNS),
            Edge(own, replace(own, kind="metadata"), HTTP),
            Edge(replace(own, kind="connect"), own, SSH),
        }
    aggregator = Place(federation.name, hub.id, "node")
    port = federation.aggregator.port
    return frozenset(edges | {Edge(Place(federation.name, site.id, "node"), aggregator, port) for site in sites})


def compare(federation: Federation, matrix: Matrix) -> Report:
    """Put what is intended beside what was measured.

    Connections between places of other federations are left out; one to or from this federation counts.
    """
    wanted = intended(federation)
    rows = [_row(found, wanted) for found in matrix.measured if _concerns(found, federation.name)]
    tried = {Edge(found.source, _without_service(found.target), found.port) for found in matrix.measured}
    rows += [Row(edge.source, edge.target, edge.port, "open", "not there") for edge in wanted - tried]
    order = {node.id: node.rank for node in nodes(federation)}

    def rank(place: Place) -> tuple[int, Place]:
        return order.get(place.node, len(order)), place

    rows.sort(key=lambda row: (rank(row.source), rank(row.target), row.port))
    return Report(federation.name, tuple(rows), matrix.scope, matrix.seconds)


def _concerns(found: Measured, federation: str) -> bool:
    return federation in (found.source.federation, found.target.federation)


def _row(found: Measured, wanted: frozenset[Edge]) -> Row:
    edge = Edge(found.source, _without_service(found.target), found.port)
    return Row(
        found.source,
        found.target,
        found.port,
        "open" if edge in wanted else "closed",
        "open" if found.is_open else "closed",
    )


def _without_service(place: Place) -> Place:
    return replace(place, service="")
