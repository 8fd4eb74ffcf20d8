"""One direction of an emulated link, by a clock that the test moves."""

from __future__ import annotations

import pytest

from infra.local.twin.network.conditions import Emulated
from infra.local.twin.network.lane import Lane

#: Virtio and Ethernet headers, then 1000 bytes of IP: one packet.
FRAME = bytes(24 + 1000)


def frame(number: int) -> bytes:
    return FRAME[:-4] + number.to_bytes(4, "big")


def numbers(lane: Lane, now: float) -> list[int]:
    return [int.from_bytes(found[-4:], "big") for found in lane.leaving(now)]


def test_a_packet_is_on_its_way_for_half_of_the_round_trip():
    lane = Lane(Emulated(latency_ms=80), 0)
    lane.enter(frame(1), 10.0)

    assert numbers(lane, 10.039) == []
    assert lane.next_at() == pytest.approx(10.04)
    assert numbers(lane, 10.0401) == [1]
    assert lane.next_at() is None


def test_packets_go_through_one_after_the_other_at_the_rate():
    lane = Lane(Emulated(rate_mbit=8), 0)  # 1000 bytes take a millisecond
    for number in range(3):
        lane.enter(frame(number), 5.0)

    assert [numbers(lane, 5.0 + at) for at in (0.0009, 0.0011, 0.0021, 0.0031)] == [[], [0], [1], [2]]


def test_who_looks_late_adds_no_delay_to_what_was_through_in_time():
    lane = Lane(Emulated(rate_mbit=8, latency_ms=20), 0)
    for number in range(3):
        lane.enter(frame(number), 5.0)

    assert numbers(lane, 5.0131) == [0, 1, 2]


def test_a_full_queue_drops_what_comes():
    lane = Lane(Emulated(rate_mbit=80, queue_ms=100), 0)  # 1 MB
    for number in range(1100):
        lane.enter(frame(number), 1.0)

    assert lane.dropped == pytest.approx(100, abs=10)
    assert numbers(lane, 9.0) == list(range(1100 - lane.dropped))


def test_without_a_rate_nothing_is_dropped():
    lane = Lane(Emulated(latency_ms=100), 0)
    for number in range(20_000):
        lane.enter(frame(number), 1.0)

    assert len(numbers(lane, 2.0)) == 20_000
    assert lane.dropped == 0


def test_new_conditions_lose_nothing_and_nobody_overtakes():
    lane = Lane(Emulated(latency_ms=200, rate_mbit=8), 0)
    for number in range(5):
        lane.enter(frame(number), 1.0)
    lane.conditions = Emulated()
    for number in range(5, 10):
        lane.enter(frame(number), 1.05)

    assert numbers(lane, 1.2) == list(range(10))


def test_the_same_seed_loses_the_same_packets():
    def survivors(seed: int) -> list[int]:
        lane = Lane(Emulated(loss_percent=30), seed)
        for number in range(1000):
            lane.enter(frame(number), 1.0)
        return numbers(lane, 1.0)

    assert survivors(1) == survivors(1)
    assert survivors(1) != survivors(2)
    assert len(survivors(1)) == pytest.approx(700, abs=75)  # 5 standard deviations


def test_jitter_keeps_its_bounds_and_the_order():
    lane = Lane(Emulated(latency_ms=100, jitter_ms=40), 3)
    arrivals = []
    for number in range(200):
        lane.enter(frame(number), float(number))
        at = lane.next_at()
        assert at is not None
        arrivals.append(at - number)
        assert numbers(lane, number + 0.5) == [number]

    assert 0.03 <= min(arrivals) < 0.04 < 0.06 < max(arrivals) <= 0.07
