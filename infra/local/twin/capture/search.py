"""The search for sentinels in streams of bytes, across the borders of chunks and into what is packed.

Each flow (a connection's one direction, an object, a datagram) is searched by itself. What is short is found by chance
in what looks random: :meth:`Search.odds` says how likely.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from infra.local.twin.capture.encodings import Sentinel, patterns
from infra.local.twin.capture.inflate import MAGICS, NotPacked, Unpacker, unpacker

#: How often the same form is told of one flow.
_MOST_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentinel in a flow.

    Args:
        sentinel: its name, and the encoding.
        flow: where; ``… > unpacked at N`` for what is packed within it.
        offset: in bytes from where the flow, or the packed stream, begins.
    """

    sentinel: str
    flow: str
    offset: int


@dataclass(slots=True)
class _Flow:
    """What is remembered of a flow: its last bytes, and what is being unpacked."""

    name: str
    depth: int
    seen: int = 0
    tail: bytes = b""
    inner: list[tuple[Unpacker, _Flow]] = field(default_factory=list)


class Search:
    """Looks for sentinels in all that it is fed; any thread may feed it.

    Args:
        sentinels: what to look for.
        shortest: forms with fewer bytes are not looked for; 8 for what is encrypted.
        depth: how many layers of packing are opened.
        most_unpacked: bytes that one packed stream may give; what it has beyond them is not looked at, and counted in
            ``unsearched``.
        most_at_once: packed streams that may be open in a flow at a time; likewise.
    """

    def __init__(
        self,
        sentinels: Iterable[Sentinel],
        *,
        shortest: int = 4,
        depth: int = 2,
        most_unpacked: int = 256 << 20,
        most_at_once: int = 64,
    ) -> None:
        self._patterns = patterns(tuple(sentinels), shortest=shortest)
        self._longest = max(map(len, (*self._patterns, *MAGICS)))
        self._depth, self._most_unpacked, self._most_at_once = depth, most_unpacked, most_at_once
        self._flows: dict[str, _Flow] = {}
        self._told: Counter[tuple[str, str]] = Counter()
        self._findings: list[Finding] = []
        self._lock = threading.Lock()
        self.unsearched = 0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found so far."""
        return tuple(self._findings)

    @property
    def searched(self) -> dict[str, int]:
        """Bytes that each flow brought."""
        return {name: flow.seen for name, flow in self._flows.items()}

    def feed(self, flow: str, data: bytes) -> None:
        """Search what a flow brings next."""
        with self._lock:
            self._feed(self._flows.setdefault(flow, _Flow(flow, self._depth)), data)

    def odds(self, size: int) -> float:
        """Return how many findings ``size`` bytes of pure chance would give, on average."""
        return size * sum(256.0 ** -len(pattern) for pattern in self._patterns)

    def _feed(self, flow: _Flow, data: bytes) -> None:
        self._feed_unpackers(flow, data)
        window = flow.tail + data
        begin = flow.seen - len(flow.tail)
        for pattern, what in self._patterns.items():
            for at in _places(window, pattern, len(flow.tail)):
                self._tell(Finding(what, flow.name, begin + at))
        if flow.depth:
            for magic in MAGICS:
                for at in _places(window, magic, len(flow.tail)):
                    self._unpack(flow, magic, window[at:], begin + at)
        flow.seen += len(data)
        flow.tail = window[-(self._longest - 1) :]

    def _feed_unpackers(self, flow: _Flow, data: bytes) -> None:
        still = []
        for opened, inner in flow.inner:
            try:
                self._feed_inner(inner, opened.feed(data))
            except NotPacked:
                continue
            if not opened.ended:
                still.append((opened, inner))
        flow.inner = still

    def _unpack(self, flow: _Flow, magic: bytes, data: bytes, at: int) -> None:
        if len(flow.inner) >= self._most_at_once:
            self.unsearched += 1
            return
        opened = unpacker(magic, self._most_unpacked)
        inner = _Flow(f"{flow.name} > unpacked at {at}", flow.depth - 1)
        try:
            self._feed_inner(inner, opened.feed(data))
        except NotPacked:
            return
        if not opened.ended:
            flow.inner.append((opened, inner))

    def _feed_inner(self, inner: _Flow, data: bytes) -> None:
        if data:
            self._feed(inner, data)
        if inner.seen >= self._most_unpacked:
            self.unsearched += 1

    def _tell(self, finding: Finding) -> None:
        self._told[finding.flow, finding.sentinel] += 1
        if self._told[finding.flow, finding.sentinel] <= _MOST_FINDINGS:
            self._findings.append(finding)


def _places(window: bytes, pattern: bytes, tail: int) -> Iterator[int]:
    """Yield where a pattern begins; not where it lies whole in the first ``tail`` bytes, which were searched before."""
    at = window.find(pattern, max(0, tail - len(pattern) + 1))
    while at >= 0:
        yield at
        at = window.find(pattern, at + 1)
