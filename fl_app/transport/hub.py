"""The aggregator's end: it listens, admits the roster's sites by certificate, and keeps one live stream for each."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent import futures

import grpc
from cryptography import x509

from fl_app.config import Address
from fl_app.errors import ConfigError, IdentityError
from fl_app.transport.audit import AuditLog
from fl_app.transport.compression import Compression, packed_limit
from fl_app.transport.events import Deliver, Expelled, Joined, Left, Received, Returned
from fl_app.transport.frames import Ack, Assembler, Hello, Letter
from fl_app.transport.hashing import BodyHash
from fl_app.transport.identity import Credentials, is_revoked, objection, peer_of
from fl_app.transport.json_text import WireError
from fl_app.transport.memory import Buffer
from fl_app.transport.options import METHOD, SERVICE, server_options
from fl_app.transport.session import Record, Session, StreamWriter
from fl_app.transport.wire import Envelope, decode

_log = logging.getLogger(__name__)

_GREETING_SECONDS = 10.0
_LOOK_SECONDS = 1.0
#: Messages of one site that may wait to be worked on; beyond it the stream is not read on.
_UNREAD_MESSAGES = 1
#: A message may take this long, and longer only as fast as this many bytes a second bring it.
_MESSAGE_SECONDS = 30.0
_SLOWEST_BYTES = 64 << 10
#: Streams of one site that may be open without a greeting.
_UNGREETED_STREAMS = 3
#: A site sends at most two messages for each that it gets, and these; what comes twice is tolerated this often.
_FREE_MESSAGES = 8
_REPEATED_MESSAGES = 16
_STREAM_THREADS = _UNGREETED_STREAMS + 2
#: As many as a VPC can peer with.
_MOST_SITES = 125
_TLS_1_3 = b"TLSv1.3"
#: The code by which a site is told that it is not on the roster: it may be before long, so it knocks again.
_NOT_ON_ROSTER = grpc.StatusCode.FAILED_PRECONDITION


class Refusal(Exception):
    """A stream that is not admitted, or is ended, and why; the other side is told."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Stream:
    """One live stream of one site."""

    def __init__(self, site: str, writer: StreamWriter, certificate: x509.Certificate, assembler: Assembler) -> None:
        self.site = site
        self.writer = writer
        self.certificate = certificate
        self.assembler = assembler
        self.last_ack = 0
        self.repeated = 0
        self.greeted = threading.Event()
        self.refusal: Refusal | None = None

    def end(self, refusal: Refusal | None = None) -> None:
        self.refusal = self.refusal or refusal
        self.writer.close()
        self.greeted.set()


class Hub:
    """Listens for the sites of a roster and exchanges messages with them.

    Every refusal is logged and counted in ``refused`` (reason → times); it touches no other site.
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
        self._listen, self._credentials, self._limit, self._deliver = listen, credentials, limit, deliver
        self._audit = audit
        self._served: Credentials | None = None
        self._ungreeted: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._looker = threading.Thread(target=self._look_on, name="hub-look", daemon=True)
        self._roster: frozenset[str] = frozenset()
        self._sessions: dict[str, Session] = {}
        self._room: dict[str, threading.Semaphore] = {}
        self._streams: dict[str, _Stream] = {}
        self._serials: dict[str, int] = {}
        self._lock = threading.Lock()
        self.refused: Counter[str] = Counter()
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
        first = self._handshake_with()
        tls = grpc.dynamic_ssl_server_credentials(first, self._handshake_with, require_client_authentication=True)
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
        _log.info("listening on %s for %s", self._listen, ", ".join(sorted(self._roster)))

    def admit(self, roster: Iterable[str]) -> None:
        """Admit the sites of this roster from now on, and end the streams of those that are not on it."""
        with self._lock:
            before, self._roster = self._roster, frozenset(roster)
            for site in self._roster - before:  # one that was taken out has to report again
                self._sessions[site] = Session(answers=True, compression=self._compression)
                self._room[site] = threading.Semaphore(_UNREAD_MESSAGES)
            removed = [stream for site, stream in self._streams.items() if site not in self._roster]
        for stream in removed:
            stream.end(self._refusal(stream.site, _NOT_ON_ROSTER, f"{stream.site} is not on the roster any more"))

    def renew(self, credentials: Credentials) -> None:
        """Shake hands with other credentials from now on, and end the streams of whom they do not admit any more."""
        with self._lock:
            self._credentials = credentials
            streams = list(self._streams.values())
        for stream in streams:
            reason = objection(stream.certificate, credentials)
            if reason:
                stream.end(self._refusal(stream.site, grpc.StatusCode.UNAUTHENTICATED, reason))
        self._expel()

    def serials(self) -> dict[str, str]:
        """Return the serial number, hexadecimal, of the certificate that each site had last."""
        with self._lock:
            return {site: f"{serial:x}" for site, serial in sorted(self._serials.items())}

    def remember(self, serials: Mapping[str, str]) -> None:
        """Know again which certificate each site had last, and expel those whose one is revoked by now."""
        with self._lock:
            self._serials = {site: int(serial, 16) for site, serial in serials.items()} | self._serials
        self._expel()

    def _expel(self) -> None:
        """Tell which sites' last certificates are revoked.

        Only the last one counts: whoever has the key of an older certificate must not put out the site that has a new.
        """
        with self._lock:
            revoked = [site for site, serial in self._serials.items() if serial in self._credentials.revoked]
        for site in revoked:
            if site in self._roster:
                self._deliver(Expelled(site))

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
        self._refusal(site, grpc.StatusCode.OK, reason)

    def refuse(self, site: str, reason: str) -> None:
        """End a site's stream because of what it sent, and tell it why."""
        with self._lock:
            stream = self._streams.get(site)
        if stream:
            stream.end(self._refusal(site, grpc.StatusCode.INVALID_ARGUMENT, reason))

    def flush(self, seconds: float) -> None:
        """Wait until the sites that are connected have everything, or the time is over."""
        until = time.monotonic() + seconds
        for site in self.connected():
            self._sessions[site].wait_until_empty(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        """End all streams and stop listening."""
        self._stopped.set()
        with self._lock:
            streams = list(self._streams.values())
        for stream in streams:
            stream.end()
        self._server.stop(grace=1.0).wait()
        self._threads.shutdown()

    def _handshake_with(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what to shake hands with; None where it is what gRPC has already. Called at every handshake."""
        own = self._credentials
        if own is self._served:
            return None
        self._served = own
        return grpc.ssl_server_certificate_configuration([(own.key, own.certificate)], root_certificates=own.authority)

    def _serve(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        try:
            site, certificate = self._admit(context)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.reason)
        writer = StreamWriter(
            self._sessions[site],
            until=certificate.not_valid_after_utc.timestamp(),
            record=self._recorder(site),
        )
        limit = packed_limit(self._limit, self._compression)
        stream = _Stream(site, writer, certificate, Assembler(limit, hashes=self._audit is not None))
        context.add_callback(stream.end)
        threading.Thread(target=self._read, args=(stream, requests), name=f"read-{site}", daemon=True).start()
        if not stream.greeted.wait(_GREETING_SECONDS):
            stream.end(self._refusal(site, grpc.StatusCode.DEADLINE_EXCEEDED, "no greeting came"))
        with self._lock:
            self._ungreeted[site] -= 1
        yield from stream.writer.frames()
        self._forget(stream)
        if stream.writer.expired:
            stream.refusal = self._refusal(site, grpc.StatusCode.UNAUTHENTICATED, "the certificate has expired")
        if stream.refusal:
            context.abort(stream.refusal.code, stream.refusal.reason)

    def _admit(self, context: grpc.ServicerContext) -> tuple[str, x509.Certificate]:
        """Return the site that opens a stream, and its certificate.

        Raises:
            Refusal: it is not to be admitted.
        """
        facts = context.auth_context()
        where = context.peer()
        denied = grpc.StatusCode.PERMISSION_DENIED
        if facts.get("ssl_tls_version") != [_TLS_1_3]:
            found = b"".join(facts.get("ssl_tls_version") or [b"none"]).decode()
            raise self._refusal(where, denied, f"TLS 1.3 is required, found {found}")
        pem = (facts.get("x509_pem_cert") or [b""])[0]
        try:
            peer = peer_of(pem)
        except IdentityError as error:
            raise self._refusal(where, denied, str(error)) from None
        own = self._credentials
        if peer.federation != own.peer.federation:
            reason = f"{peer.uri} is of another federation; this is {own.peer.federation}"
            raise self._refusal(where, denied, reason)
        if peer.role != "client":
            raise self._refusal(where, denied, f"{peer.uri} is not a client's certificate")
        if peer.node not in self._roster:
            raise self._refusal(where, _NOT_ON_ROSTER, f"{peer.node} is not on the roster")
        certificate = x509.load_pem_x509_certificate(pem)
        wrong, serial = objection(certificate, own), certificate.serial_number
        if wrong:
            if is_revoked(certificate, own) and self._serials.get(peer.node, serial) == serial:
                self._deliver(Expelled(peer.node))
            raise self._refusal(peer.node, grpc.StatusCode.UNAUTHENTICATED, wrong)
        with self._lock:
            too_many = self._ungreeted[peer.node] >= _UNGREETED_STREAMS
            self._ungreeted[peer.node] += not too_many
        if too_many:
            reason = f"{_UNGREETED_STREAMS} streams of this site wait for their greeting already"
            raise self._refusal(peer.node, grpc.StatusCode.UNAVAILABLE, reason)
        return peer.node, certificate

    def _recorder(self, site: str) -> Record | None:
        audit = self._audit
        if audit is None:
            return None
        return lambda letter, size, found, whole: audit.sent(site, letter.header, size, found, whole=whole)

    def _look_on(self) -> None:
        """End what is too slow; and everything, when the aggregator's own certificate is over."""
        while not self._stopped.wait(_LOOK_SECONDS):
            now = time.monotonic()
            with self._lock:
                streams = list(self._streams.values())
            for stream in streams:
                if stream.assembler.is_overdue(now, grace=_MESSAGE_SECONDS, rate=_SLOWEST_BYTES):
                    reason = "a message came slower than 64 KiB/s"
                    stream.end(self._refusal(stream.site, grpc.StatusCode.DEADLINE_EXCEEDED, reason))
                if time.time() > self._credentials.peer.expires:
                    reason = "the aggregator's own certificate has expired"
                    stream.end(self._refusal(stream.site, grpc.StatusCode.UNAVAILABLE, reason))

    def _read(self, stream: _Stream, requests: Iterator[bytes]) -> None:
        assembler = stream.assembler
        try:
            first = assembler.feed(next(requests))
            if not isinstance(first, Hello):
                raise WireError("the first frame is not a greeting")
            self._greet(stream, first)
            for frame in requests:
                found = assembler.feed(frame)
                if isinstance(found, Ack):
                    self._acknowledged(stream, found)
                elif isinstance(found, Letter):
                    self._receive(stream, found)
                elif isinstance(found, Hello):
                    raise WireError("a second greeting")
                found = None  # a model is not kept until the next frame comes
        except WireError as error:
            stream.end(self._refusal(stream.site, grpc.StatusCode.INVALID_ARGUMENT, str(error)))
        except Refusal as refusal:
            stream.end(refusal)
        except (grpc.RpcError, StopIteration):
            pass
        except Exception as error:  # gRPC raises a bare Exception from a stream that is cancelled
            _log.debug("the stream of %s ended: %s", stream.site, error)
        stream.end()

    def _greet(self, stream: _Stream, hello: Hello) -> None:
        """Make this stream the site's only one, answer the greeting, and tell the rounds."""
        session = self._sessions[stream.site]
        with self._lock:
            wrong = objection(stream.certificate, self._credentials)
            if wrong:  # the credentials have changed since it was admitted
                raise self._refusal(stream.site, grpc.StatusCode.UNAUTHENTICATED, wrong)
            before = self._streams.get(stream.site)
            self._streams[stream.site] = stream
            self._serials[stream.site] = stream.certificate.serial_number
            if before:
                before.end(Refusal(grpc.StatusCode.ABORTED, "a newer stream of this site has taken over"))
            goes_on = session.greeted(hello)
            stream.writer.greet(session.greeting())
            stream.writer.start_letters()
            self._deliver(Returned(stream.site) if goes_on else Joined(stream.site))
        stream.greeted.set()

    def _acknowledged(self, stream: _Stream, ack: Ack) -> None:
        if ack.number <= stream.last_ack:
            raise WireError(f"message {ack.number} is acknowledged again")
        stream.last_ack = ack.number
        self._sessions[stream.site].acknowledged(ack)

    def _receive(self, stream: _Stream, letter: Letter) -> None:
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

    def _read_letter(self, stream: _Stream, letter: Letter) -> Envelope:
        """Record a message, then look at it.

        Raises:
            WireError: it is none, or one of that number is not due.
            Refusal: it claims another sender.
        """
        if self._audit and letter.hashed:
            self._audit.received(stream.site, letter.header, len(letter.body), letter.hashed.with_header(letter.header))
        received, queued = self._sessions[stream.site].counts
        if letter.number > received + 1:
            raise WireError(f"message {letter.number} comes after message {received}")
        stream.repeated += letter.number <= received
        if stream.repeated > _REPEATED_MESSAGES:
            raise WireError("messages that were received come again and again")
        if received > _FREE_MESSAGES + 2 * queued:
            raise WireError(f"{received} messages, for {queued} that the aggregator had")
        envelope = decode(letter.header, letter.body, compression=self._compression, limit=self._limit)
        if envelope.sender != stream.site:
            reason = f"a message claims to be from {envelope.sender!r:.80}; the certificate is {stream.site}'s"
            raise self._refusal(stream.site, grpc.StatusCode.PERMISSION_DENIED, reason)
        return envelope

    def _forget(self, stream: _Stream) -> None:
        with self._lock:
            if self._streams.get(stream.site) is stream:
                del self._streams[stream.site]
                self._deliver(Left(stream.site))

    def _refusal(self, who: str, code: grpc.StatusCode, reason: str) -> Refusal:
        self.refused[reason] += 1
        _log.warning("refused %s: %s", who, reason)
        if self._audit and who in self._sessions:
            self._audit.note("refused", who, reason)
        return Refusal(code, reason)
