"""Conditions of links."""

from __future__ import annotations

import pytest

from infra.local.twin.network.conditions import Emulated, in_series


def test_delays_add_up_the_narrowest_rate_counts_and_losses_multiply():
    found = in_series([Emulated(80, 100, 10, 5), Emulated(20, 10, 10), Emulated(loss_percent=0)])

    assert (found.latency_ms, found.rate_mbit, found.jitter_ms) == (100, 10, 5)
    assert found.loss_percent == pytest.approx(19)


def test_no_conditions_are_those_of_a_healthy_link():
    assert in_series([]) == Emulated()


def test_conditions_survive_their_way_to_the_emulator():
    asked = Emulated(80, None, 1.5, 2, 30)

    assert Emulated.from_line(asked.as_line()) == asked


def test_a_queue_holds_a_round_trip_and_a_tenth_of_a_second_at_least():
    assert Emulated(latency_ms=300, rate_mbit=1).queue_seconds == 0.3
    assert Emulated(latency_ms=2, rate_mbit=1).queue_seconds == 0.1
    assert Emulated(queue_ms=5).queue_seconds == 0.005
