"""Records what leaves and enters sites: the plain text of their FL streams, and the raw frames of their nodes.

A folder for each site: ``frames.pcap`` has every frame that the site's node has sent, ``leaves-<n>`` and ``enters-<n>``
the plain text of its n-th connection to the aggregator, and ``summary.json`` how much that was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from infra.local.twin.capture import frames
from infra.local.twin.capture.middle import Direction, ManInTheMiddle
from infra.local.twin.capture.search import Search
from infra.local.twin.capture.unframe import Messages
from infra.local.twin.capture.way import in_the_way
from infra.local.twin.network import namespaces
from infra.local.twin.network.layout import Fabric, Link

_FRAMES, _SUMMARY = "frames.pcap", "summary.json"


@dataclass(frozen=True, slots=True)
class Crossing:
    """A site and its way to the aggregator.

    Args:
        site: its name.
        link: the peering that it has requested.
        node: address of its node.
        router: namespace of its router.
        device: the router's end of the node's cable.
        aggregator: the aggregator's address.
    """

    site: str
    link: Link
    node: str
    router: str
    device: str
    aggregator: str


def crossings(fabric: Fabric) -> tuple[Crossing, ...]:
    """Return every site of a fabric that has a peering and a node."""
    nodes = {port.router: port for port in fabric.ports if port.interface.kind == "node"}
    return tuple(
        Crossing(
            link.sites[0],
            link,
            nodes[site].interface.address,
            site,
            nodes[site].device,
            nodes[hub].interface.address,
        )
        for link in fabric.links
        for site, hub in [link.routers]
        if site in nodes and hub in nodes
    )


@contextmanager
def recording(
    found: Iterable[Crossing], out: Path, *, identities: Path, tls_name: str, port: int
) -> Iterator[dict[str, ManInTheMiddle]]:
    """Record until the end of the context; then the ways are as they were.

    Args:
        found: the sites.
        out: where to.
        identities: ``<site>/aggregator`` and ``<site>/site`` hold what the man in the middle shows to either side.
        tls_name: the name of the aggregator's certificate.
        port: the FL port.

    Yields:
        The men in the middle, by site.
    """
    with ExitStack() as stack:
        men = {}
        for crossing in found:
            folder = out / crossing.site
            folder.mkdir(parents=True)
            tap = namespaces.call(crossing.router, frames.tap, crossing.device)
            sniffer = frames.Sniffer(tap, folder / _FRAMES)
            way = stack.enter_context(
                in_the_way(crossing.link, node=crossing.node, aggregator=(crossing.aggregator, port))
            )
            writer = _Writer(folder)
            man = ManInTheMiddle(
                as_aggregator=identities / crossing.site / "aggregator",
                as_site=identities / crossing.site / "site",
                tls_name=tls_name,
                dial=way.dial,
                watch=writer.write,
            )
            man.start(way.listener)
            stack.callback(_end, folder, man, writer, sniffer)
            men[crossing.site] = man
        yield men


class _Writer:
    """Writes each direction of each connection into a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[tuple[Direction, int], BinaryIO] = {}

    def write(self, direction: Direction, number: int, data: bytes) -> None:
        key = (direction, number)
        if key not in self._files:
            self._files[key] = (self._folder / f"{direction}-{number}").open("wb")
        self._files[key].write(data)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _end(folder: Path, man: ManInTheMiddle, writer: _Writer, sniffer: frames.Sniffer) -> None:
    man.close()
    sniffer.close()
    writer.close()
    summary = {
        "connections": man.connections,
        "failures": man.failures,
        **{direction.value: man.passed[direction] for direction in Direction},
        "frames": sniffer.frames,
        "lost": sniffer.lost,
    }
    (folder / _SUMMARY).write_text(json.dumps(summary))


@dataclass(frozen=True, slots=True)
class Recorded:
    """A site's folder, read again."""

    folder: Path

    @property
    def summary(self) -> dict[str, int]:
        """How much was recorded: connections, leaves, enters, frames, lost."""
        found: dict[str, int] = json.loads((self.folder / _SUMMARY).read_text())
        return found

    def search_stream(self, search: Search, direction: Direction = Direction.LEAVES) -> int:
        """Feed one direction of the FL streams to a search, as it was sent and without its frames.

        Returns:
            The bytes of messages without their frames.
        """
        size = 0
        for path in sorted(self.folder.glob(f"{direction}-*")):
            messages = Messages()
            with path.open("rb") as file:
                while data := file.read(1 << 20):
                    search.feed(f"{path.name}, as sent", data)
                    for part, content in messages.feed(data):
                        search.feed(f"{path.name}, {part}", content)
                        size += len(content) if part != "headers" else 0
        return size

    def messages(self, direction: Direction = Direction.LEAVES) -> bytes:
        """Return what one direction's messages hold, of all connections."""
        paths = sorted(self.folder.glob(f"{direction}-*"))
        parts = (part for path in paths for part in Messages().feed(path.read_bytes()))
        return b"".join(content for part, content in parts if part != "headers")

    def search_frames(self, search: Search, *, but: Callable[[frames.Packet], bool] = lambda _: False) -> Counter[str]:
        """Feed all frames to a search: each by itself, and what they carry in order.

        Returns:
            How many packets went to each ``<protocol> <address>:<port>``, less those that ``but`` accepts.
        """
        went: Counter[str] = Counter()
        carried = frames.Carried(lambda flow, data: search.feed(f"carried by {flow}", data))
        for number, frame in enumerate(frames.read(self.folder / _FRAMES)):
            search.feed(f"frame {number}", frame)
            packet = frames.packet(frame)
            if packet is None:
                went["no IPv4"] += 1
                continue
            carried.add(packet)
            if not but(packet):
                name, _, _ = packet.flow.partition(" ")
                went[f"{name} {packet.destination[0]}:{packet.destination[1]}"] += 1
        return went
