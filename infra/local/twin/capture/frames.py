"""Raw frames on a device, as a pcap file, and what they carry: the last look at what leaves a hospital's namespace.

What is encrypted stays so here. The frames show what goes out beside the streams whose plain text is read elsewhere:
each connection, datagram and name that is looked up.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_ALL_PROTOCOLS, _IPV4 = 0x0003, 0x0800
_LONGEST_FRAME = 1 << 18
_BUFFER = 64 << 20
#: linux/if_packet.h: counts of (packets, of which dropped) since the last question.
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_PCAP_HEAD = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _LONGEST_FRAME, 1)
_FRAME_HEAD = struct.Struct("<IIII")
_TCP, _UDP = 6, 17
_SYN = 0x02


class Sniffer:
    """Writes what comes in on a router's device, which is what the node at its other end has sent.

    Attributes:
        frames: how many were written.
        lost: how many the kernel had no room for; the file is whole only if it is 0 after :meth:`close`.
    """

    def __init__(self, tap: socket.socket, path: Path) -> None:
        """Begin to write.

        Args:
            tap: what :func:`tap` returns.
            path: the file.
        """
        self._tap, self._file = tap, path.open("wb")
        self._file.write(_PCAP_HEAD)
        self._closed = threading.Event()
        self.frames = self.lost = 0
        self._thread = threading.Thread(target=self._run, name=f"sniffer {path.stem}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, once everything that has come was written."""
        self._closed.set()
        self._thread.join()
        _, self.lost = struct.unpack("II", self._tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        self._tap.close()
        self._file.close()

    def _run(self) -> None:
        self._tap.settimeout(0.2)
        while True:
            try:
                frame, address = self._tap.recvfrom(_LONGEST_FRAME)
            except TimeoutError:
                if self._closed.is_set():
                    return
                continue
            if address[2] == socket.PACKET_OUTGOING:  # type: ignore[attr-defined,unused-ignore]
                continue
            now = time.time()
            self._file.write(_FRAME_HEAD.pack(int(now), int(now % 1 * 1e6), len(frame), len(frame)) + frame)
            self.frames += 1


def tap(device: str) -> socket.socket:
    """Return a socket that gets every frame of a device; call it within the device's namespace, as its root."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    try:
        for option in (socket.SO_RCVBUF, 33):  # SO_RCVBUFFORCE, which the machine's root may set beyond the limit
            with contextlib.suppress(OSError):
                made.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        made.bind((device, 0))
    except OSError:
        made.close()
        raise
    return made


def read(path: Path) -> Iterator[bytes]:
    """Yield the frames of a file."""
    with path.open("rb") as file:
        file.read(len(_PCAP_HEAD))
        while head := file.read(_FRAME_HEAD.size):
            yield file.read(_FRAME_HEAD.unpack(head)[2])


@dataclass(frozen=True, slots=True)
class Packet:
    """An IPv4 packet: (address, port) of both ends; a protocol without ports has port 0."""

    protocol: int
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    sequence: int = 0
    begins: bool = False

    @property
    def flow(self) -> str:
        """Name its flow."""
        name = {_TCP: "tcp", _UDP: "udp"}.get(self.protocol, str(self.protocol))
        return f"{name} {self.source[0]}:{self.source[1]} to {self.destination[0]}:{self.destination[1]}"


def packet(frame: bytes) -> Packet | None:
    """Return what an Ethernet frame carries; None if it is not IPv4."""
    if len(frame) < 34 or int.from_bytes(frame[12:14], "big") != _IPV4:
        return None
    length, total = (frame[14] & 0xF) * 4, int.from_bytes(frame[16:18], "big")
    # A packet that the kernel left for the device to cut says length 0 where it has more than 64 KiB.
    inner = frame[14 + length : 14 + total if total else None]
    protocol = frame[23]
    source, destination = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    if protocol not in (_TCP, _UDP) or len(inner) < 8:
        return Packet(protocol, (source, 0), (destination, 0), inner)
    ports = struct.unpack(">HH", inner[:4])
    ends = ((source, ports[0]), (destination, ports[1]))
    if protocol == _UDP:
        return Packet(protocol, *ends, inner[8:])
    sequence, begins = int.from_bytes(inner[4:8], "big"), bool(inner[13] & _SYN)
    return Packet(protocol, *ends, inner[(inner[12] >> 4) * 4 :], sequence, begins)


@dataclass(slots=True)
class _Stream:
    next: int | None = None
    early: dict[int, bytes] = field(default_factory=dict)


class Carried:
    """Puts what TCP connections carry in order, so that it can be searched across segments."""

    def __init__(self, feed: Callable[[str, bytes], None]) -> None:
        """Hand on (flow, bytes); see :meth:`infra.local.twin.capture.search.Search.feed`."""
        self._feed = feed
        self._streams: dict[str, _Stream] = {}

    def add(self, found: Packet) -> None:
        """Take the next packet."""
        if found.protocol != _TCP:
            self._feed(found.flow, found.payload)
            return
        stream = self._streams.setdefault(found.flow, _Stream())
        if found.begins:
            stream.next = (found.sequence + 1) % 2**32
            stream.early.clear()
        if not found.payload:
            return
        if stream.next is None:  # the capture began later than the connection
            stream.next = found.sequence
        stream.early[found.sequence] = max(found.payload, stream.early.get(found.sequence, b""), key=len)
        self._hand_on(found.flow, stream)

    def _hand_on(self, flow: str, stream: _Stream) -> None:
        moved = True
        while moved and stream.next is not None:
            moved = False
            for sequence in sorted(stream.early):
                ahead = (stream.next - sequence) % 2**32
                if ahead >= 2**31:
                    continue  # there is a gap before it
                payload = stream.early.pop(sequence)
                if ahead < len(payload):
                    self._feed(flow, payload[ahead:])
                    stream.next = (stream.next + len(payload) - ahead) % 2**32
                    moved = True
