"""A few bytes that a process shares with whoever watches it: what it is doing now, and where it is to be met.

The bytes are a file mapped into memory, so they stay as they were when the process is killed.
"""

from __future__ import annotations

import mmap
import struct
import threading
from pathlib import Path

#: What the aggregator may be killed in. A process that is in none of them has not come up yet.
PHASES = ("waiting", "receiving", "aggregating", "checkpointing", "sending")
#: After the last round, when all is written and everybody has been told.
ENDING = "ending"
#: A trap in this one is sprung in any.
ANYWHERE = "anywhere"

_PLACES = (*PHASES, ENDING, ANYWHERE)
_FIELDS = {
    **dict.fromkeys((*PHASES, ENDING), "i"),  # threads that are in it
    "round": "i",
    "opened": "d",
    "waited": "d",
    "clock": "d",
    "armed": "i",
    "place": "i",
    "from_round": "i",
    "steps": "i",
    "held": "i",
}
_OFFSETS = {name: 8 * number for number, name in enumerate(_FIELDS)}
_SIZE = 8 * len(_FIELDS)


class Marks:
    """The shared bytes."""

    def __init__(self, path: Path, *, new: bool = False) -> None:
        """Map the file; ``new`` makes it, with nothing marked."""
        if new:
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SIZE)
        self._lock = threading.Lock()

    def enter(self, phase: str) -> None:
        """Note that a thread has begun with a phase."""
        with self._lock:
            self[phase] += 1

    def leave(self, phase: str) -> None:
        """Note that a thread is done with a phase."""
        with self._lock:
            self[phase] -= 1

    def inside(self) -> list[str]:
        """Return the phases that threads are in; waiting only if there is nothing else."""
        found = [phase for phase in (*PHASES, ENDING) if self[phase] > 0]
        return [phase for phase in found if phase != "waiting"] or found

    def arm(self, place: str, *, from_round: int, steps: int) -> None:
        """Have the process stop for ever at a step of a phase: after so many others, not before this round is open."""
        self["place"], self["from_round"], self["steps"] = _PLACES.index(place), from_round, steps
        self["armed"] = 1

    def is_held(self) -> bool:
        """Say whether a thread of the process has stopped where it was to be met."""
        return bool(self["held"])

    def springs(self, phase: str) -> bool:
        """Say whether the thread that is at a step of a phase is to stop there."""
        with self._lock:
            if not self["armed"] or not self["opened"] or self["round"] < self["from_round"]:
                return False
            if _PLACES[int(self["place"])] not in (phase, ANYWHERE):
                return False
            self["steps"] -= 1
            if self["steps"] >= 0:
                return False
            self["armed"], self["held"] = 0, 1
            return True

    def __getitem__(self, name: str) -> float:
        """Return a field."""
        found: float = struct.unpack_from(_FIELDS[name], self._map, _OFFSETS[name])[0]
        return found

    def __setitem__(self, name: str, value: float) -> None:
        """Set a field."""
        struct.pack_into(_FIELDS[name], self._map, _OFFSETS[name], value)
