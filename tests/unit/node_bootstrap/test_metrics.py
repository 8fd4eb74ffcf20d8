"""A node tells its metrics: a line a minute, a line a round, and no number that is not declared."""

from __future__ import annotations

import itertools
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from fake_node import FakeAccount, facts

from node_bootstrap import measures
from node_bootstrap.agent import readings
from node_bootstrap.agent.metrics import Meter
from node_bootstrap.measures import Measure

STREAM = "hospital-a/metrics"
WALL = 1_790_000_000.25


@dataclass
class Node:
    """A node whose clock, disk and standing a test sets, and what its meter has told."""

    account: FakeAccount
    folder: Path
    role: str = "client"
    now: float = 1000.0
    standing: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "output").mkdir(parents=True)
        self.boot()

    def boot(self) -> None:
        self.meter = Meter(
            facts(role=self.role),
            self.account,
            lambda: self.standing,
            self.folder,
            self.folder,
            clock=lambda: self.now,
            wall=lambda: WALL + self.now,
        )

    def passes(self, seconds: float, *, looks: int = 1) -> None:
        for _ in range(looks):
            self.now += seconds / looks
            self.meter.step()

    def is_at(self, state: str, round_: int | None = None, run: str = "first") -> None:
        progress = {} if round_ is None else {"round": round_, "rounds": 3}
        self.standing = {"state": state, "run": run, "progress": progress, "reason": "a reason"}

    def writes(self, name: str, *records: dict[str, Any]) -> None:
        path = self.folder / name
        with path.open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.account.lines.get(STREAM, [])]

    def values(self, measure: Measure) -> list[float | None]:
        """Return a measure's value in each line a minute, None where a line has none."""
        return [line.get(measure.name) for line in self.lines if measures.HEARTBEAT.name in line]

    def told(self, measure: Measure) -> list[float]:
        return [line[measure.name] for line in self.lines if measure.name in line]


@pytest.fixture
def node(account: FakeAccount, tmp_path: Path) -> Node:
    return Node(account, tmp_path / "node")


def test_a_line_is_in_the_embedded_metric_format() -> None:
    told = json.loads(measures.line(5, "fed", "hospital-a", {measures.LOSS: 0.5, measures.ROUND: 3}))
    assert told == {
        "_aws": {
            "Timestamp": 5,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Federate",
                    "Dimensions": [["federation", "node"]],
                    "Metrics": [{"Name": "Loss", "Unit": "None"}, {"Name": "Round", "Unit": "Count"}],
                }
            ],
        },
        "federation": "fed",
        "node": "hospital-a",
        "Loss": 0.5,
        "Round": 3.0,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_left_out(value: float) -> None:
    told = json.loads(measures.line(5, "fed", "a", {measures.LOSS: value, measures.ROUND: 3}))
    assert "Loss" not in told
    assert [metric["Name"] for metric in told["_aws"]["CloudWatchMetrics"][0]["Metrics"]] == ["Round"]


def test_the_heart_beats_once_a_minute_however_often_the_meter_looks(node: Node) -> None:
    node.passes(600, looks=120)
    assert node.values(measures.HEARTBEAT) == [1] * 11
    stamps = [line["_aws"]["Timestamp"] for line in node.lines]
    first, *others = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    assert (first, others) == (55_000, [60_000] * 9)  # the first look, after 5 seconds, came late


def test_a_machine_that_slept_an_hour_does_not_make_up_for_it(node: Node) -> None:
    node.passes(1)
    node.passes(3600)
    node.passes(5)
    assert node.values(measures.HEARTBEAT) == [1, 1]


def test_a_node_says_whether_it_has_failed(node: Node) -> None:
    for state in ("ready", "failed", "ready"):
        node.is_at(state)
        node.passes(60)
    assert node.values(measures.NODE_FAILED) == [0, 1, 0]
    assert node.values(measures.BOOTSTRAP_FAILED) == [0, 0, 0]


def test_time_without_a_round_counts_from_the_round_before_and_only_in_the_middle_of_a_run(node: Node) -> None:
    for state, round_ in [
        ("ready", None),
        ("waiting", None),  # for the aggregator, who has not begun
        ("running", 0),
        ("running", 0),
        ("running", 1),
        ("waiting", 1),
        ("running", 2),
        ("finished", 3),
    ]:
        node.is_at(state, round_)
        node.passes(60)
    assert node.values(measures.SINCE_ROUND) == [None, None, 0, 60, 0, 60, 0, None]


def test_the_same_round_of_another_start_is_another(node: Node) -> None:
    for run, state in (("first", "running"), ("first", "running"), ("first", "stopped"), ("second", "running")):
        node.is_at(state, 7, run)
        node.passes(60)
    assert node.values(measures.SINCE_ROUND) == [0, 60, None, 0]


def test_the_aggregators_rounds_have_the_federations_numbers_and_nothing_of_single_sites(node: Node) -> None:
    site = {"site": "hospital-b", "samples": 41, "train_loss": 0.9, "test_loss": 0.8, "auroc": 0.71, "cosine": 0.1}
    federated = {"train_loss": 0.6, "test_loss": 0.5, "auroc": 0.8, "auprc": 0.3}
    record = {"round": 0, "rounds": 3, "seconds": 1.5, "asked": ["a", "b"], "answered": ["a"], "sites": [site]}
    node.writes("output/rounds.jsonl", {**record, "federated": federated})
    node.passes(5)
    (line,) = [line for line in node.lines if measures.ROUND.name in line]
    assert {name: value for name, value in line.items() if name not in ("_aws", *measures.DIMENSIONS)} == {
        "Round": 1,
        "RoundSeconds": 1.5,
        "Loss": 0.5,
        "AUROC": 0.8,
        "SitesAnswered": 1,
    }


def test_a_sites_rounds_have_its_own_numbers_and_an_undefined_area_is_not_there(node: Node) -> None:
    node.writes(
        "output/rounds.jsonl",
        {"round": 0, "rounds": 2, "samples": 41, "train_loss": 0.9, "fit_seconds": 2.5},
        {
            "round": 1,
            "rounds": 2,
            "samples": 41,
            "train_loss": 0.8,
            "fit_seconds": 2.0,
            "test_loss": 0.7,
            "auroc": None,
        },
    )
    node.passes(5)
    assert node.told(measures.ROUND) == [0, 1]
    assert node.told(measures.ROUND_SECONDS) == [2.5, 2.0]
    assert (node.told(measures.LOSS), node.told(measures.AUROC)) == ([0.7], [])


def test_every_round_is_told_once_also_by_an_agent_that_was_started_again(node: Node) -> None:
    node.writes("output/rounds.jsonl", {"round": 0})
    node.passes(5)
    node.boot()
    node.writes("output/rounds.jsonl", {"round": 1})
    node.passes(5)
    node.passes(5)
    assert node.told(measures.ROUND) == [0, 1]


def test_rounds_that_come_by_the_hundred_are_not_all_told(node: Node) -> None:
    node.writes("output/rounds.jsonl", *({"round": number} for number in range(300)))
    node.passes(5)
    assert node.told(measures.ROUND) == list(range(275, 300))


def test_bytes_are_those_of_the_audit_log_since_the_minute_before(node: Node) -> None:
    node.passes(60)
    node.writes(
        "audit.jsonl",
        {"direction": "sent", "bytes": 100},
        {"direction": "sent in part", "bytes": 10},
        {"direction": "received", "bytes": 7},
        {"direction": "torn", "bytes": 1000},
        {"direction": "sent"},
    )
    for _ in range(2):
        node.passes(60)
    assert node.values(measures.BYTES_SENT) == [None, 110, 0]
    assert node.values(measures.BYTES_RECEIVED) == [None, 7, 0]


@pytest.mark.parametrize("content", ["", "[]\n", "{}\n", "no json\n", '{"round": "three"}\n', '{"round"'])
def test_a_record_that_cannot_be_read_is_no_round(node: Node, content: str) -> None:
    (node.folder / "output" / "rounds.jsonl").write_text(content)
    node.boot()
    with (node.folder / "output" / "rounds.jsonl").open("a") as file:
        file.write(f"\n{content}\n")
    node.passes(5)
    assert [line for line in node.lines if measures.HEARTBEAT.name not in line] == []


def test_nothing_but_declared_numbers_and_the_nodes_own_names_leaves_the_node(node: Node) -> None:
    node.is_at("running", 1)
    node.writes("output/rounds.jsonl", {"round": 1, "auroc": 0.7, "test_loss": 0.6, "patients": 41, "site": "x"})
    node.writes("audit.jsonl", {"direction": "sent", "peer": "aggregator", "bytes": 5})
    node.passes(60)
    declared = {measure.name for measure in measures.MEASURES}
    for line in node.lines:
        assert set(line) <= declared | {"_aws", "federation", "node"}
        named = {metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
        assert named == set(line) - {"_aws", "federation", "node"}
    assert len({measure.name for measure in measures.MEASURES}) == len(measures.MEASURES)


def test_what_cannot_be_told_is_told_later_and_the_newest_first_of_all(node: Node) -> None:
    node.account.silent = True
    for _ in range(200):
        with pytest.raises(BotoCoreError):
            node.passes(60)
    node.account.silent = False
    node.passes(1)
    stamps = [line["_aws"]["Timestamp"] for line in node.lines]
    assert len(stamps) == 120  # two hours; what is older helps nobody
    assert stamps[-1] == int((WALL + node.now - 1) * 1000)
    assert stamps == sorted(stamps)


def test_a_fault_in_measuring_costs_a_minute_and_not_the_heart(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, beats = threading.Event(), iter([False, False, True])
    monkeypatch.setattr(stop, "wait", lambda _: next(beats))
    faults = iter([ZeroDivisionError("a fault of ours")])

    def memory() -> dict[Measure, float]:
        node.now += 60
        for fault in faults:
            raise fault
        return {}

    monkeypatch.setattr(readings, "memory", memory)
    node.meter.run(stop)
    assert node.values(measures.HEARTBEAT) == [1]
