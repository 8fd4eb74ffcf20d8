"""What raw frames carry, in order, however TCP has sent it."""

from __future__ import annotations

import random
import socket
import struct

from infra.local.twin.capture.frames import Carried, packet

SYN, ACK = 0x02, 0x10


def frame(payload: bytes, *, sequence: int = 0, flags: int = ACK, protocol: int = 6, pad: int = 0) -> bytes:
    if protocol == 6:
        inner = struct.pack(">HHIIBBHHH", 5555, 8890, sequence % 2**32, 0, 5 << 4, flags, 0, 0, 0) + payload
    elif protocol == 17:
        inner = struct.pack(">HHHH", 5555, 53, 8 + len(payload), 0) + payload
    else:
        inner = payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(inner), 0, 0, 64, protocol, 0)
    addresses = socket.inet_aton("10.10.0.10") + socket.inet_aton("10.30.0.10")
    return bytes(12) + b"\x08\x00" + head + addresses + inner + bytes(pad)


def carried(frames: list[bytes]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def feed(flow: str, data: bytes) -> None:
        found[flow] = found.get(flow, b"") + data

    into = Carried(feed)
    for one in frames:
        seen = packet(one)
        assert seen is not None
        into.add(seen)
    return found


def test_segments_in_any_order_and_sent_twice_are_one_stream_across_the_wrap_of_numbers() -> None:
    draw = random.Random(3)
    for begin in (0, 2**32 - 700):
        content = draw.randbytes(2000)
        segments = [(at, content[at : at + 100]) for at in range(0, 2000, 100)]
        again = [(at, content[at : at + 250]) for at in range(50, 1500, 300)]
        mixed = [*segments, *again]
        draw.shuffle(mixed)
        frames = [frame(b"", sequence=begin, flags=SYN)]
        frames += [frame(part, sequence=begin + 1 + at, pad=6) for at, part in mixed]
        assert carried(frames) == {"tcp 10.10.0.10:5555 to 10.30.0.10:8890": content}


def test_a_datagram_and_an_unknown_protocol_are_read_as_well() -> None:
    assert carried([frame(b"name", protocol=17), frame(b"ping", protocol=1)]) == {
        "udp 10.10.0.10:5555 to 10.30.0.10:53": b"name",
        "1 10.10.0.10:0 to 10.30.0.10:0": b"ping",
    }


def test_a_port_used_again_begins_a_stream_of_its_own() -> None:
    frames = [
        frame(b"", sequence=10, flags=SYN),
        frame(b"one", sequence=11),
        frame(b"", sequence=2**31 + 5, flags=SYN),
        frame(b"two", sequence=2**31 + 6),
    ]
    assert carried(frames) == {"tcp 10.10.0.10:5555 to 10.30.0.10:8890": b"onetwo"}


def test_what_is_no_ipv4_is_nothing() -> None:
    assert packet(bytes(60)) is None
    assert packet(b"short") is None
