"""The round protocol as a state machine: sites, a network that repeats and reorders, a server that dies and resumes.

What is tested is the book of the rounds; around it stands a model of what the server does with it (send the task at
once, make a round durable while the sites work on the next, never close before that), of the sites and of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from fault_federation import sizes
from fault_table import Tell
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fl_app.rounds.book import RoundBook, Rules
from fl_app.rounds.selection import Selection

pytestmark = pytest.mark.faults

SITES = ("a", "b", "c", "d")
ROUNDS = 4
FAR = 1e9

SITE = st.sampled_from(SITES)


@dataclass(frozen=True)
class Task:
    """What a site was given: ``model`` are the numbers of the fits that the model is made of."""

    run: str
    round: int
    edition: str
    model: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """An update that is under way; its number is that of the fit that it came from."""

    site: str
    task: Task
    number: int


@dataclass
class Closed:
    """A round of the history that a model has."""

    round: int
    asked: tuple[str, ...]
    answers: tuple[Answer, ...]


@dataclass
class Durable:
    """What a restarted server finds."""

    run: str = "run-1"
    history: list[Closed] = field(default_factory=list)
    asked: tuple[str, ...] = ()


class Protocol(RuleBasedStateMachine):
    """Any order of whatever may happen to sites, members, network, clock, disk and server."""

    new_book: Callable[..., RoundBook] = RoundBook

    @initialize(
        quorum=st.sampled_from([None, 1, 2, 3, 4]),
        deadline=st.sampled_from([None, 5.0, "adaptive"]),
        fraction=st.sampled_from([None, 0.5]),
    )
    def begin(self, quorum: int | None, deadline: Any, fraction: float | None) -> None:
        selection = Selection("fraction", fraction) if fraction else Selection()
        self.rules = Rules(ROUNDS, quorum, deadline, selection)
        self.now = 0.0
        self.members = SITES
        self.durable, self.being_saved = Durable(), None
        self.fits = self.processes = 0
        self.tasks: dict[str, Task] = {}
        self.under_way: list[Answer] = []
        self._resume()

    # -- sites ---------------------------------------------------------------------------------------------------

    @rule(site=SITE)
    def a_site_connects(self, site: str) -> None:
        if site in self.members:  # nobody else is admitted
            self.book.joined(site, self.now)
            self._give_task(site)
            self._close_if_due()

    @rule(site=SITE)
    def a_site_is_gone(self, site: str) -> None:
        self.book.lost(site)

    @rule(site=SITE)
    def a_site_leaves_in_order(self, site: str) -> None:
        if site in self.book.connected:
            self.book.left(site)
            self._close_if_due()
            self.book.lost(site)

    @rule(site=SITE)
    def a_site_fits_its_task(self, site: str) -> None:
        if site in self.tasks:
            self.fits += 1
            self.under_way.append(Answer(site, self.tasks[site], self.fits))

    @rule(members=st.sets(SITE, min_size=1))
    def the_roster_changes(self, members: set[str]) -> None:
        asked = set(self.book.asked)
        self.members = tuple(site for site in SITES if site in members)
        for site in set(SITES) - members:
            self.book.lost(site)
        self.book.members_are(self.members, self.now)
        if not set(self.book.asked) <= asked:
            self._give_tasks()
        self._close_if_due()

    # -- the network ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.under_way)
    @rule(choice=st.integers(0, 50), again=st.booleans())
    def an_answer_arrives(self, choice: int, again: bool) -> None:
        answer = self.under_way[choice % len(self.under_way)]
        if not again:
            self.under_way.remove(answer)
        if answer.site not in self.members:  # it has no stream to come on
            return
        task = answer.task
        verdict = self.book.judge(answer.site, task.run, task.round, task.edition)
        is_to_this = (task.run, task.round, task.edition) == (self.book.run, self.book.round, self.book.edition)
        if not is_to_this:
            assert verdict == "stale"
        elif answer.site in {one.site for one in self.counted}:
            assert verdict == "duplicate"
        else:
            assert verdict == ("counts" if answer.site in self.book.asked else "not asked")
        if verdict == "counts":
            self._count(answer)
            self._close_if_due()

    @precondition(lambda self: self.under_way)
    @rule(choice=st.integers(0, 50))
    def an_answer_is_lost(self, choice: int) -> None:
        del self.under_way[choice % len(self.under_way)]

    # -- the clock, the disk, the server --------------------------------------------------------------------------

    @rule(seconds=st.floats(0.0, 8.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self._close_if_due()

    @precondition(lambda self: self.being_saved)
    @rule()
    def the_checkpoint_is_durable(self) -> None:
        self.durable, self.being_saved = self.being_saved, None

    @rule(made_it=st.booleans())
    def the_server_is_killed_and_resumes(self, made_it: bool) -> None:
        if made_it and self.being_saved:
            self.durable = self.being_saved
        self._resume()

    @rule()
    def the_run_is_begun_anew(self) -> None:
        self.durable = Durable(f"run-{int(self.durable.run.removeprefix('run-')) + 1}")
        self._resume()

    @precondition(lambda self: not self.book.only_evaluates)
    @rule()
    def the_run_is_to_end_early(self) -> None:
        if self.book.round >= 1 and self.book.ends_after is None:
            self.book.end_early()

    def _resume(self) -> None:
        self.being_saved = None
        self.processes += 1
        self.history = list(self.durable.history)
        self.counted: list[Answer] = []
        self.book = self.new_book(
            self.rules,
            self.durable.run,
            self.members,
            round_=len(self.history),
            asked=self.durable.asked,
            edition=str(self.processes),
        )

    def _give_task(self, site: str) -> None:
        if site in self.book.asked:
            model = tuple(answer.number for closed in self.history for answer in closed.answers)
            self.tasks[site] = Task(self.book.run, self.book.round, self.book.edition, model)
            self.book.told(site, self.now)

    def _give_tasks(self) -> None:
        for site in self.book.connected:
            self._give_task(site)

    def _count(self, answer: Answer) -> None:
        self.counted.append(answer)
        self.book.answered(answer.site, {"number": answer.number}, self.now)

    def _close_if_due(self) -> None:
        if self.book.only_evaluates or not self.book.may_close(self.now):
            return
        assert len(self.counted) >= self.book.needed
        self.history.append(Closed(self.book.round, self.book.asked, tuple(self.counted)))
        self.book.close(self.now)
        self.counted = []
        if self.being_saved:  # a round does not close before the one before is durable
            self.durable = self.being_saved
        self._give_tasks()
        self.being_saved = Durable(self.book.run, list(self.history), self.book.asked)

    # -- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def no_round_is_skipped_or_done_twice(self) -> None:
        assert [closed.round for closed in self.history] == list(range(self.book.round))

    @invariant()
    def a_kill_loses_one_round_at_most(self) -> None:
        assert len(self.history) - len(self.durable.history) <= 1

    @invariant()
    def no_update_counts_twice(self) -> None:
        for answers in (*(closed.answers for closed in self.history), tuple(self.counted)):
            assert len({answer.site for answer in answers}) == len(answers)
        fits = [answer.number for closed in self.history for answer in closed.answers]
        fits += [answer.number for answer in self.counted]
        assert len(set(fits)) == len(fits)

    @invariant()
    def every_update_is_to_its_round_and_run_by_a_site_that_was_asked(self) -> None:
        for closed in self.history:
            assert {(answer.task.run, answer.task.round) for answer in closed.answers} == {
                (self.book.run, closed.round)
            }
            assert {answer.site for answer in closed.answers} <= set(closed.asked)

    @invariant()
    def every_update_was_fitted_from_the_model_that_it_is_added_to(self) -> None:
        model: tuple[int, ...] = ()
        for answers in (*(closed.answers for closed in self.history), tuple(self.counted)):
            assert all(answer.task.model == model for answer in answers)
            model += tuple(answer.number for answer in answers)

    @invariant()
    def the_answers_are_those_that_were_counted_in_the_members_order(self) -> None:
        expected = sorted(self.counted, key=lambda answer: SITES.index(answer.site))
        assert [metrics["number"] for metrics in self.book.answers.values()] == [one.number for one in expected]
        assert self.book.waiting_for() == tuple(site for site in self.book.asked if site not in self.book.answers)

    @invariant()
    def a_round_is_open_while_a_quorum_of_those_that_are_asked_is_connected(self) -> None:
        if len(self.book.connected & set(self.book.asked)) >= self.book.needed:
            assert self.book.opened_at is not None

    def teardown(self) -> None:
        """From wherever we are: with a quorum connected that answers, and time, the run comes to its end."""
        if not hasattr(self, "rules"):
            return
        while not self.book.only_evaluates:
            before = self.book.round
            everybody = self.rules.deadline_seconds is None or self.book.closes_at is None
            enough = self.book.asked if everybody else self.book.asked[-self.book.needed :]
            assert set(enough) <= set(self.members), "who is no member is waited for"
            for site in enough:
                self.a_site_connects(site)
            for site in enough:
                if self.book.round == before and site not in self.book.answers:
                    self.fits += 1
                    answer = Answer(site, self.tasks[site], self.fits)
                    assert self.book.judge(site, self.book.run, before, answer.task.edition) == "counts"
                    self._count(answer)
            self.now += FAR
            if self.book.round == before:
                self._close_if_due()
            assert self.book.round == before + 1, "a quorum is connected and has answered, and no round closes"


def check(machine: type[Protocol], *, examples: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            report_multiple_bugs=False,
            phases=phases,
        ),
    )


def test_whatever_happens_no_update_counts_twice_no_round_is_skipped_and_a_quorum_gets_on(tell: Tell) -> None:
    examples = sizes(150, 3000)
    check(Protocol, examples=examples)
    tell("anything in any order, as a state machine", f"{examples} runs: every rule holds, every run can end")


class CountsAgain(RoundBook):
    def judge(self, site: str, run: str, round_: int, edition: str = "") -> str:  # type: ignore[override]
        found = super().judge(site, run, round_, edition)
        return "counts" if found == "duplicate" else found


class ForgetsTheEdition(RoundBook):
    def judge(self, site: str, run: str, round_: int, edition: str = "") -> str:  # type: ignore[override]
        return super().judge(site, run, round_, self.edition)


class AsksWhoIsNoMember(RoundBook):
    def members_are(self, members: Sequence[str], now: float) -> None:
        asked = self.asked
        super().members_are(members, now)
        self.asked = asked


class OpensOnlyAtAJoin(RoundBook):
    def close(self, now: float) -> None:
        super().close(now)
        self.opened_at = None

    def joined(self, site: str, now: float) -> None:
        known = site in self.connected
        super().joined(site, now)
        if known:
            self.opened_at = None


class Skips(RoundBook):
    def close(self, now: float) -> None:
        super().close(now)
        self.round += len(self.connected) == len(SITES)


@pytest.mark.parametrize("broken", [CountsAgain, ForgetsTheEdition, AsksWhoIsNoMember, OpensOnlyAtAJoin, Skips])
def test_a_book_that_breaks_a_rule_is_found_out(broken: type[RoundBook]) -> None:
    """The negative controls."""

    class Broken(Protocol):
        new_book = staticmethod(broken)

    with pytest.raises(AssertionError):
        check(Broken, examples=3000, phases=[Phase.generate])  # any failure will do, it need not be the smallest
