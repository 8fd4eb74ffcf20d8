"""The two ends over real sockets and real certificates: who is admitted, who is refused and why, and that others go on.

Every refusal starts from the site that is admitted, and changes one thing.
"""

from __future__ import annotations

import pickle
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import grpc
import pytest
import torch
from authority import Authority
from cryptography import x509

from fl_app.config import Address
from fl_app.errors import ConfigError, IdentityError, RefusedError
from fl_app.transport.events import Event, Expelled, Failed, Joined, Left, Received, Returned
from fl_app.transport.frames import CHUNK, Hello, Letter, hello_frame, letter_frames
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


@pytest.fixture
def place(tmp_path: Path, authority: Authority) -> Iterator[Place]:
    made = Place(tmp_path, authority)
    yield made
    made.close()


def assert_others_go_on(place: Place) -> None:
    inbox = Inbox()
    link = place.link(place.issue("site-b"), inbox)
    inbox.wait_for(Joined)
    link.send(
        encode_header(Envelope("status", "site-b", "aggregator", {"client_status": "ONLINE", "data_sha256": ""})), b""
    )
    assert place.inbox.wait_for(Received).envelope.sender == "site-b"


def test_a_site_that_was_there_first_connects_when_the_hub_comes(place: Place) -> None:
    inbox = Inbox()
    link = place.link(place.issue(), inbox)
    link.send(encode_header(STATUS), b"")
    hub = place.start_hub()

    assert inbox.wait_for(Joined)
    assert place.inbox.wait_for(Joined).peer == "site-a"
    assert hub.connected() == {"site-a"}


def test_messages_of_several_chunks_flow_both_ways(place: Place) -> None:
    hub, inbox = place.start_hub(), Inbox()
    link = place.link(place.issue(), inbox)
    inbox.wait_for(Joined)
    state = OrderedDict(weight=torch.arange(CHUNK, dtype=torch.float32))
    task = {"run": "r", "round": 0, "rounds": 1, "counted": None, "edition": "e"}
    update = {"run": "r", "round": 0, "edition": "e", "num_samples": 3, "metrics": {"train_loss": 0.5}}

    hub.send("site-a", encode_header(Envelope("init", "aggregator", "site-a", task, state)), encode_tensors(state))
    down = inbox.wait_for(Received).envelope
    link.send(encode_header(Envelope("update", "site-a", "aggregator", update, state)), encode_tensors(state))
    up = place.inbox.wait_for(Received).envelope

    for found in (down, up):
        assert found.tensors is not None
        assert torch.equal(found.tensors["weight"], state["weight"])
    assert up.fields == update
    assert link.flush(5)


def test_a_hub_that_was_killed_and_came_back_begins_a_new_session(place: Place) -> None:
    hub, inbox = place.start_hub(), Inbox()
    place.link(place.issue(), inbox)
    inbox.wait_for(Joined)
    hub.stop()
    inbox.wait_for(Left)
    place.start_hub()
    assert inbox.wait_for(Joined)


def test_a_port_that_is_taken_is_an_error_that_names_it(place: Place) -> None:
    first = place.start_hub()
    with pytest.raises(ConfigError, match=f"127.0.0.1:{place.port} cannot be listened on"):
        place.start_hub()
    place.hub = first


def refused(place: Place, credentials: Credentials, tls_name: str = TLS_NAME) -> str:
    inbox = Inbox()
    place.link(credentials, inbox, tls_name)
    error = inbox.wait_for(Failed).error
    assert isinstance(error, IdentityError)
    assert error.exit_code == 3
    return str(error)


def test_another_federation_s_certificate_of_the_same_authority_is_refused(place: Place) -> None:
    place.start_hub()
    assert "of another federation" in refused(place, place.issue(federation="other"))
    assert_others_go_on(place)


def test_another_role_s_certificate_is_refused(place: Place) -> None:
    place.start_hub()
    assert "is not a client's certificate" in refused(place, place.issue(role="aggregator"))
    assert_others_go_on(place)


def test_a_site_that_is_not_on_the_roster_is_refused_and_knocks_until_it_is(place: Place) -> None:
    hub, inbox = place.start_hub(), Inbox()
    place.link(place.issue("site-c"), inbox)
    wait_until(lambda: hub.refused["site-c is not on the roster"])
    assert_others_go_on(place)
    hub.admit(("site-a", "site-b", "site-c"))
    inbox.wait_for(Joined)


def test_a_site_that_is_taken_from_the_roster_is_cut_off_and_the_others_go_on(place: Place) -> None:
    hub, inbox = place.start_hub(), Inbox()
    place.link(place.issue("site-a"), inbox)
    inbox.wait_for(Joined)
    hub.admit(("site-b",))
    inbox.wait_for(Left)
    wait_until(lambda: hub.refused["site-a is not on the roster"])
    assert hub.connected() == frozenset()
    assert_others_go_on(place)


def test_a_certificate_of_another_authority_does_not_get_through_the_handshake(place: Place) -> None:
    place.start_hub()
    stranger = place.issue(authority=Authority())
    liar = Credentials(stranger.key, stranger.certificate, place.authority.pem, stranger.folder, stranger.peer)
    (stranger.folder / "authority.pem").write_bytes(place.authority.pem)
    assert "it is of another authority than the aggregator's" in refused(place, liar)
    assert_others_go_on(place)


@pytest.mark.parametrize("since", [timedelta(hours=-2), timedelta(hours=1)], ids=["expired", "not yet valid"])
def test_a_certificate_that_is_not_valid_now_does_not_get_through_the_handshake(place: Place, since: timedelta) -> None:
    place.start_hub()
    assert "expired or not valid yet" in refused(place, place.issue(since=since, until=since + timedelta(hours=1)))
    assert_others_go_on(place)


def test_a_site_does_not_talk_to_an_aggregator_of_another_authority(place: Place) -> None:
    place.start_hub()
    told = refused(place, place.issue(authority=Authority()))
    assert "is not this federation's aggregator" in told
    assert "authority.pem" in told


def test_a_site_does_not_talk_to_a_node_that_is_not_named_as_the_aggregator(place: Place) -> None:
    place.start_hub()
    told = refused(place, place.issue(), tls_name="aggregator.other.federate")
    assert "not this federation's aggregator aggregator.other.federate" in told


def test_without_a_client_certificate_or_without_tls_nothing_is_answered(place: Place) -> None:
    place.start_hub()
    bare = grpc.ssl_channel_credentials(place.authority.pem)
    for channel in (
        grpc.secure_channel(f"127.0.0.1:{place.port}", bare, options=channel_options(TLS_NAME)),
        grpc.insecure_channel(f"127.0.0.1:{place.port}"),
    ):
        with channel, pytest.raises(grpc.RpcError) as caught:
            list(channel.stream_stream(PATH)(iter([GREETING]), timeout=10))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert_others_go_on(place)


def test_tls_1_2_is_refused(place: Place) -> None:
    """A client that speaks TLS 1.2 only: the handshake passes, and the stream is refused. HTTP/2 by hand."""
    hub = place.start_hub()
    who = place.issue()
    context = ssl.create_default_context(cadata=place.authority.pem.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(who.folder / "certificate.pem", who.folder / "key.pem")
    with (
        socket.create_connection(("127.0.0.1", place.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=TLS_NAME) as secure,
    ):
        assert secure.version() == "TLSv1.2"
        secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _http2_frame(4, 0, 0, b"") + _request_headers())
        wait_until(lambda: hub.refused)
    assert list(hub.refused) == ["TLS 1.3 is required, found TLSv1.2"]
    assert hub.connected() == frozenset()
    assert_others_go_on(place)


def _http2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _request_headers() -> bytes:
    """Return a HEADERS frame for the stream's method; HPACK literals without indexing."""
    fields = {
        ":method": "POST",
        ":scheme": "https",
        ":path": PATH,
        ":authority": TLS_NAME,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    return _http2_frame(1, 4, 1, block)


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.01)


class RunsWhenUnpickled:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


def letter(envelope: Envelope, number: int = 1) -> list[bytes]:
    return list(letter_frames(Letter(number, encode_header(envelope), encode_tensors(envelope.tensors))))


def test_the_frames_that_the_refusals_start_from_are_accepted(place: Place) -> None:
    place.start_hub()
    assert place.raw([GREETING, *letter(STATUS)]) == (grpc.StatusCode.OK, "")
    assert place.inbox.wait_for(Received).envelope == STATUS


def test_a_message_that_claims_another_sender_is_refused(place: Place) -> None:
    place.start_hub()
    claim = Envelope("status", "site-b", "aggregator", {"client_status": "ONLINE", "data_sha256": ""})
    code, reason = place.raw([GREETING, *letter(claim)])
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert reason == "a message claims to be from 'site-b'; the certificate is site-a's"
    assert_others_go_on(place)


def test_garbage_pickles_and_lies_about_sizes_are_refused_and_others_go_on(place: Place, tmp_path: Path) -> None:
    hub = place.start_hub(limit=2 << 20)
    bomb = pickle.dumps(RunsWhenUnpickled(tmp_path / "ran"))
    cases = {
        "no greeting": [b"\x04" + bytes(8)],
        "garbage": [GREETING, b"\xde\xad\xbe\xef"],
        "a bare pickle": [GREETING, bomb],
        "a pickle as header": [GREETING, *letter_frames(Letter(1, bomb, b""))],
        "a header of 4 GB": [GREETING, b"\x02" + bytes(8) + b"\xff\xff\xff\xff" + bytes(8)],
        "a message above the limit": [GREETING, *letter_frames(Letter(1, b"{}", bytes(3 << 20)))],
        "an unknown version": [b'\x01{"versions":[99],"session":"' + b"0" * 32 + b'","peer":"","received":0}'],
        "an acknowledgement of nothing": [GREETING, b"\x04" + b"\xff" * 8],
    }
    for name, frames in cases.items():
        code, reason = place.raw(frames)
        assert code == grpc.StatusCode.INVALID_ARGUMENT, (name, code, reason)
        assert reason, name
    assert sum(hub.refused.values()) == len(cases)
    assert not (tmp_path / "ran").exists()
    assert_others_go_on(place)


def test_a_frame_above_the_limit_of_the_transport_is_refused(place: Place) -> None:
    place.start_hub()
    code, _ = place.raw([GREETING, bytes(3 * CHUNK)])
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert_others_go_on(place)


def test_a_site_learns_why_what_it_sent_is_refused(place: Place) -> None:
    hub, inbox = place.start_hub(), Inbox()
    place.link(place.issue(), inbox)
    inbox.wait_for(Joined)
    place.inbox.wait_for(Joined)
    hub.refuse("site-a", "weight holds NaN or infinity")
    error = inbox.wait_for(Failed).error
    assert isinstance(error, RefusedError)
    assert "weight holds NaN or infinity" in str(error)


def test_of_two_streams_of_one_site_the_newest_wins(place: Place) -> None:
    hub = place.start_hub()
    first, second = Inbox(), Inbox()
    credentials = place.issue()
    old = place.link(credentials, first)
    first.wait_for(Joined)
    new = place.link(credentials, second)
    second.wait_for(Joined)
    first.wait_for(Left)
    old.close()

    new.send(encode_header(STATUS), b"")
    assert new.flush(5)
    assert hub.connected() == {"site-a"}


def test_a_stream_is_closed_when_its_certificate_expires(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fl_app.transport.link._RENEWAL_SECONDS", 1.0)
    hub, inbox = place.start_hub(), Inbox()
    place.link(place.issue(until=timedelta(seconds=3)), inbox)
    inbox.wait_for(Joined)
    assert "certificate has expired" in str(inbox.wait_for(Failed).error)
    wait_until(lambda: not hub.connected())


def test_a_stream_that_breaks_is_opened_again_within_the_session(place: Place) -> None:
    hub, inbox = place.start_hub(), Inbox()
    link = place.link(place.issue(), inbox)
    inbox.wait_for(Joined)
    assert link._call is not None
    link._call.cancel()
    assert inbox.wait_for(Returned)
    link.send(encode_header(STATUS), b"")
    assert link.flush(5)
    assert place.inbox.wait_for(Received).envelope == STATUS
    assert hub.connected() == {"site-a"}


def test_a_site_that_connects_and_says_nothing_does_not_hold_a_thread(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fl_app.transport.hub._GREETING_SECONDS", 0.2)
    place.start_hub()
    says_nothing = threading.Event()

    def frames() -> Iterator[bytes]:
        says_nothing.wait(20)
        yield GREETING

    code, reason = place.raw(frames())
    says_nothing.set()
    assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "no greeting came")
    assert_others_go_on(place)


def revoke(place: Place, *revoked: Credentials) -> None:
    hub = place.hub
    assert hub
    serials = {x509.load_pem_x509_certificate(one.certificate).serial_number for one in revoked}
    hub.renew(replace(hub._credentials, revoked=frozenset(serials)))


def test_a_site_whose_certificate_is_revoked_is_expelled_whether_it_is_connected_or_not(place: Place) -> None:
    place.start_hub()
    away, here = place.issue("site-a"), place.issue("site-b")
    for credentials in (away, here):
        place.link(credentials, Inbox())
        place.inbox.wait_for(Joined)
    place.links[0].close()
    place.inbox.wait_for(Left)
    revoke(place, away, here)
    assert {place.inbox.wait_for(Expelled).peer for _ in range(2)} == {"site-a", "site-b"}


def test_a_restarted_hub_knows_which_certificate_a_site_had_last(place: Place) -> None:
    own = place.issue("site-a")
    hub = place.start_hub()
    revoke(place, own)
    assert hub.serials() == {}
    hub.remember({"site-a": f"{x509.load_pem_x509_certificate(own.certificate).serial_number:x}"})
    assert place.inbox.wait_for(Expelled).peer == "site-a"


def test_whoever_has_an_older_revoked_key_does_not_put_out_the_site_that_has_a_new_one(place: Place) -> None:
    hub = place.start_hub()
    old, new = place.issue("site-a"), place.issue("site-a")
    place.link(new, Inbox())
    place.inbox.wait_for(Joined)
    revoke(place, old)
    thief = Inbox()
    place.link(old, thief)
    wait_until(lambda: any("is revoked" in reason for reason in hub.refused))
    with pytest.raises(AssertionError, match="no Expelled"):
        place.inbox.wait_for(Expelled, seconds=0.5)
    assert hub.connected() == {"site-a"}


def test_a_site_that_is_taken_out_and_put_back_has_to_report_again(place: Place) -> None:
    hub, inbox = place.start_hub(), Inbox()
    place.link(place.issue("site-a"), inbox)
    inbox.wait_for(Joined)
    hub.admit(("site-b",))
    inbox.wait_for(Left)
    hub.admit(("site-a", "site-b"))
    inbox.wait_for(Joined)  # and not Returned, as after a stream that broke
