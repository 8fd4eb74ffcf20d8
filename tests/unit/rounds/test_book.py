"""The round's rules as a state machine: no update counts twice, no round is skipped, and a quorum always gets on."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fl_app.rounds.book import RoundBook, Rules

SITES = ("a", "b", "c")
RUN = "run"


def book(quorum: int | None = None, deadline: float | None = None) -> RoundBook:
    return RoundBook(Rules(SITES, 5, quorum, deadline), RUN)


def test_a_round_without_deadline_closes_when_all_have_answered() -> None:
    found = book()
    for site in SITES:
        found.joined(site, 0.0)
    for site in SITES:
        assert not found.may_close(1e9)
        assert found.judge(site, RUN, 0) == "counts"
        found.answered(site, {})
    assert found.may_close(0.0)


def test_a_round_closes_at_the_deadline_with_a_quorum_and_not_before() -> None:
    found = book(quorum=2, deadline=10.0)
    for site in SITES:
        found.joined(site, 0.0)
    found.answered("a", {})
    assert not found.may_close(99.0)  # one is no quorum, however late it is
    found.answered("c", {})
    assert not found.may_close(9.9)
    assert found.may_close(10.0)
    assert found.waiting_for() == ("b",)


def test_the_deadline_runs_from_when_a_quorum_is_connected() -> None:
    found = book(quorum=2, deadline=10.0)
    found.joined("a", 0.0)
    assert found.opened_at is None
    found.joined("b", 100.0)
    assert found.opened_at == 100.0


def test_answers_to_another_round_or_run_are_stale_and_a_second_one_is_a_duplicate() -> None:
    found = book()
    assert found.judge("a", RUN, 1) == "stale"
    assert found.judge("a", "another run", 0) == "stale"
    found.answered("a", {})
    assert found.judge("a", RUN, 0) == "duplicate"
    found.advance(0.0)
    assert found.judge("a", RUN, 0) == "stale"
    assert found.judge("a", RUN, 1) == "counts"


def test_answers_are_in_the_order_of_the_roster_whatever_the_order_of_arrival() -> None:
    found = book()
    for site in ("c", "a", "b"):
        found.answered(site, {"site": site})
    assert list(found.answers) == ["a", "b", "c"]


class Rounds(RuleBasedStateMachine):
    """Sites come, go, answer, repeat themselves and answer late, in any order."""

    @initialize(quorum=st.integers(1, 3), deadline=st.sampled_from([None, 5.0]))
    def begin(self, quorum: int, deadline: float | None) -> None:
        self.rules = Rules(SITES, 4, quorum, deadline)
        self.book = RoundBook(self.rules, RUN)
        self.now = 0.0
        self.counted: set[tuple[str, int]] = set()
        self.closed: list[int] = []

    @rule(site=st.sampled_from(SITES))
    def join(self, site: str) -> None:
        self.book.joined(site, self.now)

    @rule(site=st.sampled_from(SITES))
    def leave(self, site: str) -> None:
        self.book.left(site)

    @rule(site=st.sampled_from(SITES), late=st.integers(0, 2))
    def answer(self, site: str, late: int) -> None:
        round_ = self.book.round - late
        if self.book.judge(site, RUN, round_) == "counts":
            assert (site, round_) not in self.counted
            self.counted.add((site, round_))
            self.book.answered(site, {})

    @rule(seconds=st.floats(0.0, 10.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.book.may_close(self.now))
    @rule()
    def close(self) -> None:
        assert len(self.book.answers) >= self.rules.needed
        self.closed.append(self.book.round)
        self.book.advance(self.now)

    @invariant()
    def no_round_is_skipped(self) -> None:
        if hasattr(self, "closed"):
            assert self.closed == list(range(len(self.closed)))

    @invariant()
    def a_connected_quorum_that_answers_gets_on(self) -> None:
        """From wherever we are: if every connected site answered and time went by, the round closes or lacks some."""
        if not hasattr(self, "book") or len(self.book.connected) < self.rules.needed:
            return
        answers = set(self.book.answers) | self.book.connected
        if len(answers) < len(SITES) and self.rules.deadline_seconds is None:
            return
        ahead = RoundBook(self.rules, RUN, self.book.round)
        for site in self.book.connected:
            ahead.joined(site, self.now)
        for site in answers:
            ahead.answered(site, {})
        assert ahead.may_close(self.now + 1e6)


Rounds.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRounds = Rounds.TestCase
