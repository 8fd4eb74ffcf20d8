"""What faults need of a twin. The keeper is a ground; unit tests have a fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from infra.local.twin.network.conditions import Emulated
from infra.local.twin.network.layout import Link
from infra.local.twin.services.metadata.instance import NoticeKind

ProcessName = Literal["application", "agent"]
PROCESS_NAMES: tuple[ProcessName, ...] = ("application", "agent")


@dataclass(frozen=True, slots=True)
class Deniable:
    """A rule or a route that can be taken away.

    Args:
        id: what :meth:`Ground.withhold` takes.
        name: what a person calls it: ``fl-port``, ``to-hub``, ``return``; several may share one, and are taken away
            together. Empty if there is no such name.
        description: what it allows, or where it leads.
    """

    id: str
    name: str
    description: str


class Ground(Protocol):
    """A twin, as faults see it. Each method may be called again with the same effect; a node is called by its id."""

    @property
    def depth(self) -> str:
        """``processes``, ``network`` or ``machines``."""

    def nodes(self) -> Mapping[str, str]:
        """Return the nodes that have a body, or had one until they were powered off, and the role of each."""

    def links(self, node: str) -> Sequence[Link]:
        """Return a site's link to the hub; all links for the aggregator. Empty while there is none."""

    def processes(self, node: str, name: ProcessName) -> Sequence[int]:
        """Return the processes of a node's application or agent, by the numbers that ``os.kill`` takes here."""

    def reboot(self, node: str) -> None:
        """Have a node begin anew, as its unit would after a reset; return once it is on its way."""

    def power_off(self, node: str) -> None:
        """End a node at once and keep it so, although its instance runs."""

    def power_on(self, node: str) -> None:
        """Have a node that was powered off boot."""

    def disk(self, node: str) -> Path | None:
        """Return a folder on the node's disk, a bounded file system of its own; None if it has none."""

    def skew(self, node: str, seconds: float | None) -> None:
        """Have a node's clock be wrong by so much, or right again.

        Raises:
            FederateError: that cannot be done to this node.
        """

    def instance(self, node: str) -> str | None:
        """Return the id of a node's instance; None if it has none that runs."""

    def announce(self, instance: str, kind: NoticeKind, after_seconds: float) -> None:
        """Have the metadata service of an instance give notice of what is done so many seconds from now."""

    def announce_no_more(self, instance: str, kind: NoticeKind) -> None:
        """Take such a notice back."""

    def withhold(self, ids: frozenset[str]) -> None:
        """Take away these rules and routes, and give back all others."""

    def rules(self, node: str) -> Sequence[Deniable]:
        """Return the security-group rules on the way between this node and the others, and to its endpoints."""

    def routes(self, node: str) -> Sequence[Deniable]:
        """Return a site's routes: ``to-hub`` in its own tables, ``return`` in the hub's."""


class Shaper(Protocol):
    """What makes links worse and better: :class:`infra.local.twin.network.links.Links`."""

    def shape(self, link: Link, conditions: Emulated) -> None: ...  # noqa: D102 - as there
    def cut(self, link: Link) -> None: ...  # noqa: D102
    def heal(self, link: Link) -> None: ...  # noqa: D102
