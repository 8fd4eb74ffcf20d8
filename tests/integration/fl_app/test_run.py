"""A whole run of real processes over mutual TLS on loopback: what it writes, and that it is the same every time."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable

import psutil
import pytest
import safetensors.torch
from fl_processes import Federation, wait_until

pytestmark = pytest.mark.integration
Make = Callable[..., Federation]


def finish(federation: Federation) -> None:
    for node in (*federation.sites, "aggregator"):
        assert federation.exit_code(node) == 0, federation.log(node)


def model(federation: Federation) -> bytes:
    return federation.output("aggregator", "model.safetensors").read_bytes()


def test_two_runs_of_one_seed_give_the_same_model_bit_for_bit_whoever_starts_first(make_federation: Make) -> None:
    clients_first = make_federation(rounds=4)
    clients_first.start(*clients_first.sites)
    for site in clients_first.sites:
        clients_first.wait_for_log(site, "waiting for the aggregator at 10.30.0.10:8890")
    clients_first.start("aggregator")
    finish(clients_first)

    server_first = make_federation(rounds=4)
    server_first.start("aggregator")
    server_first.wait_for_log("aggregator", "round 1 waits for site-a (not connected), site-b (not connected)")
    server_first.start("site-b")
    server_first.wait_for_log("aggregator", "site-b is connected")
    server_first.start("site-a")
    finish(server_first)

    assert model(clients_first) == model(server_first)
    kept = ("samples", "train_loss", "test_samples", "test_loss", "auroc", "auprc")
    told = [
        [[{key: site[key] for key in kept} for site in record["sites"]] for record in run.rounds()]
        for run in (clients_first, server_first)
    ]
    assert told[0] == told[1]

    other_seed = make_federation(rounds=4, seed=1)
    other_seed.start_all()
    finish(other_seed)
    assert model(other_seed) != model(clients_first)


def test_what_a_run_writes(make_federation: Make) -> None:
    run = make_federation(rounds=3)
    run.start_all()
    finish(run)

    records = run.rounds()
    assert [record["round"] for record in records] == [0, 1, 2]
    for record in records:
        assert record["answered"] == ["site-a", "site-b"]
        assert [site["site"] for site in record["sites"]] == ["site-a", "site-b"]
        assert all(site["samples"] == 64 and site["test_samples"] == 40 for site in record["sites"])
        mean = sum(site["auroc"] for site in record["sites"]) / 2
        assert record["federated"]["auroc"] == pytest.approx(mean)
    assert records[-1]["federated"]["test_loss"] < records[0]["federated"]["test_loss"]

    facts = json.loads(run.output("aggregator", "model.json").read_text())
    assert facts["sha256"] == hashlib.sha256(model(run)).hexdigest()
    assert (facts["model"], facts["sites"], facts["rounds"]) == ("logistic_regression", ["site-a", "site-b"], 3)
    assert facts["samples"] == {"site-a": 64, "site-b": 64}
    assert list(safetensors.torch.load(model(run))["weight"].shape) == [2, 10]
    summary = json.loads(run.output("aggregator", "summary.json").read_text())
    assert summary["federated"] == records[-1]["federated"]
    assert run.progress() == {"round": 3, "rounds": 3, "phase": "finished", "waiting_for": []}
    assert run.progress("site-a")["phase"] == "finished"
    assert [record["round"] for record in run.rounds("site-a")] == [0, 1, 2, 3]
    (note,) = (run.root / "aggregator" / "state" / "checkpoints").iterdir()  # that all is done, without the model
    assert b'"told": true' in note.read_bytes()


def test_a_node_that_waits_uses_less_than_a_hundredth_of_a_core(make_federation: Make) -> None:
    run = make_federation(rounds=3, sites=("site-a", "site-b"))
    run.start("aggregator", "site-a")
    run.wait_for_log("aggregator", "round 1 waits for site-b (not connected)")
    run.start("site-b")
    run.kill("aggregator")
    run.wait_for_log("site-b", "nothing listens there yet")

    connected = make_federation(rounds=3)
    connected.start("aggregator", "site-a")
    connected.wait_for_log("aggregator", "round 1 waits for site-b (not connected)")

    watched = {
        "a client without a server": run._processes["site-b"].pid,
        "a client whose round is not closed": connected._processes["site-a"].pid,
        "a server that waits": connected._processes["aggregator"].pid,
    }

    def used(pid: int) -> float:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)

    seconds = 10.0
    began = {name: used(pid) for name, pid in watched.items()}
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, seconds=seconds + 5)
    shares = {name: (used(pid) - began[name]) / seconds for name, pid in watched.items()}
    assert max(shares.values()) < 0.01, shares
