"""Who can open which TCP port to whom: measured, by opening it.

From within the namespace of each source, all connections are begun at once and looked at until they are open or the
patience is at an end. Where nobody listens, a listener stands in for that time, so that silence means the network.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Sequence

from infra.local.twin.network.connecting import Attempt, Source, Target, batches, many_files, room, stand_ins, try_all
from infra.local.twin.network.layout import Fabric, Port, Router
from infra.local.twin.network.matrix import NOBODY, Matrix, Measured, Place
from infra.local.twin.network.picture import Picture

HTTPS, DNS, HTTP = 443, 53, 80
#: Of up to so many VPCs every one tries the endpoints of every other; of more, those of the first and of its successor.
SMALL = 8
#: The kernel sends a lost SYN again after one second.
PATIENCE_SECONDS = 1.6


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
    pairs = itertools.product(layout.sources(), targets)
    tries = [Attempt(source, target) for source, target in pairs if layout.counts(source, target)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(many_files())
        for stand_in in stand_ins(targets):
            stack.enter_context(stand_in)
        measured: list[Measured] = []
        for batch in batches(tries, room()):
            measured += try_all(batch, patience)
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

    def sources(self) -> list[Source]:
        """Return every node and every connect endpoint."""
        return [
            Source(self._place(port), port.namespace, port.interface.address, self._number[port.interface.vpc])
            for port in self._fabric.ports
            if port.interface.kind in ("node", "connect")
        ]

    def targets(self, ports: Sequence[int]) -> list[Target]:
        """Return everything that is tried."""
        nodes = [port for port in self._fabric.ports if port.interface.kind == "node"]
        found = [
            Target(self._place(port), port.namespace, port.interface.address, number, self._number[port.interface.vpc])
            for port in nodes
            for number in ports
        ]
        for router in self._fabric.routers:
            found += self._services(router)
        return [*found, Target(Place("", "", "nobody"), "", NOBODY, HTTPS, -1)]

    def counts(self, source: Source, target: Target) -> bool:
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

    def _services(self, router: Router) -> list[Target]:
        federation, node = self._tags[router.vpc]
        number = self._number[router.vpc]
        found = [
            Target(Place(federation, node, "endpoint", service), router.namespace, address, HTTPS, number)
            for address, service, _, _ in router.endpoints
        ]
        resolver, metadata = router.resolver_addresses[0], router.metadata_address
        return [
            *found,
            Target(Place(federation, node, "resolver"), router.namespace, resolver, DNS, number),
            Target(Place(federation, node, "metadata"), router.namespace, metadata, HTTP, number),
        ]
