"""The adaptive deadline: a few times what the slowest usually takes, for those who are asked."""

from __future__ import annotations

from fl_app.rounds.deadline import Deadline


def test_a_fixed_deadline_is_what_it_says_and_none_is_none() -> None:
    assert Deadline(12.0).seconds(["a"]) == 12.0
    assert Deadline(None).seconds(["a"]) is None


def test_nothing_is_known_before_the_first_answer() -> None:
    assert Deadline("adaptive").seconds(["a"]) is None


def test_it_is_three_times_the_median_of_the_slowest_that_is_asked() -> None:
    found = Deadline("adaptive", {"fast": [3.0, 3.0, 3.0], "slow": [20.0, 40.0, 30.0]})
    assert found.seconds(["fast", "slow"]) == 90.0
    assert found.seconds(["fast"]) == 9.0


def test_it_is_never_shorter_than_five_seconds_nor_longer_than_an_hour() -> None:
    assert Deadline("adaptive", {"a": [0.01]}).seconds(["a"]) == 5.0
    assert Deadline("adaptive", {"a": [1e6]}).seconds(["a"]) == 3600.0


def test_one_long_pause_changes_nothing() -> None:
    found = Deadline("adaptive", {"a": [10.0, 10.0, 10.0, 10.0]})
    found.missed("a", 3000.0)
    assert found.seconds(["a"]) == 30.0


def test_a_site_that_has_become_slower_than_its_deadline_makes_it_in_the_end() -> None:
    needs, found = 100.0, Deadline("adaptive", {"a": [10.0] * 5})
    missed = 0
    while (limit := found.seconds(["a"]) or 0.0) < needs:
        found.missed("a", limit)
        missed += 1
    assert 1 <= missed <= 8
    found.answered("a", needs)


def test_a_site_that_never_answers_does_not_hold_up_the_others_for_ever() -> None:
    found = Deadline("adaptive", {"a": [1.0] * 5, "silent": [1.0] * 5})
    for _ in range(8):
        found.missed("silent", found.seconds(["a", "silent"]) or 0.0)
    assert found.seconds(["a", "silent"]) == 5.0
    found.answered("silent", 90.0)
    assert (found.seconds(["a", "silent"]) or 0.0) > 90.0  # it is counted with again


def test_what_it_has_learned_survives_a_restart() -> None:
    before = Deadline("adaptive")
    before.answered("a", 7.0)
    assert Deadline("adaptive", before.known()).seconds(["a"]) == before.seconds(["a"]) == 21.0
