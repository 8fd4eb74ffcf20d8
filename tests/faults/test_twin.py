"""A deployed federation in the twin's network, harmed by commands while it trains: it comes back, bit for bit."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dealt_eicu import deal_eicu
from desk import CDK
from fault_federation import FULL
from fault_table import Tell
from needs import cannot_run
from training_desk import NODES, TrainingDesk, wait_until

from infra.local.twin.depth import Depth, missing

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(600)]

ROUNDS = 20
#: Enough work for a round that something can happen in the middle of a run.
TRAINING = {"rounds": ROUNDS, "epochs": 100}
#: So little that a round trip is longer.
BRIEF_ROUNDS = {"rounds": ROUNDS, "epochs": 1}
LATENCY_MS = 300
#: The round trip of hospital-b until the harm is done: however busy the machine, the run is in its middle then.
HELD_MS = 1000


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingDesk]:
    """A desk whose federation is deployed, with three nodes that are ready, each in a network of its own."""
    lacks = [str(one) for one in missing(Depth.NETWORK)]
    lacks += [] if CDK.exists() else [f"There is no CDK command at {CDK}: make setup."]
    if lacks:
        cannot_run(" ".join(lacks))
    made = TrainingDesk(tmp_path_factory.mktemp("twin"))
    deal_eicu(made.folder)
    made.write(**TRAINING)
    with closing(made):
        made.run("local", "up", "--depth", "network")
        made.run("deploy")
        yield made


@pytest.fixture(scope="module")
def undisturbed(desk: TrainingDesk) -> dict[str, Any]:
    """A run that nothing happened to."""
    desk.write(**TRAINING)
    desk.run("start", "--detach")
    return ended(desk)


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    desk: TrainingDesk = request.getfixturevalue("desk")
    desk.run("local", "fault", "clear", "--all")


def ended(desk: TrainingDesk) -> dict[str, Any]:
    """Wait for the end of a run; return its model's SHA-256, and the seconds of its rounds but the first."""
    for node in NODES:
        desk.wait_for(node, "finished")
    brought = json.loads(desk.run("--json", "results", "--no-compare")[0])
    lines = (Path(brought["folder"]) / "rounds.jsonl").read_text().splitlines()
    rounds = [json.loads(line) for line in lines]
    assert [record["round"] for record in rounds] == list(range(ROUNDS))
    return {
        "model": brought["summary"]["model_sha256"],
        "seconds": [record["seconds"] for record in rounds[1:]],
    }


def fault(desk: TrainingDesk, words: str) -> None:
    desk.run("local", "fault", *words.split())


_BRIEF = [
    pytest.param(["cut hospital-a"], "hospital-a", "heal hospital-a", id="cut link"),
    # a rule is asked when a connection begins: one that is there goes on
    pytest.param(["deny hospital-a fl-port", "kill hospital-a"], "hospital-a", "clear --all", id="denied rule"),
    pytest.param(["reboot aggregator"], None, None, id="rebooted hub"),
]
_MORE = [
    pytest.param(["delete-route hospital-a return"], "hospital-a", "clear --all", id="no way back"),
    pytest.param(["freeze hospital-b"], "hospital-b", "thaw hospital-b", id="frozen site"),
    pytest.param(["power-off hospital-b"], "hospital-b", "power-on hospital-b", id="site without power"),
    pytest.param(["kill aggregator"], None, None, id="killed server"),
]


@pytest.mark.parametrize(("harm", "waits_for", "undo"), [*_BRIEF, *(_MORE if FULL else [])])
def test_a_run_that_is_harmed_ends_with_the_model_of_one_that_is_not(
    desk: TrainingDesk,
    undisturbed: dict[str, Any],
    tell: Tell,
    harm: list[str],
    waits_for: str | None,
    undo: str | None,
) -> None:
    desk.write(**TRAINING)
    fault(desk, f"slow hospital-b --latency {HELD_MS}ms")
    desk.in_the_middle("start", "--detach")
    began = time.monotonic()
    for words in harm:
        fault(desk, words)
    assert desk.says("aggregator")["state"] != "finished"
    fault(desk, "heal hospital-b")
    if waits_for and undo:
        wait_until(
            lambda: waits_for in (desk.says("aggregator")["progress"].get("waiting_for") or ()),
            what=f"the aggregator's waiting for {waits_for}",
        )
        began = time.monotonic()
        fault(desk, undo)
    at = desk.says("aggregator").get("progress", {}).get("round", 0)
    desk.wait_for("aggregator", "running", "finished", round_=min(at + 1, ROUNDS - 1))
    again = time.monotonic() - began

    assert ended(desk)["model"] == undisturbed["model"]
    tell(f"in the twin: {', '.join(harm)}", "the run goes on; the same model, bit for bit", seconds=again)


def test_rounds_of_a_slow_site_take_its_round_trip_and_the_model_is_the_same(desk: TrainingDesk, tell: Tell) -> None:
    desk.write(**BRIEF_ROUNDS)
    desk.run("start", "--detach")
    fast = ended(desk)
    fault(desk, f"slow hospital-a --latency {LATENCY_MS}ms")
    shown = desk.status()

    desk.run("start", "--detach")
    slow = ended(desk)

    assert [one["text"] for one in shown["hospital-a"]["faults"]] == [f"{LATENCY_MS} ms round trip"]
    assert shown["hospital-b"]["faults"] == []
    assert slow["model"] == fast["model"]
    assert min(fast["seconds"]) < LATENCY_MS / 1000 < min(slow["seconds"])
    shortest = f"shortest round {min(slow['seconds']):.2f} s, without {min(fast['seconds']):.2f} s; the same model"
    tell(f"in the twin: slow hospital-a, {LATENCY_MS} ms round trip", shortest)
