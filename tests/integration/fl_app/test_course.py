"""The course of a run with real processes: members that change, a part that is asked, and the ways in which it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest
from fl_processes import Federation, run_files, wait_until

pytestmark = pytest.mark.integration
Make = Callable[..., Federation]

SITES = ("site-a", "site-b", "site-c")
SLOW = {"pause": 0.03}
LONG = 300


def summary(run: Federation) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.output("aggregator", "summary.json").read_text())
    return found


def answered(run: Federation) -> list[str]:
    rounds = run.rounds()
    return rounds[-1]["answered"] if rounds else []


def stop(run: Federation, *nodes: str) -> None:
    for node in nodes:
        run.terminate(node)
        assert run.exit_code(node) == 130, run.log(node)


def test_a_site_joins_in_mid_run_leaves_in_order_and_is_taken_out_without_a_restart(make_federation: Make) -> None:
    run = make_federation(SITES, rounds=LONG, options=SLOW, quorum=2, round_deadline_seconds=60.0)
    first, joined = ("site-b", "site-a"), ("site-c", "site-b", "site-a")

    def roster(*sites: str) -> None:
        settings = {"rounds": LONG, "options": SLOW, "quorum": 2, "round_deadline_seconds": 60.0}
        run.write("aggregator", run_files("aggregator", role="aggregator", roster=sites, **settings))

    roster(*first)
    run.start(*SITES, "aggregator")
    wait_until(lambda: len(run.rounds()) >= 2, what="two rounds")
    run.wait_for_log("site-c", "site-c is not on the roster")
    assert answered(run) == ["site-b", "site-a"]

    roster(*joined)  # wherever it is named, it comes last: ranks are given once
    wait_until(lambda: answered(run) == ["site-b", "site-a", "site-c"], what="a round with site-c")

    stop(run, "site-c")
    assert "site-c leaves" in run.log("aggregator")
    began = len(run.rounds())  # the deadline is a minute: nobody waits for who has left
    wait_until(lambda: len(run.rounds()) >= began + 3, seconds=40, what="rounds without site-c")
    assert answered(run) == ["site-b", "site-a"]

    run.start("site-c")
    wait_until(lambda: "site-c" in answered(run), what="site-c again")
    roster("site-b", "site-c")
    wait_until(lambda: answered(run) == ["site-b", "site-c"], what="rounds without site-a")
    run.wait_for_log("site-a", "not on the roster")
    assert json.loads((run.state("aggregator") / "ranks.json").read_text()) == {"site-b": 1, "site-a": 2, "site-c": 3}
    stop(run, "aggregator", *SITES)
    assert [record["round"] for record in run.rounds()] == list(range(len(run.rounds())))


def test_a_part_of_the_sites_is_asked_and_training_ends_when_it_gets_no_better(make_federation: Make) -> None:
    stopping = {"metric": "auroc", "patience": 4, "min_delta": 0.5}
    run = make_federation(SITES, rounds=LONG, selection="fraction", fraction=0.5, early_stopping=stopping)
    run.start_all()
    for node in ("aggregator", *SITES):
        assert run.exit_code(node) == 0, run.log(node)
    records = run.rounds()
    assert all(record["asked"] == record["answered"] and len(record["asked"]) == 2 for record in records)
    assert {site for record in records for site in record["answered"]} == set(SITES)
    # Nothing is better by half: the best is of the first round, and known in the second; patience ends with the fifth,
    # which the sixth tells, and that one is the last.
    assert len(records) == 6
    assert summary(run)["outcome"] == "stopped early"
    assert summary(run)["best"]["round"] == 0
    told = json.loads(run.output("aggregator", "model.json").read_text())
    assert told["rounds"] == 6
    assert sum(told["rounds_taken_part_in"].values()) == 12
    assert all(len(digest) == 64 for digest in told["data_sha256"].values())
    assert set(told["data_sha256"]) == set(SITES)


def test_a_cancelled_run_ends_everywhere_without_a_model(make_federation: Make) -> None:
    run = make_federation(rounds=LONG, options=SLOW)
    run.start_all()
    wait_until(lambda: len(run.rounds()) >= 1, what="a round")
    run.signal("aggregator", signal.SIGUSR1)
    for node in ("aggregator", *run.sites):
        assert run.exit_code(node) == 5, run.log(node)
        assert "ancelled" in run.log(node)
        assert "Traceback" not in run.log(node)
    assert summary(run)["outcome"] == "cancelled"
    assert not run.output("aggregator", "model.safetensors").exists()
    assert list((run.state("aggregator") / "checkpoints").iterdir()) == []


def test_a_stop_finishes_the_round_tells_the_sites_and_the_next_start_goes_on(make_federation: Make) -> None:
    run = make_federation(rounds=LONG, options={"pause": 0.2})  # a round takes the better part of a second
    run.start_all()
    wait_until(lambda: len(run.rounds()) >= 1, what="a round")
    began = run.progress()["round"]
    stop(run, "aggregator")
    assert "is finished first" in run.log("aggregator")
    assert run.progress()["round"] > began
    for site in run.sites:
        run.wait_for_log(site, "the aggregator was stopped; waiting for it to come back")
    run.start("aggregator")
    run.wait_for_log("aggregator", "going on at round")
    done = len(run.rounds())
    wait_until(lambda: len(run.rounds()) >= done + 2, what="two rounds more")
    stop(run, "aggregator", *run.sites)
