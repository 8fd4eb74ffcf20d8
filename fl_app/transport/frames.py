"""How messages share one stream: frames of at most 1 MiB, each a byte for its type and a payload.

- HELLO, the first frame of each side: JSON with the versions, the session, and what was received of the other's.
- HEAD: number of the message, lengths of header and body, the header, and the start of the body.
- BODY: 1 MiB more of the body, or its rest.
- ACK: the number of a message that has arrived in full.
"""

from __future__ import annotations

import json
import mmap
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fl_app.transport.hashing import BodyHash
from fl_app.transport.json_text import WireError, parse_json
from fl_app.transport.memory import Buffer, buffer
from fl_app.transport.wire import HEADER_LIMIT, VERSION

CHUNK = 1 << 20
#: What gRPC may receive at once: a chunk, a header, and some bytes of ours.
FRAME_LIMIT = CHUNK + HEADER_LIMIT + 64

_HELLO, _HEAD, _BODY, _ACK = b"\x01", b"\x02", b"\x03", b"\x04"
_HEAD_FORM = struct.Struct("<QIQ")
_ACK_FORM = struct.Struct("<Q")
_HELLO_LIMIT = 4096
_SESSION_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Hello:
    """How each side opens a stream.

    Attributes:
        session: 32 hexadecimal digits, new for each life of a process.
        peer: the other side's session as last seen, or empty.
        received: number of the last message received in full from that session.
        compression: the federation's, as this side's run files have it; both must say the same.
    """

    session: str
    peer: str
    received: int
    compression: str = "none"


@dataclass(frozen=True, slots=True)
class Ack:
    """The other side has received this message, and all before it."""

    number: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One message.

    Attributes:
        number: counted from 1 within a session.
        header: see :mod:`fl_app.transport.wire`.
        body: the tensors, or nothing.
        hashed: the body's SHA-256, where somebody works it out already: one body goes to many sites.
    """

    number: int
    header: bytes
    body: Buffer
    hashed: BodyHash | None = field(default=None, compare=False)


def hello_frame(hello: Hello) -> bytes:
    """Return the frame that opens a stream."""
    said: dict[str, Any] = {
        "versions": [VERSION],
        "session": hello.session,
        "peer": hello.peer,
        "received": hello.received,
    }
    if hello.compression != "none":
        said["compression"] = hello.compression
    return _HELLO + json.dumps(said, separators=(",", ":")).encode()


def ack_frame(number: int) -> bytes:
    """Return the frame that acknowledges a message."""
    return _ACK + _ACK_FORM.pack(number)


def letter_frames(letter: Letter) -> Iterator[bytes]:
    """Cut a message into frames."""
    body = memoryview(letter.body)
    lengths = _HEAD_FORM.pack(letter.number, len(letter.header), len(body))
    yield b"".join((_HEAD, lengths, letter.header, body[:CHUNK]))
    for start in range(CHUNK, len(body), CHUNK):
        yield _BODY + body[start : start + CHUNK]


def frame_count(letter: Letter) -> int:
    """Return into how many frames a message is cut."""
    return max(1, -(-len(letter.body) // CHUNK))


class Assembler:
    """Puts frames together again, and refuses what is out of order or above the limits before it is stored."""

    def __init__(self, limit: int, *, hashes: bool = False) -> None:
        """Take bodies of at most ``limit`` bytes, and hash them as they come if asked to."""
        self._limit, self._hashes = limit, hashes
        self._hashed: BodyHash | None = None
        self._began = 0.0
        self._open: tuple[int, bytes, int] | None = None
        self._body: bytearray | mmap.mmap = bytearray()
        self._filled = 0

    def feed(self, frame: bytes) -> Hello | Ack | Letter | None:
        """Take one frame.

        Returns:
            What is complete with it, or None while a message is under way.

        Raises:
            WireError: the frame is not one of this protocol, or not the next one.
        """
        kind, payload = frame[:1], memoryview(frame)[1:]
        if kind == _BODY:
            return self._continue(payload)
        if kind == _ACK:
            if len(payload) != _ACK_FORM.size:
                raise WireError("an acknowledgement of another length")
            return Ack(_ACK_FORM.unpack(payload)[0])
        if kind == _HEAD:
            return self._begin(payload)
        if kind == _HELLO:
            return _parse_hello(bytes(payload))
        raise WireError(f"a frame of unknown type {kind!r}")

    def is_overdue(self, now: float, *, grace: float, rate: float) -> bool:
        """Say whether the message under way should have been here by now.

        Args:
            now: of the monotonic clock.
            grace: seconds that any message may take.
            rate: bytes per second that it may be slow as beyond it.
        """
        under_way = self._open
        return under_way is not None and now - self._began > grace + under_way[2] / rate

    def _begin(self, payload: memoryview) -> Letter | None:
        if self._open:
            raise WireError("a message begins within another")
        if len(payload) < _HEAD_FORM.size:
            raise WireError("a message without lengths")
        number, header_length, body_length = _HEAD_FORM.unpack_from(payload)
        if header_length > HEADER_LIMIT:
            raise WireError(f"a header of {header_length} bytes; at most {HEADER_LIMIT} are allowed")
        if body_length > self._limit:
            raise WireError(f"a message of {body_length} bytes; policy.message_limit_mib allows {self._limit}")
        start = _HEAD_FORM.size + header_length
        if len(payload) != start + min(body_length, CHUNK):
            raise WireError("a message's first frame of another length than it says")
        self._open = (number, bytes(payload[_HEAD_FORM.size : start]), body_length)
        # what is large takes no memory before it arrives, whatever it says of itself
        self._body, self._filled = buffer(body_length), len(payload) - start
        self._body[: self._filled] = payload[start:]
        self._began = time.monotonic()
        self._hashed = BodyHash(self._body, self._filled) if self._hashes else None
        return self._complete()

    def _continue(self, payload: memoryview) -> Letter | None:
        if not self._open:
            raise WireError("a body without a message")
        if len(payload) != min(CHUNK, self._open[2] - self._filled):
            raise WireError(f"a chunk of {len(payload)} bytes; all but the last have {CHUNK}")
        self._body[self._filled : self._filled + len(payload)] = payload
        self._filled += len(payload)
        if self._hashed:
            self._hashed.filled(self._filled)
        return self._complete()

    def _complete(self) -> Letter | None:
        if not self._open or self._filled < self._open[2]:
            return None
        letter = Letter(self._open[0], self._open[1], self._body, self._hashed)
        self._open, self._body, self._hashed = None, bytearray(), None
        return letter


def _parse_hello(payload: bytes) -> Hello:
    if len(payload) > _HELLO_LIMIT:
        raise WireError("a greeting that is too long")
    said: dict[str, Any] = parse_json(payload)
    versions, session, peer, received = (said.get(k) for k in ("versions", "session", "peer", "received"))
    if not isinstance(versions, list) or VERSION not in versions:
        raise WireError(
            f"the other side speaks wire versions {versions!r:.80}, this one {[VERSION]}: install the same release"
        )
    if not (_is_session(session) and (peer == "" or _is_session(peer))):
        raise WireError("a greeting without a session")
    if not isinstance(received, int) or isinstance(received, bool) or received < 0:
        raise WireError("a greeting without a count of what was received")
    compression = said.get("compression", "none")
    if not isinstance(compression, str) or len(compression) > _SESSION_LENGTH:
        raise WireError("a greeting with a compression that is none")
    return Hello(str(session), str(peer), received, compression)


def _is_session(value: Any) -> bool:
    return isinstance(value, str) and len(value) == _SESSION_LENGTH and all(c in "0123456789abcdef" for c in value)
