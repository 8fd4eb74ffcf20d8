"""A twin that writes down what faults do to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.errors import FederateError
from infra.local.twin.faults.ground import Deniable
from infra.local.twin.network.conditions import Emulated

HEALTHY = "healthy"
CUT = "cut"


@dataclass(frozen=True)
class FakeLink:
    peering: str
    namespace: str = "wan"
    bridge: str = "br"
    near: str = "near"
    far: str = "far"


class FakeLinks:
    """Knows the state of each link; the next change fails if ``broken`` is set."""

    def __init__(self) -> None:
        self.states: dict[str, Emulated | str] = {}
        self.broken = False

    def shape(self, link: FakeLink, conditions: Emulated) -> None:
        self._set(link, conditions)

    def cut(self, link: FakeLink) -> None:
        self._set(link, CUT)

    def heal(self, link: FakeLink) -> None:
        self._set(link, HEALTHY)

    def _set(self, link: FakeLink, state: Emulated | str) -> None:
        if self.broken:
            self.broken = False
            raise FederateError("the link is stuck")
        self.states[link.peering] = state


@dataclass
class FakeGround:
    """Two hospitals and a hub."""

    depth: str = "machines"
    roles: dict[str, str] = field(
        default_factory=lambda: {"aggregator": "server", "hospital-a": "client", "hospital-b": "client"}
    )
    running: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    disks: dict[str, Path] = field(default_factory=dict)
    did: list[tuple[Any, ...]] = field(default_factory=list)
    withheld: frozenset[str] = frozenset()
    broken: bool = False
    instances: dict[str, str] = field(default_factory=lambda: {"hospital-a": "i-a", "hospital-b": "i-b"})
    announced: dict[tuple[str, str], float] = field(default_factory=dict)

    def instance(self, node: str) -> str | None:
        return self.instances.get(node)

    def announce(self, instance: str, kind: str, after_seconds: float) -> None:
        self.announced[instance, kind] = after_seconds

    def announce_no_more(self, instance: str, kind: str) -> None:
        self.announced.pop((instance, kind), None)

    def nodes(self) -> dict[str, str]:
        return self.roles

    def links(self, node: str) -> list[FakeLink]:
        if self.depth == "processes":
            return []
        sites = [name for name in self.roles if name != "aggregator"]
        return [FakeLink(f"pcx-{site}") for site in (sites if node == "aggregator" else [node])]

    def processes(self, node: str, name: str) -> list[int]:
        return self.running.get((node, name), [])

    def reboot(self, node: str) -> None:
        self._do("reboot", node)

    def power_off(self, node: str) -> None:
        self._do("power off", node)

    def power_on(self, node: str) -> None:
        self._do("power on", node)

    def disk(self, node: str) -> Path | None:
        return self.disks.get(node)

    def skew(self, node: str, seconds: float | None) -> None:
        self._do("skew", node, seconds)

    def withhold(self, ids: frozenset[str]) -> None:
        self._do("withhold")
        self.withheld = ids

    def rules(self, node: str) -> list[Deniable]:
        return [
            Deniable(f"sgr-{node}-out", "fl-port", "tcp 8443 to the aggregator"),
            Deniable(f"sgr-hub-{node}", "fl-port", f"tcp 8443 from {node}"),
            Deniable(f"sgr-{node}-443", "", "tcp 443 to endpoints"),
        ]

    def routes(self, node: str) -> list[Deniable]:
        if node == "aggregator":
            return []
        return [
            Deniable(f"rtb-{node}/10.0.0.0/16", "to-hub", "10.0.0.0/16 over the peering"),
            Deniable(f"rtb-hub/{node}", "return", f"{node} over the peering"),
        ]

    def _do(self, *what: Any) -> None:
        if self.broken:
            raise FederateError(f"{what[0]} does not work")
        self.did.append(what)
