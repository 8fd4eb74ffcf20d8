"""The book of a run, as its settings and its last checkpoint have it."""

from __future__ import annotations

import secrets

from fl_app.config import RunConfig
from fl_app.rounds.book import RoundBook, Rules
from fl_app.rounds.checkpoint import Found
from fl_app.rounds.deadline import Deadline
from fl_app.rounds.selection import Selection


def open_book(config: RunConfig, run: str, members: tuple[str, ...], found: Found | None) -> RoundBook:
    """Open the book where the run stands.

    Args:
        config: the aggregator's run files.
        run: its name.
        members: who takes part.
        found: the last checkpoint; None for a new run.
    """
    training, policy = config.training, config.policy
    selection = Selection(policy.selection, policy.fraction, training.seed)
    rules = Rules(training.rounds, policy.quorum, policy.deadline_seconds, selection)
    edition = secrets.token_hex(4)
    if found is None:
        return RoundBook(rules, run, members, edition=edition)
    stands = found.progress
    return RoundBook(
        rules,
        run,
        members,
        round_=stands.next_round,
        asked=stands.asked,
        samples=stands.samples,
        deadline=Deadline(policy.deadline_seconds, stands.took),
        ends_after=stands.ends_after,
        edition=edition,
    )
