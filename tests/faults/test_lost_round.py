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


def updates(run: FaultFederation, node: str, site: str, direction: str) -> list[dict[str, Any]]:
    """Return what a node's audit log says about a site's updates to round 2, and about tasks of round 3."""
    lines = (run.state(node) / "audit.jsonl").read_bytes().splitlines(keepends=True)
    entries = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [
        entry
        for entry in entries
        if (entry["direction"], entry.get("kind"), entry.get("round"), entry["peer"])
        in {(direction, "update", 2, site), ("sent", "sync", 3, entry["peer"])}
    ]


class CountsAnyway(AssertionError):
    """What is known to be so for now."""


@pytest.mark.xfail(
    strict=True,
    raises=CountsAnyway,
    reason="an answer names its round, not the model that it was fitted from: one to a lost round 2 counts for the new",
)
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

    # round 1 is done again, by b and c: round 2 begins from another model, and a is back
    run.start("site-c", "aggregator")
    marks = run.marks["aggregator"]
    wait_until(lambda: marks["round"] >= 2, seconds=120, what="round 2 again")
    run.signal("site-a", signal.SIGCONT)
    wait_until(lambda: marks["round"] >= 3, seconds=60, what="round 3")
    wait_until(lambda: len(updates(run, "site-a", "aggregator", "sent")) >= 2, what="both updates of site-a")
    wait_until(lambda: len(run.rounds()) >= 3, seconds=60, what="the record of round 2")

    first, second = (entry["sha256"] for entry in updates(run, "site-a", "aggregator", "sent")[:2])
    assert first != second, "the two rounds 2 have one model: the test proves nothing"
    entries = updates(run, "aggregator", "site-a", "received")
    closed = [entry["kind"] for entry in entries].index("sync")
    arrived = [entry["sha256"] for entry in entries[:closed]]
    if "site-a" in run.rounds()[2]["answered"] and arrived != [first, second]:
        raise CountsAnyway(f"the update {first[:8]} was fitted from a model that is lost, and counts: {arrived}")
    tell("kill -9 of the server with a round not durable, done again by other sites", "updates to the lost one dropped")
