"""Faults of what was configured: a security-group rule is denied, a route is deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from infra.local.twin.faults.errors import FaultRefused
from infra.local.twin.faults.fault import Fault
from infra.local.twin.faults.ground import Deniable, Ground
from infra.local.twin.faults.kinds import Kind, Reader, Scene, some_text


class _Withheld(Kind):
    """The twin does as if something were not deployed; the accounts still hold it."""

    needs = "network"
    what: ClassVar[str]

    def check(self, ground: Ground, node: str, values: Mapping[str, Any]) -> dict[str, Any]:
        every = self.known(ground, node)
        wanted = values.get(self.what, "")
        chosen = [one for one in every if wanted in (one.id, one.name)] if wanted else []
        if not chosen:
            found = f"{node} has no {self.what} {wanted!r}." if wanted else f"Which {self.what} of {node}?"
            raise FaultRefused(found, remedy=f"Allowed: {_in_words(every)}.")
        return {self.what: wanted, "ids": sorted(one.id for one in chosen)}

    def known(self, ground: Ground, node: str) -> Sequence[Deniable]:
        raise NotImplementedError

    def key(self, parameters: Mapping[str, Any]) -> object:
        return tuple(parameters["ids"])

    def text(self, parameters: Mapping[str, Any]) -> str:
        return str(parameters[self.what])

    def apply(self, scene: Scene, fault: Fault) -> dict[str, Any]:
        scene.ground.withhold(withheld(scene))
        return {}

    def revert(self, scene: Scene, fault: Fault) -> None:
        scene.ground.withhold(withheld(scene))


class _DenyRule(_Withheld):
    """A security-group rule admits nothing any more."""

    name = "deny-rule"
    what = "rule"
    parameters: ClassVar[Mapping[str, Reader]] = {"rule": some_text}

    def known(self, ground: Ground, node: str) -> Sequence[Deniable]:
        """Return the node's rules."""
        return ground.rules(node)


class _DeleteRoute(_Withheld):
    """A route is gone: the site's to the hub, or the hub's back to the site."""

    name = "delete-route"
    what = "route"
    parameters: ClassVar[Mapping[str, Reader]] = {"route": some_text}

    def known(self, ground: Ground, node: str) -> Sequence[Deniable]:
        """Return the node's routes."""
        return ground.routes(node)


NETWORK_KINDS = (_DenyRule(), _DeleteRoute())
_NAMES = {kind.name for kind in NETWORK_KINDS}


def withheld(scene: Scene) -> frozenset[str]:
    """Return what all active faults take away."""
    return frozenset(id_ for fault in scene.active if fault.kind in _NAMES for id_ in fault.parameters["ids"])


def _in_words(every: Sequence[Deniable]) -> str:
    if not every:
        return "none, it has none"
    return "; ".join(f"{one.name or one.id} ({one.description})" for one in every)
