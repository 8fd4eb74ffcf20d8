"""The rules of a round: who is asked, what counts, when it closes, and what happens when sites come and go."""

from __future__ import annotations

from fl_app.rounds.book import RoundBook, Rules
from fl_app.rounds.deadline import Deadline
from fl_app.rounds.selection import Selection

SITES = ("a", "b", "c")
RUN = "run"


def book(quorum: int | None = None, deadline: float | None = None, members: tuple[str, ...] = SITES) -> RoundBook:
    return RoundBook(Rules(5, quorum, deadline), RUN, members)


def answer(found: RoundBook, *sites: str, now: float = 0.0) -> None:
    for site in sites:
        assert found.judge(site, RUN, found.round) == "counts"
        found.answered(site, {"site": site}, now)


def test_a_round_without_deadline_closes_when_all_have_answered() -> None:
    found = book()
    for site in SITES:
        found.joined(site, 0.0)
    for site in SITES:
        assert not found.may_close(1e9)
        answer(found, site)
    assert found.may_close(0.0)


def test_a_round_closes_at_the_deadline_with_a_quorum_and_not_before() -> None:
    found = book(quorum=2, deadline=10.0)
    for site in SITES:
        found.joined(site, 0.0)
    answer(found, "a")
    assert not found.may_close(99.0)  # one is no quorum, however late it is
    answer(found, "c")
    assert not found.may_close(9.9)
    assert found.may_close(10.0)
    assert found.waiting_for() == ("b",)


def test_the_deadline_runs_from_when_a_quorum_is_connected() -> None:
    found = book(quorum=2, deadline=10.0)
    found.joined("a", 0.0)
    assert found.closes_at is None
    found.joined("b", 100.0)
    assert found.closes_at == 110.0


def test_answers_to_another_round_or_run_are_stale_and_a_second_one_is_a_duplicate() -> None:
    found = book()
    assert found.judge("a", RUN, 1) == "stale"
    assert found.judge("a", "another run", 0) == "stale"
    answer(found, "a")
    assert found.judge("a", RUN, 0) == "duplicate"
    found.close(0.0)
    assert found.judge("a", RUN, 0) == "stale"
    assert found.judge("a", RUN, 1) == "counts"


def test_an_answer_from_another_process_s_model_is_stale() -> None:
    found = RoundBook(Rules(5), RUN, SITES, edition="second")
    assert found.judge("a", RUN, 0, "first") == "stale"
    assert found.judge("a", RUN, 0, "second") == "counts"


def test_answers_are_in_the_order_of_the_members_whatever_the_order_of_arrival() -> None:
    found = book()
    answer(found, "c", "a", "b")
    assert list(found.answers) == ["a", "b", "c"]


def test_nobody_waits_for_a_site_that_has_left_in_order_unless_the_quorum_needs_it() -> None:
    found = book(quorum=2)
    for site in SITES:
        found.joined(site, 0.0)
    answer(found, "a")
    found.left("c")
    assert not found.may_close(1e9)
    answer(found, "b")
    assert found.may_close(0.0)

    needed = book()
    answer(needed, "a", "b")
    needed.left("c")
    assert not needed.may_close(1e9)
    assert needed.waiting_for() == ("c",)


def test_a_site_that_has_left_and_comes_back_is_waited_for_again() -> None:
    found = book(quorum=2)
    found.left("c")
    found.joined("c", 0.0)
    answer(found, "a", "b")
    assert not found.may_close(1e9)


def test_who_joins_the_roster_is_asked_from_the_next_round_on() -> None:
    found = book()
    found.members_are((*SITES, "d"), 0.0)
    assert found.asked == SITES
    assert found.judge("d", RUN, 0) == "not asked"
    answer(found, *SITES)
    assert found.may_close(0.0)
    found.close(0.0)
    assert found.asked == (*SITES, "d")


def test_who_is_taken_from_the_roster_is_not_waited_for_and_an_answer_that_counted_stays() -> None:
    found = book()
    answer(found, "a", "b")
    found.members_are(("a", "b"), 0.0)
    assert found.may_close(0.0)

    counted = book()
    answer(counted, "a", "b")
    counted.members_are(("a", "c"), 0.0)
    assert list(counted.answers) == ["a", "b"]
    assert counted.waiting_for() == ("c",)
    counted.close(0.0)
    assert counted.asked == ("a", "c")


def test_without_any_member_nothing_closes_and_the_run_goes_on_with_the_next_one() -> None:
    found = book()
    found.members_are((), 0.0)
    assert not found.may_close(1e9)
    found.members_are(("d",), 0.0)
    assert found.asked == ("d",)
    answer(found, "d")
    assert found.may_close(0.0)


def test_a_part_of_the_sites_is_asked_and_the_round_closes_with_their_answers() -> None:
    rules = Rules(5, selection=Selection("fraction", 0.5, seed=3))
    found = RoundBook(rules, RUN, ("a", "b", "c", "d"))
    assert len(found.asked) == 2
    assert found.needed == 2
    others = set(found.members) - set(found.asked)
    assert {found.judge(site, RUN, 0) for site in others} == {"not asked"}
    answer(found, *found.asked)
    assert found.may_close(0.0)


def test_everybody_evaluates_the_final_model() -> None:
    rules = Rules(1, selection=Selection("fraction", 0.5))
    found = RoundBook(rules, RUN, SITES)
    answer(found, *found.asked)
    found.close(0.0)
    assert found.only_evaluates
    assert found.asked == SITES


def test_a_restart_asks_the_same_sites_again() -> None:
    rules = Rules(5, selection=Selection("fraction", 0.4))
    found = RoundBook(rules, RUN, SITES, round_=3, asked=("c", "b"))
    assert found.asked == ("c", "b")
    assert RoundBook(rules, RUN, ("a", "b"), round_=3, asked=("c",)).asked != ("c",)  # it is not a member any more


def test_a_run_that_ends_early_evaluates_after_the_current_round() -> None:
    found = book()
    answer(found, *SITES)
    found.end_early()
    assert not found.only_evaluates
    found.close(0.0)
    assert found.only_evaluates
    assert found.rounds == 1


def test_the_deadline_learns_from_answers_and_from_who_was_there_and_missed_it() -> None:
    rules = Rules(5, 2, "adaptive")
    found = RoundBook(rules, RUN, SITES, deadline=Deadline("adaptive"))
    for site in SITES:
        found.joined(site, 0.0)
        found.told(site, 0.0)
    assert found.closes_at is None  # nothing is known yet
    answer(found, "a", now=2.0)
    answer(found, "b", now=4.0)
    assert not found.may_close(1e9)  # so the first round waits for all
    answer(found, "c", now=10.0)
    found.close(10.0)
    assert found.closes_at == 40.0
    for site in SITES:
        found.told(site, 10.0)
    found.lost("b")
    answer(found, "a", now=39.0)
    assert found.closes_at == 40.0  # what is learned in a round counts from the next one on
    found.close(50.0)
    assert found.deadline.known()["c"] == [10.0, 80.0]  # there for 40 s, and not through
    assert found.deadline.known()["b"] == [4.0]  # it was not there: that says nothing of how long it takes
