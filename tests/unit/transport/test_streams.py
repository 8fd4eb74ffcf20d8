"""The two ends over real sockets: what flows, what is refused of it and why, and that the others go on.

Every refusal starts from frames that are accepted, and changes one thing.
"""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import torch
from wire_place import GREETING, STATUS, Inbox, Place, assert_others_go_on, letter

from fl_app.errors import ConfigError, RefusedError
from fl_app.transport.events import Failed, Joined, Left, Received, Returned
from fl_app.transport.frames import CHUNK, Letter, letter_frames
from fl_app.transport.wire import Envelope, encode_header, encode_tensors


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


class RunsWhenUnpickled:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


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
