"""At least once by numbers and acknowledgements, once by dropping what was received before: delivered once.

Each side keeps what the other has not acknowledged. When a lost stream is opened again between the same two processes,
that is sent again. Where either process is a new one the session is new: nothing of before counts, and both sides
are told so, because a round is then taken up by its own rules.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from fl_app.errors import StateError
from fl_app.transport.frames import (
    CHUNK,
    Ack,
    Hello,
    Letter,
    ack_frame,
    frame_count,
    hello_frame,
    letter_frames,
)
from fl_app.transport.hashing import BodyHash
from fl_app.transport.json_text import WireError
from fl_app.transport.memory import Buffer

#: Told of a message that is handed to the network: the message, bytes of its body, digest, and whether it is whole.
Record = Callable[[Letter, int, str, bool], None]


def _new_id() -> str:
    return secrets.token_hex(16)


class Session:
    """One side's memory of the conversation with one peer; it outlives the streams. Safe to use from any thread."""

    def __init__(self, *, answers: bool, compression: str = "none") -> None:
        """Remember nothing yet; the side that ``answers`` takes a new name whenever a session begins."""
        self._answers, self._compression = answers, compression
        self._own_id = _new_id()
        self.changed = threading.Condition()
        self._peer_id = ""
        self._received = 0
        self._next = 1
        self._pending: deque[Letter] = deque()

    def greeting(self) -> Hello:
        """Return how this side opens a stream now."""
        with self.changed:
            return Hello(self._own_id, self._peer_id, self._received, self._compression)

    def greeted(self, hello: Hello) -> bool:
        """Take the other side's greeting.

        Returns:
            True if the session goes on, False if it begins: the other side's process, or this one's, is a new one to
            the other.

        Raises:
            WireError: it has another compression.
        """
        if hello.compression != self._compression:
            raise WireError(
                f"compression is {hello.compression!r} at the other side and {self._compression!r} here: both sides' "
                "run files must have the same policy.compression"
            )
        with self.changed:
            if hello.session == self._peer_id and hello.peer == self._own_id:
                self._drop_until(hello.received)
                return True
            if self._answers:
                self._own_id = _new_id()
            self._peer_id, self._received, self._next = hello.session, 0, 1
            self._pending.clear()
            return False

    def put(
        self,
        header: bytes,
        body: Buffer,
        *,
        supersede: bool = False,
        hashed: BodyHash | None = None,
    ) -> None:
        """Queue a message. With ``supersede`` it takes the place of all that has not been acknowledged."""
        with self.changed:
            if supersede:
                self._pending.clear()
            self._pending.append(Letter(self._next, header, body, hashed))
            self._next += 1
            self.changed.notify_all()

    @property
    def counts(self) -> tuple[int, int]:
        """How many messages of the other side have arrived in this session, and how many were queued for it."""
        with self.changed:
            return self._received, self._next - 1

    def is_new(self, number: int) -> bool:
        """Say whether a message that arrived is the next, and remember it; False if it has been here before."""
        with self.changed:
            if number <= self._received:
                return False
            self._received = number
            return True

    def acknowledged(self, ack: Ack) -> None:
        """Forget what the other side has."""
        with self.changed:
            if ack.number >= self._next:
                raise WireError(f"message {ack.number} is acknowledged and was never sent")
            self._drop_until(ack.number)
            self.changed.notify_all()

    def first_after(self, number: int) -> Letter | None:
        """Return the oldest unacknowledged message above a number. Call it with ``changed`` held."""
        return next((letter for letter in self._pending if letter.number > number), None)

    def wait_until_empty(self, seconds: float) -> bool:
        """Wait until everything is acknowledged; False if it is not within this time."""
        with self.changed:
            return self.changed.wait_for(lambda: not self._pending, seconds)

    def _drop_until(self, number: int) -> None:
        while self._pending and self._pending[0].number <= number:
            self._pending.popleft()


class StreamWriter:
    """What one side writes into one stream: a greeting, then acknowledgements and the session's messages."""

    def __init__(self, session: Session, *, until: float | None = None, record: Record | None = None) -> None:
        """Write for a session.

        Args:
            session: what to write.
            until: wall-clock second at which the stream must end.
            record: told of every message before its last frame is yielded.
        """
        self._session, self._until, self._record = session, until, record
        self._control: deque[bytes] = deque()
        self._greeted = False
        self._closed = False
        self._sent = 0
        self.expired = False

    def greet(self, hello: Hello) -> None:
        """Write the greeting, and from now on messages: those above what the other side has."""
        with self._session.changed:
            self._control.appendleft(hello_frame(hello))
            self._session.changed.notify_all()

    def start_letters(self) -> None:
        """Allow messages: both greetings have been exchanged."""
        with self._session.changed:
            self._greeted = True
            self._session.changed.notify_all()

    def acknowledge(self, number: int) -> None:
        """Write that a message has arrived."""
        with self._session.changed:
            self._control.append(ack_frame(number))
            self._session.changed.notify_all()

    def close(self) -> None:
        """End the stream from this side; any thread may."""
        with self._session.changed:
            self._closed = True
            self._session.changed.notify_all()

    def frames(self) -> Iterator[bytes]:
        """Yield frames as they come up, until the stream is closed or its time is over."""
        while True:
            with self._session.changed:
                letter = None
                while not self._closed and not self._control:
                    letter = self._session.first_after(self._sent) if self._greeted else None
                    if letter or not self._wait():
                        break
                if self._closed or self.expired:
                    return
                control = list(self._control)
                self._control.clear()
            yield from control
            if letter:
                self._sent = letter.number
                try:
                    yield from self._recorded(letter)
                except StateError:  # it cannot be recorded, so it is not sent whole; the node knows
                    return

    def _recorded(self, letter: Letter) -> Iterator[bytes]:
        """Yield a message's frames; it is recorded before it can be whole on the other side, and if it is torn off."""
        if self._record is None:
            yield from letter_frames(letter)
            return
        hashed = letter.hashed or BodyHash(letter.body)
        last, size, whole = frame_count(letter) - 1, 0, False
        try:
            for index, frame in enumerate(letter_frames(letter)):
                if index == last:
                    whole = True
                    self._record(letter, len(letter.body), hashed.with_header(letter.header), True)
                size = min(size + CHUNK, len(letter.body))
                yield frame
        finally:
            if not whole:
                part = BodyHash(memoryview(letter.body)[:size])
                self._record(letter, size, part.with_header(letter.header), False)

    def _wait(self) -> bool:
        if self._until is None:
            self._session.changed.wait()
            return True
        left = self._until - time.time()
        self.expired = left <= 0
        if not self.expired:
            self._session.changed.wait(left)
        return not self.expired
