"""The file of faults and events: written before anything is done, so that a keeper that died leaves none unlisted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infra.local.twin.faults.fault import Event, Fault

_EVENTS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """What the file holds; ``last`` is the number of the last fault that there was."""

    faults: tuple[Fault, ...] = ()
    events: tuple[Event, ...] = ()
    last: int = 0

    def having(self, fault: Fault) -> Kept:
        """Return the same with a fault, in the place of the one that has its id."""
        if any(one.id == fault.id for one in self.faults):
            return replace(self, faults=tuple(fault if one.id == fault.id else one for one in self.faults))
        return replace(self, faults=(*self.faults, fault))

    def lacking(self, ids: Sequence[str]) -> Kept:
        """Return the same without some faults."""
        return replace(self, faults=tuple(one for one in self.faults if one.id not in ids))

    def noting(self, event: Event) -> Kept:
        """Return the same with one more event; the oldest are forgotten."""
        return replace(self, events=(*self.events, event)[-_EVENTS_KEPT:])


@dataclass(frozen=True, slots=True)
class Store:
    """Reads and writes the file."""

    path: Path

    def read(self) -> Kept:
        """Return what is kept; nothing if there is no file, or none that can be read."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
            return Kept(
                tuple(Fault(**fault) for fault in found["faults"]),
                tuple(Event(**event) for event in found["events"]),
                int(found["last"]),
            )
        except (OSError, ValueError, TypeError, KeyError):
            return Kept()

    def write(self, kept: Kept) -> None:
        """Replace the file."""
        document = {
            "faults": [fault.as_dict() for fault in kept.faults],
            "events": [event.as_dict() for event in kept.events],
            "last": kept.last,
        }
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(document, indent=1), "utf-8")
        part.replace(self.path)
