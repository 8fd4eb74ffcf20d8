"""Which sites are asked: the same choice everywhere, the right number, and as likely as it says."""

from __future__ import annotations

from collections import Counter

import pytest

from fl_app.rounds.selection import Selection

SITES = tuple("abcdefgh")
SAMPLES = dict.fromkeys(SITES, 100)


def test_all_are_asked_by_default() -> None:
    assert Selection().draw(3, SITES, {}) == SITES


@pytest.mark.parametrize(("fraction", "count"), [(0.5, 4), (0.3, 3), (0.01, 1), (1.0, 8), (0.125, 1), (0.25, 2)])
def test_a_fraction_is_rounded_up_and_never_nobody(fraction: float, count: int) -> None:
    chosen = Selection("fraction", fraction).draw(0, SITES, {})
    assert len(chosen) == count
    assert list(chosen) == sorted(chosen)  # the members' order


def test_the_choice_depends_on_seed_and_round_alone() -> None:
    draws = [Selection("fraction", 0.5, seed=1).draw(round_, SITES, {}) for round_ in range(50)]
    assert draws == [Selection("fraction", 0.5, seed=1).draw(round_, SITES, {}) for round_ in range(50)]
    assert len(set(draws)) > 20
    assert draws != [Selection("fraction", 0.5, seed=2).draw(round_, SITES, {}) for round_ in range(50)]


def test_one_site_more_does_not_shuffle_the_others() -> None:
    for round_ in range(50):
        before = set(Selection("fraction", 0.5).draw(round_, SITES, {}))
        after = set(Selection("fraction", 0.5).draw(round_, (*SITES, "z"), {}))
        assert len(before - after) <= 1


def test_every_site_is_as_likely_as_another() -> None:
    rounds = 4000
    drawn = Counter(site for r in range(rounds) for site in Selection("fraction", 0.25).draw(r, SITES, {}))
    for site in SITES:  # 1000 are expected, with a standard deviation of 27
        assert drawn[site] == pytest.approx(rounds / 4, abs=5 * 27)


def test_by_data_size_the_first_of_a_draw_is_in_proportion_to_the_samples() -> None:
    samples = {"a": 100, "b": 200, "c": 700}
    rounds = 4000
    drawn = Counter(Selection("data_size", 0.3).draw(r, ("a", "b", "c"), samples)[0] for r in range(rounds))
    for site, count in samples.items():
        assert drawn[site] / rounds == pytest.approx(count / 1000, abs=0.04)


def test_by_data_size_a_site_of_unknown_size_is_asked() -> None:
    assert Selection("data_size", 0.25).draw(0, SITES, {}) == SITES
    known = dict.fromkeys(SITES[:-1], 100)
    chosen = Selection("data_size", 0.25).draw(0, SITES, known)
    assert "h" in chosen
    assert len(chosen) == 2
