"""Killed and started again: no round is lost, and an interrupted run ends with the model of one that was not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import pytest
import safetensors.torch
from fl_processes import Federation, wait_until

from fl_app.config import read_config
from fl_app.nodes import _fingerprint
from fl_app.rounds.checkpoint import Checkpoints, Progress

pytestmark = pytest.mark.integration
Make = Callable[..., Federation]

#: Slow enough to be hit in the middle of a round.
SLOW = {"pause": 0.03}
ROUNDS = 8


def finish(federation: Federation) -> bytes:
    for node in (*federation.sites, "aggregator"):
        assert federation.exit_code(node) == 0, federation.log(node)
    return federation.output("aggregator", "model.safetensors").read_bytes()


def wait_for_round(federation: Federation, round_: int) -> None:
    wait_until(lambda: federation.progress().get("round", 0) >= round_, what=f"round {round_}")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    run = Federation(tmp_path_factory.mktemp("undisturbed"), rounds=ROUNDS)
    try:
        run.start_all()
        return finish(run)
    finally:
        run.end()


def test_a_client_that_is_killed_is_waited_for_and_the_model_is_the_same(
    make_federation: Make, undisturbed: bytes
) -> None:
    run = make_federation(rounds=ROUNDS, options=SLOW)
    run.start_all()
    wait_for_round(run, 2)
    run.kill("site-b")
    run.wait_for_log("aggregator", "waits for site-b (not connected)")
    run.start("site-b")
    assert finish(run) == undisturbed
    assert [record["round"] for record in run.rounds()] == list(range(ROUNDS))


def test_a_server_that_is_killed_again_and_again_goes_on_and_the_model_is_the_same(
    make_federation: Make, undisturbed: bytes
) -> None:
    run = make_federation(rounds=ROUNDS, options=SLOW)
    run.start_all()
    for round_ in (1, 3, 6):
        wait_for_round(run, round_)
        run.kill("aggregator")
        run.start("aggregator")
        run.wait_for_log("aggregator", f"of {ROUNDS}")
    assert finish(run) == undisturbed
    assert "going on at round" in run.log("aggregator")
    assert [record["round"] for record in run.rounds()] == list(range(ROUNDS))
    assert all(record["answered"] == list(run.sites) for record in run.rounds())


def test_with_a_quorum_and_a_deadline_rounds_close_without_a_dead_client_and_it_comes_back(
    make_federation: Make,
) -> None:
    run = make_federation(
        ("site-a", "site-b", "site-c"), rounds=400, options=SLOW, quorum=2, round_deadline_seconds=1.5
    )
    run.start_all()
    wait_for_round(run, 2)
    run.kill("site-b")
    wait_until(
        lambda: any("site-b" not in record["answered"] for record in run.rounds()), what="a round without site-b"
    )
    run.start("site-b")
    wait_until(lambda: "site-b" in run.rounds()[-1]["answered"], what="a round with site-b again")
    for node in ("aggregator", *run.sites):
        run.terminate(node)
        assert run.exit_code(node) == 130, run.log(node)
    records = run.rounds()
    assert [record["round"] for record in records] == list(range(len(records)))
    without = next(record for record in records if "site-b" not in record["answered"])
    assert without["answered"] == ["site-a", "site-c"]


def test_a_server_that_dies_while_it_says_good_bye_tells_the_sites_when_it_is_back(make_federation: Make) -> None:
    run = make_federation(rounds=2)
    run.start_all()
    model = finish(run)
    home = run.root / "aggregator"
    fingerprint = _fingerprint(read_config(home / "config"))
    samples = {"site-a": 64, "site-b": 64}
    progress = Progress("run1", fingerprint, 2, True, None, samples, 0.0, members=list(run.sites))
    kept = Checkpoints(home / "state" / "checkpoints")
    kept.clear()
    kept.save(progress, OrderedDict(safetensors.torch.load(model)))

    run.start_all()
    assert finish(run) == model
    assert "the run is done; telling the sites that come back" in run.log("aggregator")
    assert [record["round"] for record in run.rounds()] == [0, 1]


def test_a_signal_ends_server_and_clients_in_order_and_the_run_goes_on_later(
    make_federation: Make, undisturbed: bytes
) -> None:
    run = make_federation(rounds=ROUNDS, options=SLOW)
    run.start_all()
    wait_for_round(run, 2)
    for node in ("aggregator", *run.sites):
        run.terminate(node)
        assert run.exit_code(node, 60) == 130, run.log(node)
        assert "Stopped" in run.log(node)
        assert "Traceback" not in run.log(node)
    run.start_all()
    assert finish(run) == undisturbed
