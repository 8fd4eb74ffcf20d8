"""What a link does to the packets that cross it, and how several such conditions add up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

#: A queue holds what the link carries in one round trip, and in this time at least: the usual size in a router.
_QUEUE_MS = 100.0


@dataclass(frozen=True, slots=True)
class Emulated:
    """The conditions of a link; each direction is treated alike, and the packets of a direction stay in order.

    Args:
        latency_ms: added to a round trip; half of it in each direction.
        rate_mbit: what each direction carries, 10^6 bits of IP packets a second; None is no limit.
        loss_percent: share of packets lost in each direction, each by itself.
        jitter_ms: a round trip takes up to this much more or less, evenly spread; not more than ``latency_ms``.
        queue_ms: how long a packet may wait for the link before the next one is dropped; None is one round trip,
            100 ms at least. Without a rate nothing waits.
    """

    latency_ms: float = 0.0
    rate_mbit: float | None = None
    loss_percent: float = 0.0
    jitter_ms: float = 0.0
    queue_ms: float | None = None

    @property
    def delay_seconds(self) -> float:
        """How long a packet is on its way in one direction."""
        return self.latency_ms / 2000

    @property
    def jitter_seconds(self) -> float:
        """By how much that varies, up and down."""
        return self.jitter_ms / 2000

    @property
    def bytes_a_second(self) -> float | None:
        """What one direction carries."""
        return None if self.rate_mbit is None else self.rate_mbit * 1e6 / 8

    @property
    def queue_seconds(self) -> float:
        """How long the queue of a direction may become."""
        return (max(_QUEUE_MS, self.latency_ms) if self.queue_ms is None else self.queue_ms) / 1000

    def as_line(self) -> str:
        """Return the conditions as one line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Emulated:
        """Read what ``as_line`` wrote."""
        return cls(**json.loads(line))


def in_series(conditions: Iterable[Emulated]) -> Emulated:
    """Return what a packet meets that crosses one link after the other.

    Delays add up, the narrowest rate counts, and a packet arrives if none of them loses it.
    """
    every = list(conditions)
    arrives = 1.0
    for one in every:
        arrives *= 1 - one.loss_percent / 100
    rates = [one.rate_mbit for one in every if one.rate_mbit is not None]
    queues = [one.queue_ms for one in every if one.queue_ms is not None]
    return Emulated(
        latency_ms=sum(one.latency_ms for one in every),
        rate_mbit=min(rates, default=None),
        loss_percent=100 * (1 - arrives),
        jitter_ms=sum(one.jitter_ms for one in every),
        queue_ms=max(queues, default=None),
    )
