"""Who can open which TCP port to whom: measured, by opening it.

From within the namespace of each source, all connections are begun at once and looked at until they are open or the
patience is at an end. Where nobody listens, a listener stands in for that time, so that silence means the network.
"""

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
from typing import Literal

from infra.local.twin.network import namespaces
from infra.local.twin.network.layout import Fabric, Port, Router
from infra.local.twin.network.picture import Picture

#: An address of nobody's: kept for documentation (RFC 5737).
NOBODY = "198.51.100.1"
HTTPS, DNS, HTTP = 443, 53, 80
#: Of up to so many VPCs every one tries the endpoints of every other; of more, those of the first and of its successor.
SMALL = 8
#: The kernel sends a lost SYN again after one second.
PATIENCE_SECONDS = 1.6
_KEPT_DESCRIPTORS = 256
_BACKLOG = 4096

PlaceKind = Literal["node", "connect", "endpoint", "resolver", "metadata", "nobody"]
#: ``refused`` is an answer of the target as well: what was asked reached it.
Outcome = Literal["open", "refused", "silent", "unreachable"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One end of a connection.

    Args:
        federation: whose it is.
        node: the node whose VPC it is in; empty for nobody.
        kind: what stands there.
        service: an endpoint's service.
    """

    federation: str
    node: str
    kind: PlaceKind
    service: str = ""

    def __str__(self) -> str:
        names = {
            "node": self.node,
            "connect": f"{self.node}'s connect endpoint",
            "endpoint": f"{self.node}'s endpoint {self.service}".rstrip(),
            "resolver": f"{self.node}'s resolver",
            "metadata": f"{self.node}'s metadata service",
            "nobody": f"nobody's address {NOBODY}",
        }
        return names[self.kind]


@dataclass(frozen=True, slots=True)
class Measured:
    """One connection that was tried."""

    source: Place
    target: Place
    address: str
    port: int
    outcome: Outcome

    @property
    def is_open(self) -> bool:
        """Whether the target was reached."""
        return self.outcome in ("open", "refused")


@dataclass(frozen=True, slots=True)
class Matrix:
    """What was measured.

    Args:
        measured: one entry for each connection that was tried.
        seconds: how long it took.
        scope: what was tried, in words.
    """

    measured: tuple[Measured, ...]
    seconds: float
    scope: str


@dataclass(frozen=True, slots=True)
class _Source:
    place: Place
    namespace: str
    address: str
    vpc: int


@dataclass(frozen=True, slots=True)
class _Target:
    place: Place
    namespace: str
    address: str
    port: int
    vpc: int


@dataclass(frozen=True, slots=True)
class _Try:
    source: _Source
    target: _Target


def measure(fabric: Fabric, picture: Picture, ports: Sequence[int], *, patience: float = PATIENCE_SECONDS) -> Matrix:
    """Try who reaches whom.

    Args:
        fabric: as it was applied.
        picture: what it was planned from.
        ports: TCP ports to try on every node.
        patience: seconds until a connection without an answer counts as silent.

    Raises:
        NetworkRefused: a namespace of the fabric is not there.
    """
    began = time.monotonic()
    layout = _Layout(fabric, picture)
    targets = layout.targets(ports)
    tries = [_Try(source, target) for source in layout.sources() for target in targets if layout.counts(source, target)]
    with contextlib.ExitStack() as stack:
        budget = stack.enter_context(_descriptors())
        for stand_in in _stand_ins(targets):
            stack.enter_context(stand_in)
        measured: list[Measured] = []
        for batch in _batches(tries, budget):
            measured += _try_all(batch, patience)
    measured.sort(key=lambda found: (found.source, found.target, found.port))
    return Matrix(tuple(measured), time.monotonic() - began, layout.scope(ports, len(tries)))


class _Layout:
    """Sources and targets of a fabric."""

    def __init__(self, fabric: Fabric, picture: Picture) -> None:
        self._fabric = fabric
        self._number = {router.vpc: number for number, router in enumerate(fabric.routers)}
        self._served = [
            {router.metadata_address, *router.resolver_addresses, *(address for address, *_ in router.endpoints)}
            for router in fabric.routers
        ]
        tags = {vpc.id: (vpc.federation, vpc.node or vpc.id) for vpc in picture.vpcs}
        for port in fabric.ports:
            own = port.interface
            if own.kind == "node" and own.node and not next(v for v in picture.vpcs if v.id == own.vpc).node:
                tags[own.vpc] = (own.federation, own.node)
        self._tags = tags

    def sources(self) -> list[_Source]:
        """Return every node and every connect endpoint."""
        return [
            _Source(self._place(port), port.namespace, port.interface.address, self._number[port.interface.vpc])
            for port in self._fabric.ports
            if port.interface.kind in ("node", "connect")
        ]

    def targets(self, ports: Sequence[int]) -> list[_Target]:
        """Return everything that is tried."""
        nodes = [port for port in self._fabric.ports if port.interface.kind == "node"]
        found = [
            _Target(self._place(port), port.namespace, port.interface.address, number, self._number[port.interface.vpc])
            for port in nodes
            for number in ports
        ]
        for router in self._fabric.routers:
            found += self._services(router)
        return [*found, _Target(Place("", "", "nobody"), "", NOBODY, HTTPS, -1)]

    def counts(self, source: _Source, target: _Target) -> bool:
        """Say whether a target is tried from a source: all of its own, all nodes, and of the rest a sample of many."""
        if target.place == source.place:
            return False
        own = target.vpc == source.vpc
        if own or target.place.kind in ("node", "nobody"):
            return True
        if target.address in self._served[source.vpc]:
            return False  # the same address everywhere: another VPC's cannot be asked for
        count = len(self._number)
        return count <= SMALL or target.vpc in (0, (source.vpc + 1) % count)

    def scope(self, ports: Sequence[int], count: int) -> str:
        """Say in words what was tried."""
        numbers = ", ".join(str(port) for port in ports)
        others = "of every VPC" if len(self._number) <= SMALL else "of its own VPC and of two others"
        return (
            f"{count} connections: from every node and connect endpoint to every node on TCP {numbers}; to the "
            f"endpoints and the resolver {others}; to its own metadata service; to an address of nobody"
        )

    def _place(self, port: Port) -> Place:
        federation, node = self._tags[port.interface.vpc]
        return Place(federation, node, "connect" if port.interface.kind == "connect" else "node")

    def _services(self, router: Router) -> list[_Target]:
        federation, node = self._tags[router.vpc]
        number = self._number[router.vpc]
        found = [
            _Target(Place(federation, node, "endpoint", service), router.namespace, address, HTTPS, number)
            for address, service, _, _ in router.endpoints
        ]
        resolver, metadata = router.resolver_addresses[0], router.metadata_address
        return [
            *found,
            _Target(Place(federation, node, "resolver"), router.namespace, resolver, DNS, number),
            _Target(Place(federation, node, "metadata"), router.namespace, metadata, HTTP, number),
        ]


def _stand_ins(targets: Iterable[_Target]) -> Iterator[socket.socket]:
    """Listen where nobody does; each namespace is entered once."""
    by_namespace: dict[str, list[_Target]] = {}
    for target in targets:
        if target.namespace:
            by_namespace.setdefault(target.namespace, []).append(target)
    for name, wanted in by_namespace.items():
        yield from namespaces.call(name, _listen, wanted)


def _listen(targets: Sequence[_Target]) -> list[socket.socket]:
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
def _descriptors() -> Iterator[int]:
    """Let this process open as many files as it may; yield how many of them are for connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield max(64, min(hard, 65_536) - _KEPT_DESCRIPTORS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _batches(tries: Sequence[_Try], size: int) -> Iterator[Sequence[_Try]]:
    for start in range(0, len(tries), size):
        yield tries[start : start + size]


def _try_all(tries: Sequence[_Try], patience: float) -> list[Measured]:
    by_source: dict[_Source, list[_Try]] = {}
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


def _begin(address: str, tries: Sequence[_Try]) -> list[tuple[socket.socket, int]]:
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


def _measured(each: _Try, code: int) -> Measured:
    outcomes: dict[int, Outcome] = {0: "open", errno.ECONNREFUSED: "refused", errno.ETIMEDOUT: "silent"}
    outcome = outcomes.get(code, "unreachable")
    return Measured(each.source.place, each.target.place, each.target.address, each.target.port, outcome)
