"""Faults of the link between a site and the hub; on the aggregator, of all links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from infra.local.twin.faults import units
from infra.local.twin.faults.errors import FaultRefused
from infra.local.twin.faults.fault import Fault
from infra.local.twin.faults.ground import Ground
from infra.local.twin.faults.kinds import Kind, Reader, Scene
from infra.local.twin.network.conditions import Emulated, in_series


def _milliseconds(name: str, text: str) -> float:
    return units.milliseconds(name, text, most=10_000)


class _OfLinks(Kind):
    """Links are brought into the state that all faults on them make together."""

    needs = "network"

    def check(self, ground: Ground, node: str, values: Mapping[str, Any]) -> dict[str, Any]:
        if not ground.links(node):
            raise FaultRefused(
                f"{node} has no link: no peering of its VPC is active.", remedy="federate deploy makes it."
            )
        return dict(values)

    def apply(self, scene: Scene, fault: Fault) -> dict[str, Any]:
        settle(scene, [fault.node])
        return {}

    def revert(self, scene: Scene, fault: Fault) -> None:
        settle(scene, [fault.node])


class _Slow(_OfLinks):
    """Packets take longer, or fewer go through at a time."""

    name = "slow"
    parameters: ClassVar[Mapping[str, Reader]] = {
        "latency": _milliseconds,
        "rate": units.mbit,
        "jitter": _milliseconds,
    }

    def check(self, ground: Ground, node: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse what slows nothing, and jitter that would have packets arrive before they were sent."""
        super().check(ground, node, values)
        if not values.get("latency") and not values.get("rate"):
            raise FaultRefused(
                "slow has neither latency nor rate.", remedy="Say one or both: --latency 80ms --rate 100mbit."
            )
        if values.get("jitter", 0.0) > values.get("latency", 0.0):
            raise FaultRefused(
                f"jitter is {values['jitter']:g}ms and latency {values.get('latency', 0.0):g}ms.",
                remedy="A round trip may vary by no more than the latency that is added to it.",
            )
        names = {"latency": "latency_ms", "rate": "rate_mbit", "jitter": "jitter_ms"}
        return {names[name]: value for name, value in values.items() if value}

    def text(self, parameters: Mapping[str, Any]) -> str:
        """Return for instance ``80 ms round trip ± 5 ms, 100 Mbit/s``."""
        parts = []
        if "latency_ms" in parameters:
            jitter = f" ± {parameters['jitter_ms']:g} ms" if "jitter_ms" in parameters else ""
            parts.append(f"{parameters['latency_ms']:g} ms round trip{jitter}")
        if "rate_mbit" in parameters:
            parts.append(f"{parameters['rate_mbit']:g} Mbit/s")
        return ", ".join(parts)


class _Lossy(_OfLinks):
    """A share of the packets is lost in each direction."""

    name = "lossy"
    parameters: ClassVar[Mapping[str, Reader]] = {"loss": units.percent}

    def check(self, ground: Ground, node: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse what loses nothing."""
        super().check(ground, node, values)
        if "loss" not in values:
            raise FaultRefused("lossy has no loss.", remedy="Say how much: --loss 2%.")
        return {"loss_percent": values["loss"]}

    def text(self, parameters: Mapping[str, Any]) -> str:
        """Return for instance ``2 % each way``."""
        return f"{parameters['loss_percent']:g} % each way"


class _Cut(_OfLinks):
    """Nothing goes through, and nobody is told."""

    name = "cut"


LINK_KINDS = (_Slow(), _Lossy(), _Cut())
_NAMES = {kind.name for kind in LINK_KINDS}


def settle(scene: Scene, nodes: Iterable[str]) -> None:
    """Bring every link of these nodes into the state that all active faults on it make together."""
    faults = [fault for fault in scene.active if fault.kind in _NAMES]
    ends = {node: scene.ground.links(node) for node in {*nodes, *(fault.node for fault in faults)}}
    for link in {link.peering: link for node in nodes for link in ends[node]}.values():
        on_it = [fault for fault in faults if any(one.peering == link.peering for one in ends[fault.node])]
        if any(fault.kind == _Cut.name for fault in on_it):
            scene.links.cut(link)
        elif on_it:
            scene.links.shape(link, in_series(Emulated(**fault.parameters) for fault in on_it))
        else:
            scene.links.heal(link)
