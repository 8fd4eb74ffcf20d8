"""A valid site that means harm: each of its tricks is refused with a reason and counted, and the others go on."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Iterator

import grpc
import pytest
import torch
from wire_place import GREETING, STATUS, TLS_NAME, Place, assert_others_go_on, letter, wait_until

from fl_app.transport.events import Received
from fl_app.transport.frames import CHUNK, Letter, letter_frames
from fl_app.transport.wire import Envelope, encode_header, encode_tensors

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def big(size: int) -> Letter:
    return Letter(1, b"{}", bytes(size))


def test_a_million_tiny_chunks_end_at_the_first(place: Place) -> None:
    hub = place.start_hub()
    asked = itertools.count()

    def frames() -> Iterator[bytes]:
        yield GREETING
        yield next(letter_frames(big(4 * CHUNK)))
        for _ in range(1_000_000):
            next(asked)
            yield b"\x03x"

    code, reason = place.raw(frames())
    assert (code, reason) == (INVALID, f"a chunk of 1 bytes; all but the last have {CHUNK}")
    assert next(asked) < 100_000
    assert hub.refused[reason] == 1
    assert_others_go_on(place)


def test_a_million_acknowledgements_end_at_the_first(place: Place) -> None:
    place.start_hub().send(
        "site-a", encode_header(Envelope("finish", "aggregator", "site-a", {"run": "r", "outcome": "done"})), b""
    )
    frames = itertools.chain([GREETING], itertools.repeat(b"\x04" + (1).to_bytes(8, "little"), 1_000_000))
    code, reason = place.raw(frames)
    assert code == INVALID
    assert "acknowledged" in reason
    assert_others_go_on(place)


def test_a_site_that_talks_without_being_asked_is_ended(place: Place) -> None:
    hub = place.start_hub()
    done = threading.Event()

    def work_off() -> None:
        while not done.is_set():
            hub.done_with("site-a")
            done.wait(0.001)

    thread = threading.Thread(target=work_off)
    thread.start()
    frames = [frame for number in range(1, 1000) for frame in letter(STATUS, number)]
    code, reason = place.raw([GREETING, *frames])
    done.set()
    thread.join()
    assert (code, reason) == (INVALID, "9 messages, for 0 that the aggregator had")


def test_messages_that_skip_a_number_or_come_again_and_again_are_refused(place: Place) -> None:
    hub = place.start_hub()
    assert place.raw([GREETING, *letter(STATUS, 5)]) == (INVALID, "message 5 comes after message 0")
    done = threading.Event()
    thread = threading.Thread(target=lambda: [hub.done_with("site-a") for _ in iter(lambda: done.wait(0.01), True)])
    thread.start()
    code, reason = place.raw([GREETING, *letter(STATUS) * 100])
    done.set()
    thread.join()
    assert (code, reason) == (INVALID, "messages that were received come again and again")
    assert place.inbox.wait_for(Received).envelope == STATUS
    assert_others_go_on(place)


def test_a_message_that_trickles_in_is_ended(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fl_app.transport.site_stream._MESSAGE_SECONDS", 0.5)
    monkeypatch.setattr("fl_app.transport.hub._LOOK_SECONDS", 0.1)
    monkeypatch.setattr("fl_app.transport.site_stream._SLOWEST_BYTES", 1 << 30)
    place.start_hub()
    ended = threading.Event()

    def frames() -> Iterator[bytes]:
        yield GREETING
        yield next(letter_frames(big(2 * CHUNK)))
        ended.wait(20)

    code, reason = place.raw(frames())
    ended.set()
    assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "a message came slower than 64 KiB/s")
    assert_others_go_on(place)


def test_connections_that_never_shake_hands_hold_nobody_up(place: Place) -> None:
    place.start_hub()
    sockets = [socket.create_connection(("127.0.0.1", place.port)) for _ in range(100)]
    sockets[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
    sockets[1].sendall(b"\x16\x03\x01")
    try:
        assert_others_go_on(place)
    finally:
        for one in sockets:
            one.close()


def test_connections_that_never_shake_hands_are_closed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fl_app.transport.options._HANDSHAKE_WITHIN_MS", 500)
    place.start_hub()
    with socket.create_connection(("127.0.0.1", place.port), timeout=10) as one:
        while one.recv(100):
            pass


def test_streams_without_a_greeting_do_not_use_up_the_threads_of_others(place: Place) -> None:
    place.start_hub()
    silent = threading.Event()
    who = place.issue()

    def says_nothing() -> Iterator[bytes]:
        silent.wait(30)
        yield GREETING

    threads = [threading.Thread(target=place.raw, args=(says_nothing(), who), daemon=True) for _ in range(30)]
    for thread in threads:
        thread.start()
    assert_others_go_on(place)
    silent.set()
    for thread in threads:
        thread.join(20)


def test_a_header_of_4_gb_is_not_waited_for(place: Place) -> None:
    hub = place.start_hub()
    code, reason = place.raw([GREETING, b"\x02" + (1).to_bytes(8, "little") + b"\xff" * 4 + bytes(8)])
    assert (code, reason) == (INVALID, "a header of 4294967295 bytes; at most 262144 are allowed")
    assert hub.refused[reason] == 1


@pytest.mark.parametrize("samples", [-1, 0, 10**9 + 1, 2**70, 1.5, True, "64", None])
def test_sample_counts_that_no_site_has_are_refused(place: Place, samples: object) -> None:
    place.start_hub()
    state = OrderedDict(weight=torch.zeros(2))
    told = {"run": "r", "round": 0, "edition": "e", "num_samples": samples, "metrics": {}}
    envelope = Envelope("update", "site-a", "aggregator", told, state)
    frames = letter_frames(Letter(1, encode_header(envelope), encode_tensors(state)))
    code, reason = place.raw([GREETING, *frames])
    assert code == INVALID
    assert reason.startswith("update: num_samples is")
    assert_others_go_on(place)


def test_plain_text_does_not_get_an_answer(place: Place) -> None:
    place.start_hub()
    with socket.create_connection(("127.0.0.1", place.port), timeout=10) as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1 2" not in one.recv(1000)
    assert_others_go_on(place)


def test_a_session_of_tls_is_not_resumed_past_the_certificate(place: Place) -> None:
    """With a ticket of an earlier handshake a client might skip showing its certificate: the stream looks again."""
    hub = place.start_hub()
    who = place.issue()
    context = ssl.create_default_context(cadata=place.authority.pem.decode())
    context.load_cert_chain(who.folder / "certificate.pem", who.folder / "key.pem")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", place.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=TLS_NAME) as first,
    ):
        first.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        first.recv(1000)
        ticket = first.session
    if ticket is None or not ticket.has_ticket:
        return  # the server gives none out: nothing to resume
    bare = ssl.create_default_context(cadata=place.authority.pem.decode())
    bare.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", place.port), timeout=10) as plain,
        pytest.raises((ssl.SSLError, ValueError, ConnectionError)),
        bare.wrap_socket(plain, server_hostname=TLS_NAME, session=ticket) as second,
    ):
        second.recv(1)
    assert hub.connected() == frozenset()


def test_the_refusals_are_counted_by_reason_and_recorded(place: Place) -> None:
    hub = place.start_hub()
    for _ in range(3):
        place.raw([GREETING, b"\x09"])
    wait_until(lambda: hub.refused)
    assert hub.refused == {"a frame of unknown type b'\\t'": 3}
    assert_others_go_on(place)
    assert place.inbox.is_quiet() or isinstance(place.inbox, Received)
