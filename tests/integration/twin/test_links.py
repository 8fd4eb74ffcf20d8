"""Emulated links between two namespaces, measured from their ends."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from linked_ends import alone, impossible
from needs import cannot_run

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True, scope="module")
def _possible() -> None:
    if lacking := impossible():
        reason = f"needs network namespaces: {lacking}"
        cannot_run(reason)


@pytest.mark.parametrize("as_user", [False, True], ids=["as it is", "in a user namespace"])
def test_80_ms_and_100_mbit_are_what_they_are_called_within_5_percent(as_user):
    runs = []
    while len(runs) < 3:  # a machine that does other things is measured again
        runs.append(alone("conditions", 80, 100, as_user=as_user))
        found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        if found["rtt_ms"] == pytest.approx(80, rel=0.05) and found["mbit"] == pytest.approx(100, rel=0.05):
            return
    pytest.fail(f"{runs}")


def test_each_direction_loses_the_share_that_was_asked_for():
    # 0.9 there and 0.9 back; 5 standard deviations of 4000 draws are 3.1 %.
    assert alone("share_answered", 10, 4000) == pytest.approx(0.81, abs=0.031)


def test_negative_control_without_loss_every_datagram_is_answered():
    assert alone("share_answered", 0, 4000) == 1.0


def test_large_sends_arrive_byte_by_byte_although_packets_are_lost_out_of_them():
    found = alone("sent_whole", 1, 20 << 20)

    assert found["whole"]
    assert found["counts"]["lost"][0] > 20


def test_a_cut_link_carries_nothing_keeps_its_routes_and_is_healed():
    found = alone("cut_and_healed")

    assert {name: found[name] for name in ("healthy", "cut", "healed")} == {"healthy": 3, "cut": 0, "healed": 3}
    assert {name: found[name] for name in ("shaped", "cut again", "healed again")} == {
        "shaped": 3,
        "cut again": 0,
        "healed again": 3,
    }
    assert "10.66.0.0/24 dev px0" in found["routes"]
    assert found["healed_ms"] < 5
    assert found["emulators"] == 0


def test_conditions_change_without_losing_what_is_on_its_way():
    assert alone("changed_on_the_way")["order"] == list(range(40))


def test_with_jitter_round_trips_vary_as_much_as_was_asked_for():
    for _ in range(3):  # a machine that does other things is measured again
        found = alone("jittered", 40, 20)
        assert min(found) > 20
        if statistics.median(found) == pytest.approx(40, abs=4):
            assert statistics.pstdev(found) > 3  # two uniform draws of +-10 ms have 8.2
            return
    pytest.fail(f"{found}")


def test_without_its_emulator_a_link_is_cut_until_it_is_shaped_anew():
    assert alone("emulator_killed") == {"before": 3, "dead": 0, "shaped anew": 3}


def test_the_emulator_of_a_deleted_link_ends_and_one_that_was_down_goes_on():
    assert alone("made_anew") == {"before": 3, "down and up": 3, "emulators": 0, "anew": 3}


def test_when_the_keeper_is_killed_its_emulators_end():
    assert alone("keeper_killed") == {"before": 1, "after": 0}
