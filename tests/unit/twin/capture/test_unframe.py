"""The layers around what a stream says are taken off; the frames here are put on by hand."""

from __future__ import annotations

import struct

from hpack import Encoder

from infra.local.twin.capture.unframe import Messages

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, payload: bytes, *, stream: int = 1, flags: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def message(content: bytes) -> bytes:
    return struct.pack(">BI", 0, len(content)) + content


def data_frames(content: bytes, size: int, *, stream: int = 1) -> bytes:
    return b"".join(frame(0, content[at : at + size], stream=stream) for at in range(0, len(content), size))


def said(data: bytes, step: int) -> dict[str, bytes]:
    messages, found = Messages(), {}
    for at in range(0, len(data), step):
        for part, content in messages.feed(data[at : at + step]):
            found[part] = found.get(part, b"") + content
    return found


def test_a_body_in_many_frames_and_messages_is_one_piece_however_it_arrives() -> None:
    body = bytes(range(256)) * 40
    sent = message(b"\x02head" + body[:5000]) + message(b"\x03" + body[5000:])
    wire = PREFACE + frame(4, b"") + data_frames(sent, 777) + frame(6, b"pingpong", stream=0)
    for step in (1, 9, 1000, len(wire)):
        assert said(wire, step) == {"stream 1": b"\x02head" + body}


def test_the_aggregator_s_direction_has_no_preface() -> None:
    assert said(frame(4, b"") + data_frames(message(b"\x04ack"), 3), 2) == {"stream 1": b"\x04ack"}


def test_streams_are_kept_apart_and_padding_is_left_out() -> None:
    padded = frame(0, bytes((3,)) + message(b"\x02a") + bytes(3), stream=3, flags=0x8)
    wire = PREFACE + frame(0, message(b"\x02b")[:4], stream=1) + padded + frame(0, message(b"\x02b")[4:], stream=1)
    assert said(wire, 5) == {"stream 1": b"\x02b", "stream 3": b"\x02a"}


def test_headers_are_read_though_they_are_coded_and_come_in_two_frames() -> None:
    block = Encoder().encode([("x-leak", "Canary-7Q3X9Z4B")], huffman=True)
    assert b"Canary" not in block
    wire = PREFACE + frame(1, block[:6]) + frame(9, block[6:], flags=0x4)
    assert said(wire, len(wire)) == {"headers": b"x-leak: Canary-7Q3X9Z4B\n"}
