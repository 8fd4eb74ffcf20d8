"""Faults as the keeper's control socket serves them: plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from infra.local.twin.faults.fault import Event
from infra.local.twin.faults.registry import UNDOING, Faults

Operation = Callable[..., dict[str, Any]]


def operations(faults: Faults) -> dict[str, Operation]:
    """Return the operations by name; their keyword arguments are those of ``infra.local.twin.control.ask``.

    ``fault.add`` takes ``heal``, ``thaw`` and ``power-on`` for a kind as well. Each raises :class:`FederateError`.
    """

    def add(kind: str, node: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        if kind in UNDOING:
            return {"cleared": [fault.as_dict() for fault in faults.undo(kind, node)]}
        done = faults.add(kind, node, **(parameters or {}))
        return {"event" if isinstance(done, Event) else "fault": done.as_dict()}

    def clear(which: str = "all", kinds: Collection[str] = ()) -> dict[str, Any]:
        return {"cleared": [fault.as_dict() for fault in faults.clear(which, kinds)]}

    def show() -> dict[str, Any]:
        return {
            "faults": [fault.as_dict() for fault in faults.list()],
            "events": [event.as_dict() for event in faults.events()],
        }

    return {"fault.add": add, "fault.clear": clear, "fault.list": show}
