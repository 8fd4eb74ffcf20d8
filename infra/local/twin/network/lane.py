"""One direction of an emulated link: a queue in front of the link, then the way; no clock and no socket of its own."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator

from infra.local.twin.network import segments
from infra.local.twin.network.conditions import Emulated

#: What may be on its way at once where no rate limits it; more is dropped.
_MOST_BYTES = 128 << 20
#: A queue of less than this would drop a large send that comes in one piece.
_LEAST_QUEUE = 128 << 10
#: What takes longer than this to go through at the rate goes through in pieces.
_PIECE_SECONDS = 0.005


class Lane:
    """What one direction of a link holds; times are seconds of one monotonic clock.

    A packet waits until those before it are through, takes its size by the rate, then travels for the delay. Packets
    never overtake each other: with jitter one that would arrive earlier arrives together with the one before it. New
    conditions hold for packets that have not begun their way; nothing in the lane is lost by them.

    Args:
        conditions: of the link.
        seed: of loss and jitter.
    """

    def __init__(self, conditions: Emulated, seed: int) -> None:
        self.conditions = conditions
        self.passed = self.lost = self.dropped = 0
        self._chance = random.Random(seed)  # noqa: S311 - chance, not a secret
        self._queue: deque[tuple[float, int, bytes]] = deque()
        self._queued = 0
        self._way: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._free_at = 0.0
        self._last_arrival = 0.0

    def enter(self, frame: bytes, now: float) -> None:
        """Take a frame; parts of it may be lost (loss) or dropped (the queue is full)."""
        if self.conditions.loss_percent == 0 and self.conditions.rate_mbit is None and not self._queue:
            self._depart(frame, now)  # the common case, without a look into the frame
            return
        packets = segments.count(frame)
        for first, end in self._survivors(packets):
            self._wait(_part(frame, packets, first, end), end - first, now)
        self._move(now)

    def leaving(self, now: float) -> Iterator[bytes]:
        """Yield the frames that arrive now at the other end, and forget them."""
        self._move(now)
        while self._way and self._way[0][0] <= now:
            _, frame = self._way.popleft()
            self._held -= len(frame)
            self.passed += 1
            yield frame

    def next_at(self) -> float | None:
        """Return when there is something to do again; None if the lane is empty."""
        times = [self._way[0][0]] if self._way else []
        if self._queue:
            times.append(self._free_at)
        return min(times, default=None)

    def _survivors(self, packets: int) -> Iterator[tuple[int, int]]:
        """Yield the runs of packets that are not lost, as (first, end)."""
        loss = self.conditions.loss_percent / 100
        if not loss:
            yield 0, packets
            return
        first = 0
        for index in range(packets):
            if self._chance.random() < loss:
                self.lost += 1
                if first < index:
                    yield first, index
                first = index + 1
        if first < packets:
            yield first, packets

    def _wait(self, frame: bytes, packets: int, now: float) -> None:
        size = segments.carried_bytes(frame, packets)
        rate = self.conditions.bytes_a_second
        limit = _MOST_BYTES if rate is None else max(_LEAST_QUEUE, rate * self.conditions.queue_seconds)
        if self._queued + size > limit:
            fitting = int(packets * (limit - self._queued) // size)
            self.dropped += packets - fitting
            if fitting <= 0:
                return
            frame, packets = segments.part(frame, 0, fitting), fitting
            size = segments.carried_bytes(frame, packets)
        step = packets if rate is None else max(1, int(packets * rate * _PIECE_SECONDS // size))
        for first in range(0, packets, step):
            end = min(first + step, packets)
            piece = _part(frame, packets, first, end)
            taken = segments.carried_bytes(piece, end - first)
            self._queue.append((now, taken, piece))
            self._queued += taken

    def _move(self, now: float) -> None:
        """Put on the way what has had its turn by now, at the times at which it had it: lateness adds no delay."""
        rate = self.conditions.bytes_a_second
        while self._queue and self._free_at <= now:
            came, size, frame = self._queue.popleft()
            self._queued -= size
            begins = max(self._free_at, came)
            self._free_at = begins if rate is None else begins + size / rate
            self._depart(frame, self._free_at)

    def _depart(self, frame: bytes, at: float) -> None:
        if self._held + len(frame) > _MOST_BYTES:
            self.dropped += 1
            return
        jitter = self.conditions.jitter_seconds
        delay = self.conditions.delay_seconds + (self._chance.uniform(-jitter, jitter) if jitter else 0.0)
        self._last_arrival = max(self._last_arrival, at + delay)
        self._way.append((self._last_arrival, frame))
        self._held += len(frame)


def _part(frame: bytes, packets: int, first: int, end: int) -> bytes:
    return frame if (first, end) == (0, packets) else segments.part(frame, first, end)
