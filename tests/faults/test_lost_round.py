"""A round that a crash has lost is done again, perhaps by other sites: what was fitted for the lost one is dropped."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from typing import Any

import pytest
from fault_federation import SEED, FaultFederation
from fault_table import Tell
from fl_processes import run_files, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.integration]
Make = Callable[..., FaultFederation]

#: A fit of site-a takes four batches; a round is open longer than that.
SLOW, DEADLINE = 1.2, 8.0
TRAINING = {"rounds": 4, "phase": "training", "waiting_for": []}


def told_of(run: FaultFederation, site: str) -> list[dict[str, Any]]:
    """Return what the aggregator's audit log says about a site."""
    lines = (run.state("aggregator") / "audit.jsonl").read_bytes().splitlines(keepends=True)
    entries = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [entry for entry in entries if entry["peer"] == site]


def test_an_update_that_was_fitted_from_a_lost_model_does_not_count_for_the_round_of_that_number(
    make_federation: Make, tell: Tell
) -> None:
    run = make_federation(rounds=4, quorum=2, round_deadline_seconds=DEADLINE)
    dataset = {"name": "watched_blobs", "options": {"pause": SLOW}}
    run.write("site-a", run_files("site-a", role="client", roster=run.sites, rounds=4, dataset=dataset))

    # round 1 closes with a and b; before it is durable the server dies, and a is in the middle of round 2
    run.traps["aggregator"] = ("checkpointing", 2, 0)
    run.start("site-a", "site-b", "aggregator")
    run.wait_for_trap("checkpointing")
    wait_until(lambda: run.progress("site-a") == {**TRAINING, "round": 2}, what="site-a in round 2")
    run.signal("site-a", signal.SIGSTOP)
    run.kill_in_trap("checkpointing", random.Random(SEED))
    before = len(told_of(run, "site-a"))

    # round 1 is done again, by b and c: round 2 begins from another model, and a is back
    run.start("site-c", "aggregator")
    marks = run.marks["aggregator"]
    wait_until(lambda: marks["round"] >= 2, seconds=120, what="round 2 again")
    run.signal("site-a", signal.SIGCONT)
    wait_until(lambda: marks["round"] >= 3, seconds=60, what="round 3")
    wait_until(lambda: len(run.rounds()) >= 3, seconds=60, what="the record of round 2")

    assert run.rounds()[1]["answered"] == ["site-b", "site-c"]
    heard = [entry for entry in told_of(run, "site-a")[before:] if entry.get("kind") != "status"]
    first = next(number for number, entry in enumerate(heard) if entry.get("kind") == "update")
    was_asked = any(entry["direction"] == "sent" and entry.get("round") == 2 for entry in heard[:first])
    was_dropped = heard[first + 1]["direction"] == "refused"
    assert was_asked or was_dropped, f"an update to round {heard[first]['round']} counts that nobody asked for"
    tell("kill -9 of the server with a round not durable, done again by other sites", "updates to the lost one dropped")
