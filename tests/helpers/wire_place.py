"""A hub for two sites over real sockets and real certificates, sites that connect to it, and what each is told."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import grpc
from authority import Authority
from cryptography import x509

from fl_app.config import Address
from fl_app.errors import IdentityError
from fl_app.transport.events import Event, Joined, Received
from fl_app.transport.frames import Hello, Letter, hello_frame, letter_frames
from fl_app.transport.hub import Hub
from fl_app.transport.identity import Credentials, load_credentials
from fl_app.transport.link import Link
from fl_app.transport.options import PATH, channel_options
from fl_app.transport.wire import Envelope, encode_header, encode_tensors

TLS_NAME = "aggregator.test.federate"
STATUS = Envelope("status", "site-a", "aggregator", {"client_status": "ONLINE", "data_sha256": ""})
GREETING = hello_frame(Hello("0" * 32, "", 0))


E = TypeVar("E", bound=Event)


class Inbox:
    """Collects events and waits for the one that a test is about."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Event] = SimpleQueue()
        self.room: Callable[[str], None] | None = None

    def __call__(self, event: Event) -> None:
        self._queue.put(event)

    def wait_for(self, kind: type[E], seconds: float = 20.0) -> E:
        until = time.monotonic() + seconds
        while True:
            try:
                event = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                raise AssertionError(f"no {kind.__name__} in {seconds:g} s") from None
            if isinstance(event, kind):
                if isinstance(event, Received) and self.room:
                    self.room(event.envelope.sender)
                return event

    def is_quiet(self) -> bool:
        """Say whether no message is left."""
        left = []
        while not self._queue.empty():
            left.append(self._queue.get())
        return not any(isinstance(event, Received) for event in left)


class Place:
    """A hub for site-a and site-b, and a way to make links to it."""

    def __init__(self, root: Path, authority: Authority) -> None:
        self.root, self.authority = root, authority
        self.inbox = Inbox()
        self.hub: Hub | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.links: list[Link] = []

    def start_hub(self, *, limit: int = 8 << 20, credentials: Credentials | None = None) -> Hub:
        if credentials is None:
            folder = self.authority.issue(self.root / "aggregator", "aggregator", role="aggregator")
            credentials = load_credentials(folder, federation="test", role="aggregator", node="aggregator")
        self.hub = Hub(
            listen=Address("127.0.0.1", self.port),
            credentials=credentials,
            roster=("site-a", "site-b"),
            limit=limit,
            deliver=self.inbox,
        )
        self.inbox.room = self.hub.done_with
        self.hub.start()
        return self.hub

    def issue(self, node: str = "site-a", **wrong: Any) -> Credentials:
        authority: Authority = wrong.pop("authority", self.authority)
        folder = authority.issue(self.root / f"{node}-{len(list(self.root.iterdir()))}", node, **wrong)
        read = {name: (folder / f"{name}.pem").read_bytes() for name in ("key", "certificate", "authority")}
        try:
            return load_credentials(folder, federation="test", role="client", node=node)
        except IdentityError:  # a liar does not check its own
            real = self.authority.issue(self.root / "any", "site-a")
            peer = load_credentials(real, federation="test", role="client", node="site-a").peer
            return Credentials(**read, folder=folder, peer=peer)

    def link(
        self,
        credentials: Credentials,
        inbox: Inbox,
        tls_name: str = TLS_NAME,
        look: Callable[[], bool] = lambda: False,
    ) -> Link:
        address = Address("127.0.0.1", self.port)
        made = Link(
            planned=address,
            real=address,
            credentials=credentials,
            tls_name=tls_name,
            limit=8 << 20,
            deliver=inbox,
            look_for_credentials=look,
        )
        made.start()
        self.links.append(made)
        return made

    def raw(self, frames: Iterable[bytes], credentials: Credentials | None = None) -> tuple[grpc.StatusCode, str]:
        """Write frames as a valid site, or another, and return how the hub ends the stream."""
        who = credentials or self.issue()
        tls = grpc.ssl_channel_credentials(who.authority, who.key, who.certificate)
        with grpc.secure_channel(f"127.0.0.1:{self.port}", tls, options=channel_options(TLS_NAME)) as channel:
            try:
                list(channel.stream_stream(PATH)(iter(frames), timeout=10))
            except grpc.RpcError as error:
                return error.code(), error.details() or ""
        return grpc.StatusCode.OK, ""

    def served_certificate(self) -> x509.Certificate:
        """Shake hands as a site and return what the hub shows."""
        who = self.issue()
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        context.load_cert_chain(who.folder / "certificate.pem", who.folder / "key.pem")
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=TLS_NAME) as secure,
        ):
            return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")

    def close(self) -> None:
        for link in self.links:
            link.close()
        if self.hub:
            self.hub.stop()


def assert_others_go_on(place: Place) -> None:
    inbox = Inbox()
    link = place.link(place.issue("site-b"), inbox)
    inbox.wait_for(Joined)
    link.send(
        encode_header(Envelope("status", "site-b", "aggregator", {"client_status": "ONLINE", "data_sha256": ""})), b""
    )
    assert place.inbox.wait_for(Received).envelope.sender == "site-b"


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.01)


def letter(envelope: Envelope, number: int = 1) -> list[bytes]:
    return list(letter_frames(Letter(number, encode_header(envelope), encode_tensors(envelope.tensors))))
