"""The aggregator's end: it listens, and keeps one live stream for each site that the admission lets in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent import futures

import grpc

from fl_app.config import Address
from fl_app.errors import ConfigError
from fl_app.transport.admission import UNGREETED_STREAMS, Admission, Refusal
from fl_app.transport.audit import AuditLog
from fl_app.transport.compression import Compression, packed_limit
from fl_app.transport.events import Deliver, Joined, Left, Received, Returned
from fl_app.transport.frames import Ack, Assembler, Hello, Letter
from fl_app.transport.hashing import BodyHash
from fl_app.transport.identity import Credentials
from fl_app.transport.json_text import WireError
from fl_app.transport.memory import Buffer
from fl_app.transport.options import METHOD, SERVICE, server_options
from fl_app.transport.session import Record, Session, StreamWriter
from fl_app.transport.site_stream import SiteStream
from fl_app.transport.wire import Envelope, decode

_log = logging.getLogger(__name__)

_GREETING_SECONDS = 10.0
_LOOK_SECONDS = 1.0
#: Messages of one site that may wait to be worked on; beyond it the stream is not read on.
_UNREAD_MESSAGES = 1
_STREAM_THREADS = UNGREETED_STREAMS + 2
#: As many as a VPC can peer with.
_MOST_SITES = 125


class Hub:
    """Listens for the sites of a roster and exchanges messages with them.

    Every refusal is logged and counted in ``refused`` (reason → times); it touches no other site.

    Attributes:
        admission: says who may have a stream; what it keeps may be asked for there.
        refused: its count.
    """

    def __init__(
        self,
        *,
        listen: Address,
        credentials: Credentials,
        roster: tuple[str, ...],
        limit: int,
        deliver: Deliver,
        audit: AuditLog | None = None,
        compression: Compression = "none",
    ) -> None:
        """Prepare to listen.

        Args:
            listen: the real address to bind.
            credentials: the aggregator's own.
            roster: the sites that are admitted.
            limit: bytes that a site's message may have.
            deliver: told of every event, on the wire's threads.
            audit: where every message is recorded.
            compression: the federation's.
        """
        self._compression = compression
        self._listen, self._limit, self._deliver, self._audit = listen, limit, deliver, audit
        self.admission = Admission(credentials, deliver=deliver, audit=audit)
        self.refused = self.admission.refused
        self._stopped = threading.Event()
        self._looker = threading.Thread(target=self._look_on, name="hub-look", daemon=True)
        self._sessions: dict[str, Session] = {}
        self._room: dict[str, threading.Semaphore] = {}
        self._streams: dict[str, SiteStream] = {}
        self._lock = threading.Lock()
        self.admit(roster)
        # threads for each site's streams, of sites that join later as well, and some for those that are being refused;
        # a thread is made when it is needed
        most = max(2 * len(roster), _MOST_SITES) * _STREAM_THREADS + 8
        self._threads = futures.ThreadPoolExecutor(most, thread_name_prefix="hub")
        self._server = grpc.server(self._threads, options=server_options())
        handler = grpc.stream_stream_rpc_method_handler(self._serve)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be bound.
        """
        first = self.admission.handshake_with()
        renewed = self.admission.handshake_with
        tls = grpc.dynamic_ssl_server_credentials(first, renewed, require_client_authentication=True)
        try:
            self._server.add_secure_port(str(self._listen), tls)
        except RuntimeError:
            self._threads.shutdown(wait=False)
            raise ConfigError(
                f"{self._listen} cannot be listened on: another process has the port, or the address is not of this "
                "machine.",
                remedy=f"See who has it: ss -ltnp 'sport = :{self._listen.port}'",
            ) from None
        if self._audit:
            self._audit.open()
        self._server.start()
        self._looker.start()
        _log.info("listening on %s for %s", self._listen, ", ".join(sorted(self.admission.roster)))

    def admit(self, roster: Iterable[str]) -> None:
        """Admit the sites of this roster from now on, and end the streams of those that are not on it."""
        wanted = frozenset(roster)
        with self._lock:
            for site in wanted - self.admission.roster:  # one that was taken out has to report again
                self._sessions[site] = Session(answers=True, compression=self._compression)
                self._room[site] = threading.Semaphore(_UNREAD_MESSAGES)
            self.admission.admit(wanted)  # now that there is a session for each that gets in
            removed = [stream for site, stream in self._streams.items() if site not in wanted]
        for stream in removed:
            stream.end(self.admission.removed(stream.site))

    def renew(self, credentials: Credentials) -> None:
        """Shake hands with other credentials from now on, and end the streams of whom they do not admit any more."""
        self.admission.renew(credentials)
        for stream in self._open_streams():
            refusal = self.admission.against(stream.site, stream.certificate)
            if refusal:
                stream.end(refusal)
        self.admission.expel()

    def send(self, site: str, header: bytes, body: Buffer, *, hashed: BodyHash | None = None) -> None:
        """Queue a message for a site; it takes the place of what the site has not received yet.

        Args:
            site: the receiver.
            header: see :mod:`fl_app.transport.wire`.
            body: the tensors, or nothing.
            hashed: the body's SHA-256, if the caller has it.
        """
        self._sessions[site].put(header, body, supersede=True, hashed=hashed)

    def connected(self) -> frozenset[str]:
        """Return the sites with a live stream."""
        with self._lock:
            return frozenset(self._streams)

    def done_with(self, site: str) -> None:
        """Make room for another message of a site."""
        self._room[site].release()

    def dropped(self, site: str, reason: str) -> None:
        """Count and log a message that is not worked on; the stream goes on."""
        self.admission.refusal(site, grpc.StatusCode.OK, reason)

    def refuse(self, site: str, reason: str) -> None:
        """End a site's stream because of what it sent, and tell it why."""
        with self._lock:
            stream = self._streams.get(site)
        if stream:
            stream.end(self.admission.refusal(site, grpc.StatusCode.INVALID_ARGUMENT, reason))

    def flush(self, seconds: float) -> None:
        """Wait until the sites that are connected have everything, or the time is over."""
        until = time.monotonic() + seconds
        for site in self.connected():
            self._sessions[site].wait_until_empty(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        """End all streams and stop listening."""
        self._stopped.set()
        for stream in self._open_streams():
            stream.end()
        self._server.stop(grace=1.0).wait()
        self._threads.shutdown()

    def _serve(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        try:
            site, certificate = self.admission.opens(context.auth_context(), context.peer())
        except Refusal as refusal:
            context.abort(refusal.code, refusal.reason)
        writer = StreamWriter(
            self._sessions[site],
            until=certificate.not_valid_after_utc.timestamp(),
            record=self._recorder(site),
        )
        limit = packed_limit(self._limit, self._compression)
        stream = SiteStream(site, writer, certificate, Assembler(limit, hashes=self._audit is not None))
        context.add_callback(stream.end)
        threading.Thread(target=self._read, args=(stream, requests), name=f"read-{site}", daemon=True).start()
        if not stream.greeted.wait(_GREETING_SECONDS):
            stream.end(self.admission.refusal(site, grpc.StatusCode.DEADLINE_EXCEEDED, "no greeting came"))
        self.admission.has_greeted(site)
        yield from stream.writer.frames()
        self._forget(stream)
        if stream.writer.expired:
            stream.refusal = self.admission.refusal(
                site, grpc.StatusCode.UNAUTHENTICATED, "the certificate has expired"
            )
        if stream.refusal:
            context.abort(stream.refusal.code, stream.refusal.reason)

    def _open_streams(self) -> list[SiteStream]:
        with self._lock:
            return list(self._streams.values())

    def _recorder(self, site: str) -> Record | None:
        audit = self._audit
        if audit is None:
            return None
        return lambda letter, size, found, whole: audit.sent(site, letter.header, size, found, whole=whole)

    def _look_on(self) -> None:
        """End what is too slow; and everything, when the aggregator's own certificate is over."""
        while not self._stopped.wait(_LOOK_SECONDS):
            now = time.monotonic()
            for stream in self._open_streams():
                if stream.is_too_slow(now):
                    reason = "a message came slower than 64 KiB/s"
                    stream.end(self.admission.refusal(stream.site, grpc.StatusCode.DEADLINE_EXCEEDED, reason))
                if time.time() > self.admission.credentials.peer.expires:
                    reason = "the aggregator's own certificate has expired"
                    stream.end(self.admission.refusal(stream.site, grpc.StatusCode.UNAVAILABLE, reason))

    def _read(self, stream: SiteStream, requests: Iterator[bytes]) -> None:
        assembler = stream.assembler
        try:
            first = assembler.feed(next(requests))
            if not isinstance(first, Hello):
                raise WireError("the first frame is not a greeting")
            self._greet(stream, first)
            for frame in requests:
                found = assembler.feed(frame)
                if isinstance(found, Ack):
                    stream.acknowledged(found, self._sessions[stream.site])
                elif isinstance(found, Letter):
                    self._receive(stream, found)
                elif isinstance(found, Hello):
                    raise WireError("a second greeting")
                found = None  # a model is not kept until the next frame comes
        except WireError as error:
            stream.end(self.admission.refusal(stream.site, grpc.StatusCode.INVALID_ARGUMENT, str(error)))
        except Refusal as refusal:
            stream.end(refusal)
        except (grpc.RpcError, StopIteration):
            pass
        except Exception as error:  # gRPC raises a bare Exception from a stream that is cancelled
            _log.debug("the stream of %s ended: %s", stream.site, error)
        stream.end()

    def _greet(self, stream: SiteStream, hello: Hello) -> None:
        """Make this stream the site's only one, answer the greeting, and tell the rounds."""
        session = self._sessions[stream.site]
        with self._lock:
            self.admission.greets(stream.site, stream.certificate)
            before = self._streams.get(stream.site)
            self._streams[stream.site] = stream
            if before:
                before.end(Refusal(grpc.StatusCode.ABORTED, "a newer stream of this site has taken over"))
            goes_on = session.greeted(hello)
            stream.writer.greet(session.greeting())
            stream.writer.start_letters()
            self._deliver(Returned(stream.site) if goes_on else Joined(stream.site))
        stream.greeted.set()

    def _receive(self, stream: SiteStream, letter: Letter) -> None:
        envelope = self._read_letter(stream, letter)
        self._room[stream.site].acquire()
        with self._lock:
            is_current = self._streams.get(stream.site) is stream
            counts = is_current and self._sessions[stream.site].is_new(letter.number)
            if counts:
                self._deliver(Received(envelope))
        if not counts:
            self.done_with(stream.site)
        if is_current:
            stream.writer.acknowledge(letter.number)

    def _read_letter(self, stream: SiteStream, letter: Letter) -> Envelope:
        """Record a message, then look at it.

        Raises:
            WireError: it is none, or one of that number is not due.
            Refusal: it claims another sender.
        """
        if self._audit and letter.hashed:
            self._audit.received(stream.site, letter.header, len(letter.body), letter.hashed.with_header(letter.header))
        stream.check_due(letter, self._sessions[stream.site])
        envelope = decode(letter.header, letter.body, compression=self._compression, limit=self._limit)
        if envelope.sender != stream.site:
            reason = f"a message claims to be from {envelope.sender!r:.80}; the certificate is {stream.site}'s"
            raise self.admission.refusal(stream.site, grpc.StatusCode.PERMISSION_DENIED, reason)
        return envelope

    def _forget(self, stream: SiteStream) -> None:
        with self._lock:
            if self._streams.get(stream.site) is stream:
                del self._streams[stream.site]
                self._deliver(Left(stream.site))
