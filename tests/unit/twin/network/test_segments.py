"""Frames that stand for many packets of TCP, taken apart."""

from __future__ import annotations

import struct

import pytest

from infra.local.twin.network.segments import carried_bytes, count, part

SIZE = 100
FIN_PSH_ACK_CWR = 0x01 | 0x08 | 0x10 | 0x80


def ones_sum(data: bytes) -> int:
    """RFC 1071, word by word."""
    total = 0
    for (word,) in struct.iter_unpack("!H", data + b"\0" * (len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def tcp_frame(payload: bytes, *, kind: int = 1, size: int = SIZE, flags: int = FIN_PSH_ACK_CWR) -> bytes:
    """Return what a packet socket hands over: virtio header, Ethernet, IPv4 (20), TCP with timestamps (32), payload."""
    virtio = struct.pack("=BBHHHH", 1, kind, 66, size, 34, 16)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 52 + len(payload), 500, 0x4000, 64, 6, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    tcp = struct.pack("!HHIIBBHHH", 40000, 8443, 0xFFFFFF00, 7, 0x80, flags, 1000, 0, 0) + bytes(12)
    return virtio + bytes(12) + b"\x08\x00" + ip + tcp + payload


def payload_of(frame: bytes) -> bytes:
    return frame[10 + 14 + 52 :]


PAYLOAD = bytes(range(250)) + bytes(range(100))


def test_a_frame_stands_for_as_many_packets_as_its_payload_fills():
    assert count(tcp_frame(PAYLOAD)) == 4
    assert count(tcp_frame(bytes(300))) == 3
    assert count(tcp_frame(b"")) == 1


@pytest.mark.parametrize(
    "frame",
    [
        tcp_frame(PAYLOAD, kind=0, size=0),
        tcp_frame(PAYLOAD, kind=5),
        bytes(10) + bytes(60),
        bytes(30),
    ],
    ids=["one packet", "UDP", "no IP", "short"],
)
def test_what_cannot_be_taken_apart_is_one_packet(frame):
    assert count(frame) == 1
    assert carried_bytes(frame, 1) == len(frame) - 24


def test_each_packet_carries_headers_of_its_own():
    assert carried_bytes(tcp_frame(PAYLOAD), 4) == 350 + 4 * 52


def test_parts_hold_the_payload_of_their_packets_and_nothing_else():
    frame = tcp_frame(PAYLOAD)

    assert [payload_of(part(frame, *run)) for run in ((0, 1), (1, 3), (3, 4))] == [
        PAYLOAD[:100],
        PAYLOAD[100:300],
        PAYLOAD[300:],
    ]


def test_a_part_says_its_own_length_number_and_place_in_the_stream():
    found = part(tcp_frame(PAYLOAD), 2, 4)

    total, identity = struct.unpack_from("!HH", found, 26)
    (sequence,) = struct.unpack_from("!I", found, 48)
    assert (total, identity) == (52 + 150, 502)
    assert sequence == (0xFFFFFF00 + 200) % 2**32


def test_the_sum_of_the_ip_header_is_right_and_that_of_tcp_is_begun():
    found = part(tcp_frame(PAYLOAD), 1, 4)

    assert ones_sum(found[24:44]) == 0xFFFF
    pseudo = found[36:44] + struct.pack("!HH", 6, 32 + 250)
    assert struct.unpack_from("!H", found, 44 + 16)[0] == ones_sum(pseudo)


def test_only_the_last_part_ends_the_stream_and_only_the_first_answers_congestion():
    flags = [part(tcp_frame(PAYLOAD), *run)[44 + 13] for run in ((0, 1), (1, 3), (3, 4))]

    assert flags == [0x10 | 0x80, 0x10, 0x10 | 0x08 | 0x01]


def test_a_part_of_one_packet_is_no_large_send_any_more():
    kinds = [struct.unpack_from("=BBHH", part(tcp_frame(PAYLOAD), *run))[1:] for run in ((0, 1), (0, 2), (3, 4))]

    assert kinds == [(0, 66, 0), (1, 66, SIZE), (0, 66, 0)]
