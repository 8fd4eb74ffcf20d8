"""Who is asked, who has answered, and whether the round may close. Pure: messages and the time are handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fl_app.rounds.deadline import Deadline
from fl_app.rounds.selection import Selection

Verdict = Literal["counts", "stale", "duplicate", "not asked"]


@dataclass(frozen=True, slots=True)
class Rules:
    """When a round closes.

    Attributes:
        rounds: of the whole run; the exchange after the last one only evaluates.
        quorum: sites that must answer, of those that are asked; None for all.
        deadline_seconds: as :class:`~fl_app.rounds.deadline.Deadline` takes it; None waits for all.
        selection: who is asked.
    """

    rounds: int
    quorum: int | None = None
    deadline_seconds: float | Literal["adaptive"] | None = None
    selection: Selection = field(default_factory=Selection)


class RoundBook:
    """The state of the current round.

    The members are asked, or a part of them. A round opens as soon as as many of those are connected as it needs, and
    its deadline runs from there; how long it is, is settled then. It closes when every one of them has answered, or at
    the deadline with enough of them; without enough it waits. A site that has left in order is not waited for where the
    quorum is reached without it.
    """

    def __init__(
        self,
        rules: Rules,
        run: str,
        members: Sequence[str],
        *,
        round_: int = 0,
        asked: Sequence[str] | None = None,
        samples: Mapping[str, int] | None = None,
        deadline: Deadline | None = None,
        ends_after: int | None = None,
        edition: str = "",
    ) -> None:
        """Begin, or go on.

        Args:
            rules: of the run.
            run: its name.
            members: the sites, in the order in which updates are aggregated.
            round_: to begin with.
            asked: who is asked in it, if that was drawn before a restart.
            samples: site to training samples, as far as they are known.
            deadline: with what was learned before a restart.
            ends_after: rounds after which the run ends early, if that was decided before a restart.
            edition: of the models that this process sends, see :meth:`judge`.
        """
        self.rules, self.run, self.round, self.edition = rules, run, round_, edition
        self.members = tuple(members)
        self.samples = dict(samples or {})
        self.deadline = deadline or Deadline(rules.deadline_seconds)
        self.opened_at: float | None = None
        self._limit: float | None = None
        self.connected: set[str] = set()
        self._left: set[str] = set()
        self._told_at: dict[str, float] = {}
        self._answers: dict[str, Mapping[str, Any]] = {}
        self.ends_after = ends_after
        self.asked: tuple[str, ...] = ()
        self._ask(asked)

    @property
    def rounds(self) -> int:
        """Rounds of the run: those that were planned, or fewer if it ends early."""
        return min(self.rules.rounds, self.ends_after) if self.ends_after else self.rules.rounds

    @property
    def only_evaluates(self) -> bool:
        """Whether all rounds are done and the sites only evaluate the final model."""
        return self.round >= self.rounds

    @property
    def needed(self) -> int:
        """Answers without which this round does not close."""
        return min(self.rules.quorum or len(self.asked), len(self.asked))

    @property
    def answers(self) -> Mapping[str, Mapping[str, Any]]:
        """Site to the metrics of its answer, in the members' order."""
        return {site: self._answers[site] for site in self.asked if site in self._answers}

    @property
    def closes_at(self) -> float | None:
        """When the deadline is, on the clock of the times that are handed in; None without one, or not open yet."""
        return None if self._limit is None or self.opened_at is None else self.opened_at + self._limit

    def joined(self, site: str, now: float) -> None:
        """Note that a site is there."""
        self.connected.add(site)
        self._left.discard(site)
        self._open_if_enough(now)

    def lost(self, site: str) -> None:
        """Note that a site has lost its connection."""
        self.connected.discard(site)
        self._told_at.pop(site, None)

    def left(self, site: str) -> None:
        """Note that a site has left in order: nobody waits for it unless the quorum needs it."""
        self._left.add(site)

    def has_left(self, site: str) -> bool:
        """Say whether a site has left in order and is not back."""
        return site in self._left

    def told(self, site: str, now: float) -> None:
        """Note that a site was given the task of this round."""
        self._told_at.setdefault(site, now)

    def judge(self, site: str, run: str, round_: int, edition: str = "") -> Verdict:
        """Say whether an answer is to this round, of a site that was asked, and the site's first.

        A crash may lose a round that had closed. It is done again, perhaps with other sites, and then the model of the
        next one is another. So each process of the aggregator gives its models an edition of its own, every answer
        names the one that it was made from, and what was fitted from a lost model is stale.
        """
        if (run, round_, edition) != (self.run, self.round, self.edition):
            return "stale"
        if site not in self.asked:
            return "not asked"
        return "duplicate" if site in self._answers else "counts"

    def answered(self, site: str, metrics: Mapping[str, Any], now: float, *, samples: int | None = None) -> None:
        """Count an answer that was judged to count."""
        self._answers[site] = metrics
        if samples is not None:
            self.samples[site] = samples
        if site in self._told_at:
            self.deadline.answered(site, now - self._told_at[site])

    def may_close(self, now: float) -> bool:
        """Say whether the round is complete, or its time is up with enough answers."""
        if not self.asked or len(self._answers) < self.needed:
            return False
        if all(site in self._answers or site in self._left for site in self.asked):
            return True
        closes_at = self.closes_at
        return closes_at is not None and now >= closes_at

    def waiting_for(self) -> tuple[str, ...]:
        """Return the sites that were asked and have not answered, in the members' order."""
        return tuple(site for site in self.asked if site not in self._answers)

    def close(self, now: float) -> None:
        """Go to the next round."""
        for site in self.waiting_for():
            if site in self.connected and site in self._told_at:
                self.deadline.missed(site, now - self._told_at[site])
        self.round += 1
        self.opened_at = None
        self._answers.clear()
        self._told_at.clear()
        self._ask(None)
        self._open_if_enough(now)

    def end_early(self) -> None:
        """Let the current round be the last; to be called before it is closed."""
        self.ends_after = min(self.rounds, self.round + 1)

    def members_are(self, members: Sequence[str], now: float) -> None:
        """Take another list of members.

        Who is new is asked from the next round on. Who is not a member any more is not asked and not waited for; an
        answer of its that was counted stays counted.
        """
        self.members = tuple(members)
        gone = [site for site in self.asked if site not in self.members and site not in self._answers]
        self.asked = tuple(site for site in self.asked if site not in gone)
        if not self.asked:  # nobody is left of those that were drawn: the round has not begun for anybody
            self._ask(None)
        self._left &= set(self.members)
        self._open_if_enough(now)

    def ask_also(self, now: float) -> tuple[str, ...]:
        """Ask all members in this round, because it cannot close without more of them; return those that are new."""
        new = tuple(site for site in self.members if site not in self.asked)
        self.asked += new
        self._open_if_enough(now)
        return new

    def _ask(self, asked: Sequence[str] | None) -> None:
        drawn = tuple(site for site in asked or () if site in self.members)
        if not drawn:
            everybody = self.only_evaluates
            drawn = self.members if everybody else self.rules.selection.draw(self.round, self.members, self.samples)
        self.asked = drawn

    def _open_if_enough(self, now: float) -> None:
        is_enough = len(self.connected.intersection(self.asked)) >= self.needed
        if self.opened_at is None and self.asked and is_enough:
            self.opened_at, self._limit = now, self.deadline.seconds(self.asked)
