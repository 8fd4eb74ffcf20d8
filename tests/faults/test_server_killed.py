"""kill -9 of the aggregator in every phase of its rounds: it resumes, and the model is that of the undisturbed run."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

import pytest
from fault_federation import SEED, SITES, FaultFederation, Kill, sizes
from fault_table import Tell
from federate_fault_marks import ANYWHERE, ENDING, PHASES
from federate_fault_plugin import WRAPPED, find

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(sizes(600, 2400))]
Make = Callable[..., FaultFederation]

KILLS = sizes(10, 50)
ROUNDS = sizes(12, 50)
#: Phase to the steps that it has in about a round and a half: one of them is where the process is met.
STEPS = {"waiting": 12, "receiving": 24, "aggregating": 3, "checkpointing": 15, "sending": 24, ANYWHERE: 80}
AIMS = ("starting", *STEPS)
LEAST_HITS = sizes(1, 5)
#: A restarted aggregator has its round open again within this, other processes' share of the cores not counted.
RESUMES_WITHIN = 10.0
#: No process has a round open this soon after its start.
SHORTEST_START = 0.05


def test_killed_in_every_phase_again_and_again_the_run_ends_with_the_undisturbed_model(
    make_federation: Make, tell: Tell
) -> None:
    undisturbed = make_federation(rounds=ROUNDS)
    undisturbed.start_all()
    expected = undisturbed.finish()

    run, chance = make_federation(rounds=ROUNDS, pause=0.01), random.Random(SEED)
    aims, up = drawn(chance), 5.0
    kills: list[Kill] = []
    run.start(*run.sites)
    aims.append("")
    for number, aim in enumerate(aims):  # it grows where the process came up before it was killed
        if aim in STEPS:
            from_round = min(number, KILLS) * (ROUNDS - 3) // KILLS
            run.traps["aggregator"] = (aim, from_round, chance.randrange(STEPS[aim]))
        elif aim:  # if it comes up faster than expected it gets no further than to its open round
            run.traps["aggregator"] = (ANYWHERE, 0, 0)
        run.start("aggregator")
        if aim != "starting":
            up = min(up, note_resumption(run, kills))  # sites dial again after pauses of chance: no start is faster
        if aim:
            kills.append(run.kill_in_trap(aim, chance) if aim in STEPS else run.kill_starting(chance, 0.8 * up))
        if aim == "starting" and "starting" not in kills[-1].inside:
            up /= 2
            assert up > SHORTEST_START, kills
            aims.insert(number + 1, "starting")
    assert run.finish() == expected

    records = run.rounds()
    assert [record["round"] for record in records] == list(range(ROUNDS))
    assert all(record["answered"] == list(SITES) for record in records)
    hits = Counter(phase for kill in kills for phase in kill.inside)
    assert min(hits[phase] for phase in ("starting", *PHASES)) >= LEAST_HITS, hits
    resumed = [kill.resumption for kill in kills if kill.resumption]
    seconds, own = [found.seconds for found in resumed], [found.own_seconds for found in resumed]
    tell(
        f"kill -9 of the server, {len(kills)} times in {ROUNDS} rounds over {len(SITES)} sites",
        f"same model; killed {told(hits)}; resumed after {statistics.median(seconds):.1f} s (median), "
        f"{max(seconds):.1f} s at most; without waiting for a core {statistics.median(own):.1f} s and {max(own):.1f} s",
        seconds=max(seconds),
        seed=SEED,
        model_sha256=expected,
        kills=[asdict(kill) for kill in kills],
    )
    assert max(own) <= RESUMES_WITHIN


def test_killed_when_all_is_done_it_ends_by_itself_after_the_restart_and_the_results_are_there(
    make_federation: Make, tell: Tell
) -> None:
    run = make_federation(rounds=2)
    run.traps["aggregator"] = (ENDING, 0, 0)
    run.start_all()
    run.wait_for_trap(ENDING)
    model = run.model_digest()
    for site in run.sites:
        assert run.exit_code(site) == 0
    run.kill("aggregator")
    (run.root / "aggregator" / "log").write_text("")
    run.start("aggregator")
    assert run.exit_code("aggregator", 120) == 0
    assert "the run is done, and its results are written" in run.log("aggregator")
    assert run.model_digest() == model
    assert len(run.rounds()) == 2
    tell("kill -9 of the server when all is done", "it ends by itself; the results are there")


def drawn(chance: random.Random) -> list[str]:
    """Return what to kill it in, in an order of chance, each as often as the others."""
    found: list[str] = []
    while len(found) < KILLS:
        found += chance.sample(AIMS, len(AIMS))
    return found[:KILLS]


def note_resumption(run: FaultFederation, kills: list[Kill]) -> float:
    """Wait until the last start has led to an open round, and note with the kill before how long that took."""
    found = run.wait_until_open()
    if kills:
        kills[-1].resumption = found
    return found.seconds


def told(hits: Counter[str]) -> str:
    return ", ".join(f"{hits[phase]} x {phase}" for phase in hits)


def test_a_phase_that_was_renamed_is_an_error_and_not_a_phase_that_is_never_hit() -> None:
    with pytest.raises(RuntimeError, match=r"ServerRounds\.close_the_book is not there any more"):
        find("fl_app.rounds.server:ServerRounds.close_the_book")
    for names in WRAPPED.values():
        for name in names:
            find(name)
