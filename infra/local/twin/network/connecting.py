"""Many connections at once, each from within its own namespace."""

from __future__ import annotations

import contextlib
import errno
import resource
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.twin.network import namespaces
from infra.local.twin.network.matrix import Measured, Outcome, Place

_KEPT_DESCRIPTORS = 256
#: Connections at once, whatever the limit of open files.
_FEWEST, _MOST = 64, 30_000
_BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Source:
    """Where connections begin: a namespace, the address to send from, and the number of the VPC."""

    place: Place
    namespace: str
    address: str
    vpc: int


@dataclass(frozen=True, slots=True)
class Target:
    """What is tried; the namespace is empty where nobody can listen."""

    place: Place
    namespace: str
    address: str
    port: int
    vpc: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection to try."""

    source: Source
    target: Target


def stand_ins(targets: Iterable[Target]) -> Iterator[socket.socket]:
    """Listen where nobody does; each namespace is entered once."""
    by_namespace: dict[str, list[Target]] = {}
    for target in targets:
        if target.namespace:
            by_namespace.setdefault(target.namespace, []).append(target)
    for name, wanted in by_namespace.items():
        yield from namespaces.call(name, _listen, wanted)


def _listen(targets: Sequence[Target]) -> list[socket.socket]:
    listeners = []
    for target in targets:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((target.address, target.port))
            listener.listen(_BACKLOG)
        except OSError:  # somebody listens already
            listener.close()
        else:
            listeners.append(listener)
    return listeners


@contextlib.contextmanager
def many_files() -> Iterator[None]:
    """Let this process have as many open files as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def room() -> int:
    """Return how many connections this process may open at once, beside the files that are open and some more."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return max(_FEWEST, min(limit, _MOST) - opened - _KEPT_DESCRIPTORS)


def batches(tries: Sequence[Attempt], size: int) -> Iterator[Sequence[Attempt]]:
    """Yield attempts, so many at a time."""
    for start in range(0, len(tries), size):
        yield tries[start : start + size]


def try_all(tries: Sequence[Attempt], patience: float) -> list[Measured]:
    """Begin all connections at once, and look at them until they have an answer or patience is at an end."""
    by_source: dict[Source, list[Attempt]] = {}
    for each in tries:
        by_source.setdefault(each.source, []).append(each)
    found: list[Measured] = []
    with selectors.DefaultSelector() as selector:
        for source, own in by_source.items():
            begun = namespaces.call(source.namespace, _begin, source.address, own)
            for each, (connection, code) in zip(own, begun, strict=True):
                if code == errno.EINPROGRESS:
                    selector.register(connection, selectors.EVENT_WRITE, each)
                else:
                    connection.close()
                    found.append(_measured(each, code))
        deadline = time.monotonic() + patience
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                found.append(_ended(selector, key))
        for key in list(selector.get_map().values()):
            _close(selector, key)
            found.append(_measured(key.data, errno.ETIMEDOUT))
    return found


def _begin(address: str, tries: Sequence[Attempt]) -> list[tuple[socket.socket, int]]:
    """Begin connections from an address of the namespace that this runs in."""
    begun = []
    for each in tries:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # Closed by a reset: nothing lingers on either side.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            connection.bind((address, 0))
            code = connection.connect_ex((each.target.address, each.target.port))
        except OSError as error:
            code = error.errno or errno.EIO
        begun.append((connection, code))
    return begun


def _ended(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> Measured:
    connection = key.fileobj
    code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if isinstance(connection, socket.socket) else 0
    _close(selector, key)
    return _measured(key.data, code)


def _close(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    selector.unregister(key.fileobj)
    if isinstance(key.fileobj, socket.socket):
        key.fileobj.close()


def _measured(each: Attempt, code: int) -> Measured:
    outcomes: dict[int, Outcome] = {0: "open", errno.ECONNREFUSED: "refused", errno.ETIMEDOUT: "silent"}
    outcome = outcomes.get(code, "unreachable")
    return Measured(each.source.place, each.target.place, each.target.address, each.target.port, outcome)
