"""A few bytes that a process shares with whoever watches it: what it is doing now, and since when the round is open.

The bytes are a file mapped into memory, so they stay as they were when the process is killed.
"""

from __future__ import annotations

import mmap
import struct
import threading
from pathlib import Path

#: What the aggregator may be killed in. A process that is in none of them has not come up yet.
PHASES = ("waiting", "receiving", "aggregating", "checkpointing", "sending")

_COUNTS = struct.Struct("<II")
_OPENED = struct.Struct("<dd")
_OPENED_AT = _COUNTS.size * len(PHASES)
_CLOCK = struct.Struct("<d")
_CLOCK_AT = _OPENED_AT + _OPENED.size
_SIZE = _CLOCK_AT + _CLOCK.size


class Marks:
    """The shared bytes; written by the process, read by the watcher (the clock's shift: the other way round)."""

    def __init__(self, path: Path, *, new: bool = False) -> None:
        """Map the file; ``new`` makes it, with nothing marked."""
        if new:
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SIZE)
        self._lock = threading.Lock()

    def enter(self, phase: str) -> None:
        """Note that a thread has begun with a phase."""
        self._add(phase, 1, 1)

    def leave(self, phase: str) -> None:
        """Note that a thread is done with a phase."""
        self._add(phase, -1, 0)

    def inside(self) -> frozenset[str]:
        """Return the phases that threads are in; waiting only if there is nothing else."""
        found = frozenset(phase for phase in PHASES if self._read(phase)[0])
        return found - {"waiting"} or found

    def entries(self, phase: str) -> int:
        """Return how often a phase has begun."""
        return self._read(phase)[1]

    def open_round(self, at: float, kept_waiting: float) -> None:
        """Note the monotonic second at which the first round opened, and how long the machine had no core for us."""
        if not self.opened()[0]:
            _OPENED.pack_into(self._map, _OPENED_AT, at, kept_waiting)

    def opened(self) -> tuple[float, float]:
        """Return what :meth:`open_round` noted; zeros before."""
        at, waited = _OPENED.unpack_from(self._map, _OPENED_AT)
        return at, waited

    def shift_clock(self, seconds: float) -> None:
        """Have the process's wall clock be wrong by so much."""
        _CLOCK.pack_into(self._map, _CLOCK_AT, seconds)

    def clock_shift(self) -> float:
        """Return by how much the process's wall clock is to be wrong."""
        return float(_CLOCK.unpack_from(self._map, _CLOCK_AT)[0])

    def _add(self, phase: str, threads: int, entries: int) -> None:
        with self._lock:
            inside, begun = self._read(phase)
            _COUNTS.pack_into(self._map, PHASES.index(phase) * _COUNTS.size, inside + threads, begun + entries)

    def _read(self, phase: str) -> tuple[int, int]:
        inside, begun = _COUNTS.unpack_from(self._map, PHASES.index(phase) * _COUNTS.size)
        return inside, begun
