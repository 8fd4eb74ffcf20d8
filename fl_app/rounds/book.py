"""Who has answered the round, and whether it may close. Pure: messages and the time are handed in, nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["counts", "stale", "duplicate"]


@dataclass(frozen=True, slots=True)
class Rules:
    """When a round closes.

    Attributes:
        roster: the sites, in the order in which updates are aggregated.
        rounds: of the whole run; the exchange after the last one only evaluates.
        quorum: sites that must answer; None for all.
        deadline_seconds: a round closes then, given the quorum; None waits for all.
    """

    roster: tuple[str, ...]
    rounds: int
    quorum: int | None = None
    deadline_seconds: float | None = None

    @property
    def needed(self) -> int:
        """Answers without which no round closes."""
        return self.quorum or len(self.roster)


class RoundBook:
    """The state of the current round.

    A round opens as soon as as many sites are connected as it needs, and its deadline runs from there. It closes when
    every site of the roster has answered, or at the deadline with enough of them; without enough it waits.
    """

    def __init__(self, rules: Rules, run: str, round_: int = 0) -> None:
        self.rules = rules
        self.run = run
        self.round = round_
        self.opened_at: float | None = None
        self.connected: set[str] = set()
        self._answers: dict[str, Mapping[str, Any]] = {}

    @property
    def only_evaluates(self) -> bool:
        """Whether all rounds are done and the sites only evaluate the final model."""
        return self.round >= self.rules.rounds

    @property
    def answers(self) -> Mapping[str, Mapping[str, Any]]:
        """Site to the metrics of its answer, in the roster's order."""
        return {site: self._answers[site] for site in self.rules.roster if site in self._answers}

    def joined(self, site: str, now: float) -> None:
        """Note that a site is there."""
        self.connected.add(site)
        self._open_if_enough(now)

    def left(self, site: str) -> None:
        """Note that a site is gone."""
        self.connected.discard(site)

    def judge(self, site: str, run: str, round_: int) -> Verdict:
        """Say whether an answer is to this round, and the site's first."""
        if run != self.run or round_ != self.round:
            return "stale"
        return "duplicate" if site in self._answers else "counts"

    def answered(self, site: str, metrics: Mapping[str, Any]) -> None:
        """Count an answer that was judged to count."""
        self._answers[site] = metrics

    def may_close(self, now: float) -> bool:
        """Say whether the round is complete, or its time is up with enough answers."""
        if len(self._answers) == len(self.rules.roster):
            return True
        limit = self.rules.deadline_seconds
        if limit is None or self.opened_at is None or now < self.opened_at + limit:
            return False
        return len(self._answers) >= self.rules.needed

    def waiting_for(self) -> tuple[str, ...]:
        """Return the sites that have not answered, in the roster's order."""
        return tuple(site for site in self.rules.roster if site not in self._answers)

    def advance(self, now: float) -> None:
        """Go to the next round."""
        self.round += 1
        self.opened_at = None
        self._answers.clear()
        self._open_if_enough(now)

    def _open_if_enough(self, now: float) -> None:
        if self.opened_at is None and len(self.connected) >= self.rules.needed:
            self.opened_at = now
