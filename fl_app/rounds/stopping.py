"""Early stopping: training ends when a metric has not become better for a while."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

_log = logging.getLogger(__name__)

Metric = Literal["test_loss", "auroc", "auprc"]


@dataclass(frozen=True, slots=True)
class Best:
    """The best value so far and the round, counted from 0, whose model had it."""

    value: float
    round: int


class Remembers(Protocol):
    """Who knows the best model so far."""

    best: Best | None


@dataclass(frozen=True, slots=True)
class Patience:
    """When to stop.

    Attributes:
        metric: of the federation, over all sites that evaluated.
        rounds: without improvement, after which training ends.
        min_delta: what counts as an improvement, in the metric's unit.
    """

    metric: Metric
    rounds: int
    min_delta: float = 0.0

    def is_over(self, ledger: Remembers, record: Mapping[str, Any]) -> bool:
        """Take the record of a round whose model was evaluated, and say whether training ends."""
        ledger.best = best = better(self, ledger.best, record["federated"][self.metric], record["round"])
        if best is None or not is_exhausted(self, best, record["round"]):
            return False
        _log.info("%s has not got better since round %d: the current round is the last", self.metric, best.round + 1)
        return True


def better(patience: Patience, best: Best | None, value: float | None, round_: int) -> Best | None:
    """Return the best after one more round; a round without a value changes nothing."""
    if value is None:
        return best
    if best is None:
        return Best(value, round_)
    gain = best.value - value if patience.metric == "test_loss" else value - best.value
    return Best(value, round_) if gain > patience.min_delta else best


def is_exhausted(patience: Patience, best: Best | None, round_: int) -> bool:
    """Say whether training ends after the round that was evaluated last."""
    return best is not None and round_ - best.round >= patience.rounds
