"""Who is admitted, who is refused and why, and who is put out: over real sockets, with real certificates.

Every refusal starts from the site that is admitted, and changes one thing; the others go on.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest
from authority import Authority
from cryptography import x509
from wire_place import GREETING, TLS_NAME, Inbox, Place, assert_others_go_on, wait_until

from fl_app.errors import IdentityError
from fl_app.transport.admission import Admission, Refusal
from fl_app.transport.events import Expelled, Failed, Joined, Left
from fl_app.transport.identity import Credentials, load_credentials
from fl_app.transport.options import PATH, channel_options


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


def test_a_stream_is_closed_when_its_certificate_expires(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fl_app.transport.link._RENEWAL_SECONDS", 1.0)
    hub, inbox = place.start_hub(), Inbox()
    place.link(place.issue(until=timedelta(seconds=3)), inbox)
    inbox.wait_for(Joined)
    assert "certificate has expired" in str(inbox.wait_for(Failed).error)
    wait_until(lambda: not hub.connected())


def revoke(place: Place, *revoked: Credentials) -> None:
    hub = place.hub
    assert hub
    serials = {x509.load_pem_x509_certificate(one.certificate).serial_number for one in revoked}
    hub.renew(replace(hub.admission.credentials, revoked=frozenset(serials)))


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
    assert hub.admission.serials() == {}
    hub.admission.remember({"site-a": f"{x509.load_pem_x509_certificate(own.certificate).serial_number:x}"})
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


@pytest.fixture
def admission(place: Place, authority: Authority) -> Admission:
    """An admission that no hub uses: it is asked by the tests alone."""
    folder = authority.issue(place.root / "aggregator", "aggregator", role="aggregator")
    own = load_credentials(folder, federation="test", role="aggregator", node="aggregator")
    made = Admission(own, deliver=place.inbox, audit=None)
    made.admit(("site-a", "site-b"))
    return made


def opens(admission: Admission, credentials: Credentials) -> x509.Certificate:
    """Open a stream as gRPC would after the handshake."""
    facts = {"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [credentials.certificate]}
    return admission.opens(facts, "ipv4:10.1.0.10:4242")[1]


def test_of_a_site_three_streams_may_wait_for_their_greeting_and_each_that_greets_makes_room(
    place: Place, admission: Admission
) -> None:
    who, other = place.issue("site-a"), place.issue("site-b")
    for _ in range(3):
        opens(admission, who)
    with pytest.raises(Refusal, match="3 streams of this site wait for their greeting already"):
        opens(admission, who)
    opens(admission, other)
    admission.has_greeted("site-a")
    opens(admission, who)


def test_a_certificate_that_is_revoked_between_opening_and_greeting_does_not_greet(
    place: Place, admission: Admission
) -> None:
    certificate = opens(admission, place.issue("site-a"))
    revoked = frozenset({certificate.serial_number})
    admission.renew(replace(admission.credentials, revoked=revoked))
    with pytest.raises(Refusal, match="is revoked"):
        admission.greets("site-a", certificate)
    assert admission.serials() == {}


def test_a_site_that_is_taken_from_the_roster_between_opening_and_greeting_does_not_greet(
    place: Place, admission: Admission
) -> None:
    certificate = opens(admission, place.issue("site-a"))
    admission.admit(("site-b",))
    with pytest.raises(Refusal, match="site-a is not on the roster any more"):
        admission.greets("site-a", certificate)
    assert admission.serials() == {}


def test_negative_control_a_certificate_that_is_good_greets_and_is_known_from_then_on(
    place: Place, admission: Admission
) -> None:
    certificate = opens(admission, place.issue("site-a"))
    admission.renew(replace(admission.credentials, revoked=frozenset({certificate.serial_number + 1})))
    admission.greets("site-a", certificate)
    assert admission.serials() == {"site-a": f"{certificate.serial_number:x}"}
