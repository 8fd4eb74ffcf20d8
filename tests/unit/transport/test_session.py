"""Sessions: what was on its way when a stream broke is sent again, and counts once."""

from __future__ import annotations

import itertools
import time

from fl_app.transport.frames import Ack, Assembler, Hello, Letter
from fl_app.transport.session import Session, StreamWriter


class End:
    """One side with its current stream; ``take`` feeds it what the other side has written."""

    def __init__(self, *, answers: bool) -> None:
        self.session = Session(answers=answers)
        self.arrived: list[bytes] = []
        self.began: list[bool] = []
        self.open()

    def open(self) -> None:
        self.writer = StreamWriter(self.session)
        self.assembler = Assembler(1 << 20)
        if not self.session._answers:
            self.writer.greet(self.session.greeting())

    def written(self) -> list[bytes]:
        """Return the frames that this side would write now, without waiting for more."""
        frames, found = self.writer.frames(), []
        while self._has_more():
            found.append(next(frames))
        return found

    def _has_more(self) -> bool:
        with self.session.changed:
            letter = self.writer._greeted and self.session.first_after(self.writer._sent)
            return bool(self.writer._control or letter)

    def take(self, frames: list[bytes]) -> None:
        for frame in frames:
            found = self.assembler.feed(frame)
            if isinstance(found, Hello):
                goes_on = self.session.greeted(found)
                self.began.append(not goes_on)
                if self.session._answers:
                    self.writer.greet(self.session.greeting())
                self.writer.start_letters()
            elif isinstance(found, Ack):
                self.session.acknowledged(found)
            elif isinstance(found, Letter):
                if self.session.is_new(found.number):
                    self.arrived.append(found.header)
                self.writer.acknowledge(found.number)


def exchange(site: End, hub: End, times: int = 4) -> None:
    for _ in range(times):
        hub.take(site.written())
        site.take(hub.written())


def pair() -> tuple[End, End]:
    site, hub = End(answers=False), End(answers=True)
    exchange(site, hub)
    assert site.began == hub.began == [True]
    return site, hub


def test_messages_arrive_in_order_both_ways() -> None:
    site, hub = pair()
    for text in (b"1", b"2", b"3"):
        site.session.put(text, b"")
    hub.session.put(b"model", b"")
    exchange(site, hub)

    assert hub.arrived == [b"1", b"2", b"3"]
    assert site.arrived == [b"model"]
    assert site.session.wait_until_empty(0)
    assert hub.session.wait_until_empty(0)


def test_a_message_that_was_lost_with_its_stream_is_sent_again_and_counts_once() -> None:
    for taken, acknowledged in itertools.product((0, 1, 2), (False, True)):
        site, hub = pair()
        site.session.put(b"1", b"")
        site.session.put(b"2", b"")
        hub.take(site.written()[:taken])
        if acknowledged:
            site.take(hub.written())
        site.open()
        hub.open()
        exchange(site, hub)

        assert hub.arrived == [b"1", b"2"], (taken, acknowledged)
        assert hub.began == site.began == [True, False]


def test_a_new_process_on_either_side_begins_a_new_session() -> None:
    site, hub = pair()
    site.session.put(b"old", b"")
    hub = End(answers=True)  # the aggregator was killed and has started again
    site.open()
    exchange(site, hub)
    assert site.began[-1]
    assert hub.arrived == []  # what the site said to the process before does not count: the round's rules decide

    hub.session.put(b"old", b"")
    site = End(answers=False)
    hub.open()
    exchange(site, hub)
    assert hub.began[-1]
    assert site.began == [True]
    assert site.arrived == []
    site.session.put(b"new", b"")
    exchange(site, hub)
    assert hub.arrived == [b"new"]


def test_a_site_that_comes_back_after_another_with_its_name_begins_a_new_session() -> None:
    site, hub = pair()
    twin = End(answers=False)
    hub.open()
    exchange(twin, hub)
    hub.open()
    site.open()
    exchange(site, hub)

    assert site.began == [True, True]
    site.session.put(b"1", b"")
    exchange(site, hub)
    assert hub.arrived == [b"1"]


def test_a_site_that_was_away_gets_the_newest_model_and_no_backlog() -> None:
    site, hub = pair()
    for text in (b"round 1", b"round 2", b"round 3"):
        hub.session.put(text, b"", supersede=True)
    exchange(site, hub)
    assert site.arrived == [b"round 3"]


def test_a_stream_ends_when_its_time_is_over() -> None:
    writer = StreamWriter(Session(answers=True), until=time.time() - 1)
    assert list(writer.frames()) == []
    assert writer.expired
