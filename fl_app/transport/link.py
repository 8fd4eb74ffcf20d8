"""A site's end: one outbound stream, opened again whenever it is lost, for as long as the node runs."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator

import grpc

from fl_app.config import Address
from fl_app.errors import IdentityError, RefusedError, StateError
from fl_app.transport.audit import AuditLog
from fl_app.transport.compression import Compression, packed_limit
from fl_app.transport.diagnosis import diagnose
from fl_app.transport.events import Deliver, Failed, Joined, Left, Received, Returned
from fl_app.transport.frames import Ack, Assembler, Hello, Letter
from fl_app.transport.identity import Credentials
from fl_app.transport.json_text import WireError
from fl_app.transport.memory import Buffer
from fl_app.transport.options import PATH, channel_options
from fl_app.transport.session import Session, StreamWriter
from fl_app.transport.wire import decode

_log = logging.getLogger(__name__)

AGGREGATOR = "aggregator"

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_PAUSE_FACTOR = 1.6
_SAY_EVERY = 5.0
#: A diagnosis that needs a person must come this often in a row: a server that is just stopping looks alike.
_CERTAIN = 3

#: A certificate that was good may be renewed while the node runs: the refused site looks for another one this long.
_RENEWAL_SECONDS = 30.0

_IDENTITY_REFUSED = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}
_MESSAGE_REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class Link:
    """The site's stream to the aggregator, kept open by a thread of its own."""

    def __init__(
        self,
        *,
        planned: Address,
        real: Address,
        credentials: Credentials,
        tls_name: str,
        limit: int,
        deliver: Deliver,
        audit: AuditLog | None = None,
        compression: Compression = "none",
        look_for_credentials: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare to dial.

        Args:
            planned: the aggregator's address in the plan, named in messages.
            real: where to dial.
            credentials: the site's own.
            tls_name: the name that the aggregator's certificate must carry.
            limit: bytes that a message may have.
            deliver: told of every event, on the link's thread.
            audit: where every message is recorded.
            compression: the federation's.
            look_for_credentials: looks whether the node has others by now; calls :meth:`renew` and is true if so.
        """
        self._planned, self._real, self._credentials, self._tls_name = planned, real, credentials, tls_name
        self._limit, self._deliver, self._audit = limit, deliver, audit
        self._look_for_credentials = look_for_credentials
        self._used: Credentials | None = None
        self._session = Session(answers=False, compression=compression)
        self._compression = compression
        self._call: grpc.Call | None = None
        self._closed = threading.Event()
        self._said_at = 0.0
        self._suspicions = 0
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def start(self) -> None:
        """Dial, and go on dialling."""
        self._thread.start()

    def renew(self, credentials: Credentials) -> None:
        """Open the stream again with other credentials; the session goes on, and nothing in it is lost."""
        self._credentials = credentials
        call = self._call
        if call:
            call.cancel()

    def send(self, header: bytes, body: Buffer) -> None:
        """Queue a message; it goes out as soon as the stream is open."""
        self._session.put(header, body)

    def flush(self, seconds: float) -> bool:
        """Wait until the aggregator has everything; False if it has not within this time."""
        return self._session.wait_until_empty(seconds)

    def close(self) -> None:
        """End the stream and the thread."""
        self._closed.set()
        call = self._call
        if call:
            call.cancel()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closed.is_set():
            was_open, failure = self._stream()
            if self._closed.is_set():
                return
            if was_open:
                pause = _FIRST_PAUSE
                self._suspicions = 0
                self._deliver(Left(self._planned.host))
            if self._used is not self._credentials:
                self._suspicions = 0
                continue
            if failure and self._is_final(failure):
                return
            self._closed.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret
            pause = min(pause * _PAUSE_FACTOR, _LONGEST_PAUSE)

    def _stream(self) -> tuple[bool, grpc.RpcError | None]:
        """Open the stream once and stay with it until it ends."""
        self._used = own = self._credentials
        tls = grpc.ssl_channel_credentials(own.authority, own.key, own.certificate)
        writer = StreamWriter(self._session, record=self._record if self._audit else None)
        writer.greet(self._session.greeting())
        was_open = False
        with grpc.secure_channel(str(self._real), tls, options=channel_options(self._tls_name)) as channel:
            try:
                self._call = call = channel.stream_stream(PATH)(writer.frames())
                if self._closed.is_set() or self._credentials is not own:
                    call.cancel()
                for found in self._arrivals(call):
                    if isinstance(found, Hello):
                        was_open = True
                        self._greeted(writer, found)
                    elif isinstance(found, Ack):
                        self._session.acknowledged(found)
                    else:
                        self._receive(writer, found)
                    del found  # a model is not kept until the next frame comes
                return was_open, None
            except grpc.RpcError as error:
                return was_open, error
            except WireError as error:
                self._deliver(Failed(RefusedError(f"The aggregator sent what is not of this protocol: {error}.")))
                self._closed.set()
                return was_open, None
            except StateError:  # what arrived cannot be recorded; the node knows, and ends
                self._closed.set()
                return was_open, None
            finally:
                writer.close()

    def _arrivals(self, call: Iterator[bytes]) -> Iterator[Hello | Ack | Letter]:
        assembler = Assembler(packed_limit(self._limit, self._compression), hashes=self._audit is not None)
        for frame in call:
            found = assembler.feed(frame)
            if found is not None:
                yield found
                found = None

    def _greeted(self, writer: StreamWriter, hello: Hello) -> None:
        goes_on = self._session.greeted(hello)
        _log.info("connected to the aggregator at %s", self._planned)
        self._said_at = 0.0
        writer.start_letters()
        self._deliver(Returned(self._planned.host) if goes_on else Joined(self._planned.host))

    def _record(self, letter: Letter, size: int, found: str, whole: bool) -> None:
        if self._audit:
            self._audit.sent(AGGREGATOR, letter.header, size, found, whole=whole)

    def _receive(self, writer: StreamWriter, letter: Letter) -> None:
        if self._audit and letter.hashed:
            self._audit.received(AGGREGATOR, letter.header, len(letter.body), letter.hashed.with_header(letter.header))
        if self._session.is_new(letter.number):
            envelope = decode(letter.header, letter.body, compression=self._compression, limit=self._limit)
            self._deliver(Received(envelope))
        writer.acknowledge(letter.number)

    def _is_final(self, failure: grpc.RpcError) -> bool:
        """Say what the link waits for, every few seconds; True if waiting is no use, which is then an event."""
        code, details = failure.code(), failure.details() or ""
        if code in _IDENTITY_REFUSED:
            if code == grpc.StatusCode.UNAUTHENTICATED and self._is_renewed(details):
                return False
            self._fail(IdentityError(f"The aggregator at {self._planned} refuses this site: {details}."))
            return True
        if code in _MESSAGE_REFUSED:
            self._fail(RefusedError(f"The aggregator at {self._planned} refuses what this site sent: {details}."))
            return True
        if code == grpc.StatusCode.FAILED_PRECONDITION:
            _log.info("waiting for the aggregator: %s; its coordinator adds a site, and leaves it out", details)
            self._closed.wait(_LONGEST_PAUSE)
            return False
        if code == grpc.StatusCode.ABORTED:
            _log.warning("%s; does a second client run with this site's certificate?", details)
            self._closed.wait(_LONGEST_PAUSE)
            return False
        now = time.monotonic()
        if self._said_at and now - self._said_at < _SAY_EVERY and not self._suspicions:
            return False
        found = diagnose(self._real, self._planned, self._credentials, self._tls_name)
        if self._closed.is_set():
            return True
        self._suspicions = self._suspicions + 1 if found.needs_a_person else 0
        if self._suspicions >= _CERTAIN:
            if self._look_for_credentials():
                return False
            self._fail(IdentityError(f"No connection to the aggregator at {self._planned}: {found.text}."))
            return True
        if not found.needs_a_person:
            self._said_at = now
            where = self._planned if self._planned == self._real else f"{self._planned} (here {self._real})"
            _log.info("waiting for the aggregator at %s: %s", where, found.text)
        return False

    def _is_renewed(self, refused: str) -> bool:
        """Wait for other credentials; False if none come in time."""
        _log.warning("the aggregator refuses this site: %s; looking for a new certificate", refused)
        until = time.monotonic() + _RENEWAL_SECONDS
        while self._used is self._credentials and not self._look_for_credentials():
            if time.monotonic() > until or self._closed.wait(_FIRST_PAUSE):
                return self._closed.is_set()
        self._suspicions = 0
        return True

    def _fail(self, error: IdentityError | RefusedError) -> None:
        self._closed.set()
        self._deliver(Failed(error))
