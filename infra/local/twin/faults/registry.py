"""The faults of a twin: added, listed, cleared, and put in force again by a keeper that is started anew."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.errors import FederateError
from infra.local.twin.faults.errors import FaultRefused, NotReverted
from infra.local.twin.faults.fault import Event, Fault, now
from infra.local.twin.faults.ground import Ground, Shaper
from infra.local.twin.faults.kinds import Kind, Scene
from infra.local.twin.faults.of_links import LINK_KINDS, settle
from infra.local.twin.faults.of_machines import MACHINE_KINDS
from infra.local.twin.faults.of_network import NETWORK_KINDS
from infra.local.twin.faults.of_nodes import NODE_KINDS
from infra.local.twin.faults.store import Kept, Store
from infra.local.twin.network.links import Links

KINDS: dict[str, Kind] = {kind.name: kind for kind in (*LINK_KINDS, *NODE_KINDS, *MACHINE_KINDS, *NETWORK_KINDS)}
#: What takes back faults of a node, and of which kinds.
UNDOING: dict[str, tuple[str, ...]] = {
    "heal": tuple(kind.name for kind in LINK_KINDS),
    "thaw": ("freeze",),
    "power-on": ("power-off",),
}
_DEPTHS = ("processes", "network", "machines")


class Faults:
    """What is wrong with a twin. Threads may share it.

    Args:
        ground: the twin.
        file: keeps the faults; a keeper that is started anew finds them there and calls :meth:`resume`.
        links: what shapes links.
    """

    def __init__(self, ground: Ground, file: Path, links: Shaper | None = None) -> None:
        self._ground = ground
        self._store = Store(file)
        self._links: Shaper = Links() if links is None else links
        self._kept = self._store.read()
        self._lock = threading.RLock()

    def list(self) -> tuple[Fault, ...]:
        """Return the faults that are in force, the oldest first; what is over by itself is struck off, as an event."""
        with self._lock:
            for fault in self._kept.faults:
                if KINDS[fault.kind].is_over(fault, self._ground):
                    self._strike_off(fault)
            return self._kept.faults

    def events(self) -> tuple[Event, ...]:
        """Return what was done and is over, the oldest first; the last hundred."""
        return self._kept.events

    def add(self, kind: str, node: str, **parameters: str) -> Fault | Event:
        """Bring a fault about, or an event.

        A fault that is there already, of the same kind at the same node, is replaced and keeps its id.

        Args:
            kind: a name of ``KINDS``.
            node: id of a site, or ``aggregator``.
            parameters: as a person writes them: ``latency="80ms"``.

        Returns:
            The fault, now in force; of a kind that does not last, the event.

        Raises:
            FaultRefused: unknown kind or node, wrong parameters, or not at this depth.
            FederateError: it could not be brought about, and is not there.
        """
        with self._lock:
            chosen = self._kind(kind)
            self._refuse_unknown(node)
            if chosen.needs_power and self._find(node, ("power-off",)):
                raise FaultRefused(f"{node} is powered off.", remedy=f"federate local fault power-on {node}")
            values = chosen.check(self._ground, node, _read(chosen, parameters))
            if not chosen.lasts:
                return self._happen(chosen, node, values)
            return self._begin(chosen, node, values)

    @contextlib.contextmanager
    def during(self, kind: str, node: str, **parameters: str) -> Iterator[Fault]:
        """Have a fault for as long as the block takes; for tests. As :meth:`add`, of a kind that lasts."""
        added = self.add(kind, node, **parameters)
        if not isinstance(added, Fault):
            raise FaultRefused(f"{kind} is over when it is done; it cannot last.", remedy="Use add.")
        try:
            yield added
        finally:
            self.clear(added.id)

    def clear(self, which: str = "all", kinds: Collection[str] = ()) -> tuple[Fault, ...]:
        """Take faults back, the newest first.

        Args:
            which: a fault's id, a node, or ``all``.
            kinds: of these kinds only; any if empty.

        Returns:
            Those that were taken back.

        Raises:
            FaultRefused: there is no such fault or node.
            NotReverted: some are still there; the others were taken back.
        """
        with self._lock:
            chosen = [fault for fault in self._meant(which) if not kinds or fault.kind in kinds]
            failed = []
            for fault in reversed(chosen):
                try:
                    self._end(fault)
                except (FederateError, OSError) as error:
                    failed.append(f"{fault.id} ({fault.kind} {fault.node}) is still there: {error}")
            if failed:
                raise NotReverted("\n".join(failed), remedy="Repair it, then: federate local fault clear")
            return tuple(chosen)

    def undo(self, verb: str, node: str) -> tuple[Fault, ...]:
        """Take back what ``heal``, ``thaw`` or ``power-on`` takes back of a node.

        Raises:
            FaultRefused: nothing of the kind is wrong with the node.
        """
        with self._lock:
            if not self._find(node, UNDOING[verb]):
                self._refuse_unknown(node)
                raise FaultRefused(
                    f"Nothing to {verb} at {node}.", remedy=f"It takes back: {', '.join(UNDOING[verb])}."
                )
            return self.clear(node, UNDOING[verb])

    def resume(self) -> tuple[Fault, ...]:
        """Put in force again what the file lists, after a keeper's start; its nodes must be known by then.

        What is over by itself is forgotten, and an event says so: processes that were frozen have ended.

        Returns:
            Those that could not be put in force; they stay listed, and an event tells why.
        """
        with self._lock:
            failed = []
            for fault in self._kept.faults:
                kind = KINDS[fault.kind]
                if kind.is_over(fault, self._ground):
                    self._strike_off(fault)
                    continue
                try:
                    self._refuse_unknown(fault.node)
                    details = self._kind(fault.kind).apply(self._scene(), fault)
                    self._keep(self._kept.having(replace(fault, details=details)))
                except (FederateError, OSError) as error:
                    failed.append(fault)
                    self._keep(self._kept.noting(_event_of("not in force", fault, str(error))))
            return tuple(failed)

    def settle_links(self) -> None:
        """Have links that are new, or were made anew, be as the faults say; all other faults are let alone."""
        with self._lock:
            settle(self._scene(), [fault.node for fault in self._kept.faults])

    def _strike_off(self, fault: Fault) -> None:
        self._keep(self._kept.lacking([fault.id]).noting(_event_of("over", fault, fault.text)))

    def _begin(self, kind: Kind, node: str, values: dict[str, Any]) -> Fault:
        before = self._kept
        alike = [one for one in self._find(node, (kind.name,)) if kind.key(one.parameters) == kind.key(values)]
        same = alike[0] if alike else None
        number = before.last + (same is None)
        fault = Fault(same.id if same else f"fault-{number}", kind.name, node, values, now(), kind.text(values))
        self._keep(replace(before.having(fault), last=number))
        try:
            if same and same.parameters != values:
                kind.revert(self._scene(), same)
            details = kind.apply(self._scene(), fault)
        except Exception:
            self._keep(before)
            self._restore(kind, same or fault, is_there=same is not None)
            raise
        fault = replace(fault, details=details)
        self._keep(self._kept.having(fault))
        self._lift(kind, node)
        return fault

    def _restore(self, kind: Kind, fault: Fault, *, is_there: bool) -> None:
        """Have it as it was before a fault that could not be brought about, as far as that goes."""
        try:
            kind.apply(self._scene(), fault) if is_there else kind.revert(self._scene(), fault)
        except (FederateError, OSError):
            return  # the first failure is the one to tell

    def _happen(self, kind: Kind, node: str, values: dict[str, Any]) -> Event:
        event = Event(kind.name, node, values, now(), kind.text(values))
        kind.apply(self._scene(), Fault("", kind.name, node, values, event.at))
        self._keep(self._kept.noting(event))
        self._lift(kind, node)
        return event

    def _lift(self, kind: Kind, node: str) -> None:
        """Forget what is over: the processes that were frozen are gone."""
        self._keep(self._kept.lacking([fault.id for fault in self._find(node, kind.lifts)]))

    def _end(self, fault: Fault) -> None:
        kind = KINDS[fault.kind]
        # What is not in the node itself is taken back without it, too: its instance may be stopped, and start again.
        if fault.node in self._ground.nodes() or not kind.is_in_the_node:
            kind.revert(Scene(self._ground, self._links, self._kept.lacking([fault.id]).faults), fault)
        self._keep(self._kept.lacking([fault.id]))

    def _meant(self, which: str) -> tuple[Fault, ...]:
        faults = self._kept.faults
        if which == "all":
            return faults
        by_id = tuple(fault for fault in faults if fault.id == which)
        found = by_id or tuple(fault for fault in faults if fault.node == which)
        if not found and which not in self._ground.nodes():
            there = ", ".join([*(fault.id for fault in faults), *self._ground.nodes()])
            raise FaultRefused(f"There is no fault and no node {which!r}.", remedy=f"Allowed: {there}, or all.")
        return found

    def _find(self, node: str, kinds: Collection[str]) -> tuple[Fault, ...]:
        return tuple(fault for fault in self._kept.faults if fault.node == node and fault.kind in kinds)

    def _scene(self) -> Scene:
        return Scene(self._ground, self._links, self._kept.faults)

    def _keep(self, kept: Kept) -> None:
        self._store.write(kept)
        self._kept = kept

    def _kind(self, name: str) -> Kind:
        depth = self._ground.depth
        possible = [kind.name for kind in KINDS.values() if _DEPTHS.index(depth) >= _DEPTHS.index(kind.needs)]
        if name not in KINDS:
            raise FaultRefused(f"There is no fault {name!r}.", remedy=f"Allowed: {', '.join(possible)}.")
        if name not in possible:
            raise FaultRefused(
                f"{name} cannot be shown at the depth {depth}: nodes are processes of this machine, on one network.",
                remedy=f"Allowed here: {', '.join(possible)}. For {name}: federate local up --depth network.",
            )
        return KINDS[name]

    def _refuse_unknown(self, node: str) -> None:
        there = self._ground.nodes()
        if node not in there:
            allowed = ", ".join(there) or "none, no instance runs"
            raise FaultRefused(f"The twin has no node {node!r}.", remedy=f"Allowed: {allowed}.")


def _event_of(what: str, fault: Fault, text: str) -> Event:
    return Event(what, fault.node, {"id": fault.id, "kind": fault.kind}, now(), text)


def recorded(file: Path) -> list[dict[str, Any]]:
    """Return the faults that a file lists, whether a keeper runs or not."""
    return [fault.as_dict() for fault in Store(file).read().faults]


def _read(kind: Kind, parameters: Mapping[str, str]) -> dict[str, Any]:
    unknown = [name for name in parameters if name not in kind.parameters]
    if unknown:
        allowed = ", ".join(kind.parameters) or "none"
        raise FaultRefused(f"{kind.name} has no {unknown[0]}.", remedy=f"Its parameters: {allowed}.")
    return {name: kind.parameters[name](name, str(text)) for name, text in parameters.items()}
