"""Frames: messages of every size arrive whole, and a stream that lies about sizes is refused before it is stored."""

from __future__ import annotations

import struct

import pytest

from fl_app.transport.frames import (
    CHUNK,
    Ack,
    Assembler,
    Hello,
    Letter,
    ack_frame,
    hello_frame,
    letter_frames,
)
from fl_app.transport.wire import HEADER_LIMIT, WireError

LIMIT = 4 * CHUNK


def assembled(letter: Letter) -> tuple[list[bytes], Letter]:
    frames, assembler = list(letter_frames(letter)), Assembler(LIMIT)
    found = [assembler.feed(frame) for frame in frames]
    assert found[:-1] == [None] * (len(frames) - 1)
    assert isinstance(found[-1], Letter)
    return frames, found[-1]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, LIMIT])
def test_a_message_arrives_whole_in_frames_of_at_most_a_chunk(size: int) -> None:
    body = bytes(i % 251 for i in range(size % 1000)) + bytes(size - size % 1000)

    frames, found = assembled(Letter(7, b"header", body))

    assert (found.number, found.header, bytes(found.body)) == (7, b"header", body)
    assert len(frames) == max(1, -(-size // CHUNK))
    assert all(len(frame) <= CHUNK + len(b"header") + 21 for frame in frames)


def test_greetings_and_acknowledgements_arrive() -> None:
    hello = Hello("0" * 32, "", 3)
    assert Assembler(LIMIT).feed(hello_frame(hello)) == hello
    assert Assembler(LIMIT).feed(ack_frame(2**40)) == Ack(2**40)


def head(number: int, header: int, body: int, rest: bytes) -> bytes:
    return b"\x02" + struct.pack("<QIQ", number, header, body) + rest


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([b""], "unknown type"),
        ([b"\x09"], "unknown type"),
        ([b"GET / HTTP/1.1"], "unknown type"),
        ([b"\x02short"], "without lengths"),
        ([head(1, 2**32 - 1, 0, b"")], f"header of {2**32 - 1} bytes"),
        ([head(1, HEADER_LIMIT + 1, 0, b"")], "header of"),
        ([head(1, 0, LIMIT + 1, b"")], "message_limit_mib"),
        ([head(1, 0, 2**63, b"")], "message_limit_mib"),
        ([head(1, 0, 10, b"12345")], "another length"),
        ([head(1, 0, 5, b"1234567890")], "another length"),
        ([b"\x03data"], "without a message"),
        ([head(1, 0, CHUNK + 9, bytes(CHUNK)), b"\x03x"], "chunk of 1 bytes"),
        ([head(1, 0, CHUNK + 9, bytes(CHUNK)), head(2, 0, 0, b"")], "within another"),
        ([b"\x04123"], "another length"),
        ([b"\x01{}"], "versions"),
        ([b"\x01" + b" " * 5000], "too long"),
        (
            [b'\x01{"versions":[9],"session":"' + b"0" * 32 + b'","peer":"","received":0}'],
            r"versions \[9\].*same release",
        ),
        ([b'\x01{"versions":[2],"session":"x","peer":"","received":0}'], "without a session"),
        ([b'\x01{"versions":[2],"session":"' + b"0" * 32 + b'","peer":"","received":-1}'], "without a count"),
    ],
)
def test_a_stream_that_is_not_one_is_refused_with_the_reason(frames: list[bytes], reason: str) -> None:
    assembler = Assembler(LIMIT)
    for frame in frames[:-1]:
        assembler.feed(frame)
    with pytest.raises(WireError, match=reason):
        assembler.feed(frames[-1])
