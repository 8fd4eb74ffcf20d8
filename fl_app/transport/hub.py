"""The aggregator's end: it listens, admits the roster's sites by certificate, and keeps one live stream for each."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent import futures

import grpc

from fl_app.config import Address
from fl_app.errors import ConfigError, IdentityError
from fl_app.transport.events import Deliver, Joined, Left, Received, Returned
from fl_app.transport.frames import Ack, Assembler, Hello, Letter
from fl_app.transport.identity import Credentials, Peer, peer_of
from fl_app.transport.options import METHOD, SERVICE, server_options
from fl_app.transport.session import Session, StreamWriter
from fl_app.transport.wire import WireError, decode

_log = logging.getLogger(__name__)

_GREETING_SECONDS = 10.0
#: Messages of one site that may wait to be worked on; beyond it the stream is not read on.
_UNREAD_MESSAGES = 8
_TLS_1_3 = b"TLSv1.3"


class Refusal(Exception):
    """A stream that is not admitted, or is ended, and why; the other side is told."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Stream:
    """One live stream of one site."""

    def __init__(self, site: str, writer: StreamWriter) -> None:
        self.site = site
        self.writer = writer
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
        self, *, listen: Address, credentials: Credentials, roster: tuple[str, ...], limit: int, deliver: Deliver
    ) -> None:
        """Prepare to listen.

        Args:
            listen: the real address to bind.
            credentials: the aggregator's own.
            roster: the sites that are admitted.
            limit: bytes that a message may have.
            deliver: told of every event, on the wire's threads.
        """
        self._listen, self._credentials, self._limit, self._deliver = listen, credentials, limit, deliver
        self._sessions = {site: Session(answers=True) for site in roster}
        self._room = {site: threading.Semaphore(_UNREAD_MESSAGES) for site in roster}
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.Lock()
        self.refused: Counter[str] = Counter()
        # a thread for each stream, and some for those that are being refused
        self._threads = futures.ThreadPoolExecutor(len(roster) * 2 + 8, thread_name_prefix="hub")
        self._server = grpc.server(self._threads, options=server_options())
        handler = grpc.stream_stream_rpc_method_handler(self._serve)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be bound.
        """
        tls = grpc.ssl_server_credentials(
            [(self._credentials.key, self._credentials.certificate)],
            root_certificates=self._credentials.authority,
            require_client_auth=True,
        )
        try:
            self._server.add_secure_port(str(self._listen), tls)
        except RuntimeError:
            self._threads.shutdown(wait=False)
            raise ConfigError(
                f"{self._listen} cannot be listened on: another process has the port, or the address is not of this "
                "machine.",
                remedy=f"See who has it: ss -ltnp 'sport = :{self._listen.port}'",
            ) from None
        self._server.start()
        _log.info("listening on %s for %s", self._listen, ", ".join(self._sessions))

    def send(self, site: str, header: bytes, body: bytes) -> None:
        """Queue a message for a site; it takes the place of what the site has not received yet."""
        self._sessions[site].put(header, body, supersede=True)

    def connected(self) -> frozenset[str]:
        """Return the sites with a live stream."""
        with self._lock:
            return frozenset(self._streams)

    def done_with(self, site: str) -> None:
        """Make room for another message of a site."""
        self._room[site].release()

    def refuse(self, site: str, reason: str) -> None:
        """End a site's stream because of what it sent, and tell it why."""
        with self._lock:
            stream = self._streams.get(site)
        if stream:
            stream.end(self._refusal(site, grpc.StatusCode.INVALID_ARGUMENT, reason))

    def stop(self) -> None:
        """End all streams and stop listening."""
        with self._lock:
            streams = list(self._streams.values())
        for stream in streams:
            stream.end()
        self._server.stop(grace=1.0).wait()
        self._threads.shutdown()

    def _serve(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        try:
            peer = self._admit(context)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.reason)
        stream = _Stream(peer.node, StreamWriter(self._sessions[peer.node], until=peer.expires))
        context.add_callback(stream.end)
        threading.Thread(target=self._read, args=(stream, requests), name=f"read-{peer.node}", daemon=True).start()
        if not stream.greeted.wait(_GREETING_SECONDS):
            stream.end(self._refusal(peer.node, grpc.StatusCode.DEADLINE_EXCEEDED, "no greeting came"))
        yield from stream.writer.frames()
        self._forget(stream)
        if stream.writer.expired:
            stream.refusal = self._refusal(peer.node, grpc.StatusCode.UNAUTHENTICATED, "the certificate has expired")
        if stream.refusal:
            context.abort(stream.refusal.code, stream.refusal.reason)

    def _admit(self, context: grpc.ServicerContext) -> Peer:
        facts = context.auth_context()
        where = context.peer()
        if facts.get("ssl_tls_version") != [_TLS_1_3]:
            found = b"".join(facts.get("ssl_tls_version") or [b"none"]).decode()
            raise self._refusal(where, grpc.StatusCode.PERMISSION_DENIED, f"TLS 1.3 is required, found {found}")
        try:
            peer = peer_of((facts.get("x509_pem_cert") or [b""])[0])
        except IdentityError as error:
            raise self._refusal(where, grpc.StatusCode.PERMISSION_DENIED, str(error)) from None
        own = self._credentials.peer
        if peer.federation != own.federation:
            raise self._refusal(
                where,
                grpc.StatusCode.PERMISSION_DENIED,
                f"{peer.uri} is of another federation; this is {own.federation}",
            )
        if peer.role != "client":
            raise self._refusal(where, grpc.StatusCode.PERMISSION_DENIED, f"{peer.uri} is not a client's certificate")
        if peer.node not in self._sessions:
            raise self._refusal(where, grpc.StatusCode.PERMISSION_DENIED, f"{peer.node} is not on the roster")
        return peer

    def _read(self, stream: _Stream, requests: Iterator[bytes]) -> None:
        assembler = Assembler(self._limit)
        try:
            first = assembler.feed(next(requests))
            if not isinstance(first, Hello):
                raise WireError("the first frame is not a greeting")
            self._greet(stream, first)
            for frame in requests:
                found = assembler.feed(frame)
                if isinstance(found, Ack):
                    self._sessions[stream.site].acknowledged(found)
                elif isinstance(found, Letter):
                    self._receive(stream, found)
                elif isinstance(found, Hello):
                    raise WireError("a second greeting")
        except WireError as error:
            stream.end(self._refusal(stream.site, grpc.StatusCode.INVALID_ARGUMENT, str(error)))
        except (grpc.RpcError, StopIteration):
            pass
        except Exception as error:  # gRPC raises a bare Exception from a stream that is cancelled
            _log.debug("the stream of %s ended: %s", stream.site, error)
        stream.end()

    def _greet(self, stream: _Stream, hello: Hello) -> None:
        """Make this stream the site's only one, answer the greeting, and tell the rounds."""
        session = self._sessions[stream.site]
        with self._lock:
            before = self._streams.get(stream.site)
            self._streams[stream.site] = stream
            if before:
                before.end(Refusal(grpc.StatusCode.ABORTED, "a newer stream of this site has taken over"))
            goes_on = session.greeted(hello)
            stream.writer.greet(session.greeting())
            stream.writer.start_letters()
            self._deliver(Returned(stream.site) if goes_on else Joined(stream.site))
        stream.greeted.set()

    def _receive(self, stream: _Stream, letter: Letter) -> None:
        envelope = decode(letter.header, letter.body)
        if envelope.sender != stream.site:
            self._refuse_claim(stream, envelope.sender)
            return
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

    def _refuse_claim(self, stream: _Stream, claimed: str) -> None:
        reason = f"a message claims to be from {claimed!r:.80}; the certificate is {stream.site}'s"
        stream.end(self._refusal(stream.site, grpc.StatusCode.PERMISSION_DENIED, reason))

    def _forget(self, stream: _Stream) -> None:
        with self._lock:
            if self._streams.get(stream.site) is stream:
                del self._streams[stream.site]
                self._deliver(Left(stream.site))

    def _refusal(self, who: str, code: grpc.StatusCode, reason: str) -> Refusal:
        self.refused[reason] += 1
        _log.warning("refused %s: %s", who, reason)
        return Refusal(code, reason)
