"""The course of a run in one process: real aggregation, checkpoints and results; the sites are what the test says."""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fl_processes import run_files

from fl_app import engine
from fl_app.config import read_config
from fl_app.errors import Cancelled, PluginError, Stopped
from fl_app.learning.aggregation import FedAvg
from fl_app.learning.aggregator import GlobalModel, RosterAggregator
from fl_app.learning.models import LogisticRegression
from fl_app.learning.robust import TrimmedMean
from fl_app.learning.server_optimizers import FedAdam
from fl_app.rounds.checkpoint import Checkpoints
from fl_app.rounds.course import Course
from fl_app.rounds.members import Members, RosterFile
from fl_app.rounds.ranks import Ranks
from fl_app.rounds.results import Results
from fl_app.tracking import open_tracker
from fl_app.transport import tensors
from fl_app.transport.hashing import BodyHash

FIVE = ("a", "b", "c", "d", "e")


class Wire:
    """In place of the hub: it holds the model and admits whom it is told to."""

    def __init__(self) -> None:
        self.admitted: tuple[str, ...] = ()

    def adopt(self, state: OrderedDict[str, Tensor]) -> OrderedDict[str, Tensor]:
        return OrderedDict((name, tensor.clone()) for name, tensor in state.items())

    def encoded(self, state: Mapping[str, Tensor]) -> tuple[Any, BodyHash]:
        body = tensors.encode(state)
        return body, BodyHash(body)

    def admit(self, roster: Any) -> None:
        self.admitted = tuple(roster)

    def serials(self) -> dict[str, str]:
        return {"a": "1a"}

    def remember(self, serials: Mapping[str, str]) -> None:
        self.remembered = dict(serials)

    def flush(self, seconds: float) -> None: ...


class Run:
    """A course, and the sites that answer it; also its desk."""

    def __init__(self, root: Path, roster: tuple[str, ...], *, aggregation: Any = FedAvg, **settings: Any) -> None:
        self.root, self.settings = root, settings
        self.counted: dict[tuple[str, int], int | None] = {}
        self.tasks: list[tuple[str, int]] = []
        self.finishes: list[tuple[str, str]] = []
        self.timers: list[int] = []
        self.is_over = False
        self.roster(*roster)
        config = read_config(root / "config")
        args = engine.arguments(dict(config.fedml), rank=0, device="cpu")
        aggregator = RosterAggregator(
            config.roster, "cpu", args, GlobalModel(LogisticRegression(10, 2), args, aggregation=aggregation({}))
        )
        self.checkpoints = Checkpoints(root / "checkpoints")
        found = self.checkpoints.load("print")
        if found:
            aggregator.set_global_model_params(found.state)
        self.wire = Wire()
        before = {*found.progress.members, *found.progress.expelled} if found else None
        self.course = Course(
            config,
            aggregator,
            members=Members(config.roster, Ranks(root), RosterFile(root / "config"), before=before),
            wire=self.wire,  # type: ignore[arg-type]
            checkpoints=self.checkpoints,
            fingerprint="print",
            results=Results(root / "output", new_run=found is None),
            tracker=open_tracker(config, root / "output"),
            found=found,
        )
        self.course.begin(self)
        self.course.ready()

    def roster(self, *sites: str) -> None:
        folder = self.root / "config"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in run_files("aggregator", role="aggregator", roster=sites, **self.settings).items():
            (folder / name).write_text(text)

    def send_task(self, site: str, model: Mapping[str, Tensor], fields: Mapping[str, Any], *, is_first: bool) -> None:
        self.tasks.append((site, fields["round"]))
        self.counted[site, fields["round"]] = fields["counted"]

    def send_finish(self, site: str, fields: Mapping[str, Any]) -> None:
        self.finishes.append((site, fields["outcome"]))

    def call_later(self, seconds: float, kind: int) -> None:
        self.timers.append(kind)

    def finish(self) -> None:
        self.is_over = True

    def come(self, *sites: str) -> None:
        for site in sites:
            self.course.joined(site)
            self.course.reported(site, "0" * 64)

    def answer(self, *sites: str) -> None:
        for site in sites:
            round_ = self.course.book.round
            fields = {"run": self.course.book.run, "round": round_, "edition": self.course.book.edition}
            assert self.course.judge(site, fields) == "counts"
            told = {"test_samples": 10, "test_loss": 0.5, "auroc": 0.7, "auprc": 0.6} if round_ else {}
            if self.course.only_evaluates:
                self.course.evaluated(site, told)
            else:
                state = OrderedDict((name, tensor + 1) for name, tensor in self.course.model.items())
                self.course.updated(site, state, 10, {"train_loss": 0.5, "fit_seconds": 0.1, **told})

    @property
    def round(self) -> int:
        return self.course.book.round


def test_a_run_goes_from_its_first_round_to_its_good_bye(tmp_path: Path) -> None:
    run = Run(tmp_path, ("a", "b"), rounds=2)
    run.come("a", "b")
    for _ in range(3):
        run.answer("b", "a")
    assert run.tasks == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert run.finishes == [("a", "done"), ("b", "done")]
    run.course.ending.said_good_bye("a")
    assert not run.is_over
    run.course.ending.said_good_bye("b")
    assert run.is_over
    found = run.checkpoints.load("print")
    assert found is not None
    assert found.progress.told
    assert torch.equal(run.course.weights()["bias"], torch.full((2,), 2.0) + 0 * run.course.weights()["bias"])


def test_a_deadline_closes_a_round_though_its_timer_was_missed(tmp_path: Path) -> None:
    run = Run(tmp_path, ("a", "b", "c"), rounds=3, quorum=2, round_deadline_seconds=0.01)
    run.come("a", "b", "c")
    run.answer("a", "b")
    time.sleep(0.02)  # the deadline itself
    run.course.tick()
    assert run.round == 1


def test_a_new_run_of_too_few_for_its_aggregation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="needs 5 sites"):
        Run(tmp_path, FIVE[:4], aggregation=TrimmedMean, rounds=3)


def test_a_run_that_has_become_too_small_is_held_until_the_next_site_is_there(tmp_path: Path) -> None:
    run = Run(tmp_path, FIVE, aggregation=TrimmedMean, rounds=5)
    run.come(*FIVE)
    run.answer(*FIVE)
    run.roster("a", "b", "c", "d", "f")  # one of five is replaced
    run.course.tick()
    assert run.wire.admitted == ("a", "b", "c", "d", "f")
    run.answer("a", "b", "c", "d")
    assert run.round == 1  # four have answered, which is all; but four are too few
    run.come("f")
    assert run.tasks[-1] == ("f", 1)  # it is asked in this round already
    run.answer("f")
    assert run.round == 2
    assert run.course.book.asked == ("a", "b", "c", "d", "f")


def test_a_resumed_run_that_is_too_small_is_held_as_well(tmp_path: Path) -> None:
    run = Run(tmp_path, FIVE, aggregation=TrimmedMean, rounds=5)
    run.come(*FIVE)
    run.answer(*FIVE)
    run.checkpoints.wait()
    (tmp_path / "config").joinpath("fedml_config.yaml").unlink()
    again = Run(tmp_path, ("a", "b", "c", "d", "f"), aggregation=TrimmedMean, rounds=5)
    again.come("a", "b", "c", "d")
    again.answer("a", "b", "c", "d")
    assert again.round == 1
    again.come("f")
    again.answer("f")
    assert again.round == 2


def test_who_is_expelled_stays_so_over_a_restart_and_is_asked_again_with_a_new_certificate(tmp_path: Path) -> None:
    run = Run(tmp_path, ("a", "b"), rounds=5)
    run.come("a", "b")
    run.answer("a", "b")
    run.course.expelled("b")
    run.course.expelled("b")  # told again at each look; nothing changes
    run.checkpoints.wait()  # the round has not closed: that b is expelled is durable by itself
    again = Run(tmp_path, ("a", "b"), rounds=5)
    assert again.round == 1
    assert again.course.book.members == ("a",)
    assert again.wire.remembered == {"a": "1a"}
    again.come("a", "b")
    again.answer("a")
    assert again.course.book.asked == ("a", "b")


def test_a_site_that_is_taken_out_and_put_back_is_neither_known_nor_expelled_any_more(tmp_path: Path) -> None:
    run = Run(tmp_path, ("a", "b", "c"), rounds=5)
    run.come("a", "b", "c")
    run.course.expelled("b")
    run.roster("a")
    run.course.tick()
    assert (run.course.known, run.course.ledger.expelled) == ({"a"}, set())
    run.roster("a", "b", "c")
    run.course.tick()
    asked = len(run.tasks)
    run.answer("a")
    assert run.tasks[asked:] == [("a", 1)]  # the others have not reported again
    run.come("b", "c")
    run.answer("a")
    assert sorted(run.tasks[asked + 1 :]) == [("a", 2), ("b", 2), ("c", 2)]


def test_a_stop_before_anything_is_open_does_not_wait_and_one_in_a_round_waits_for_its_end(tmp_path: Path) -> None:
    idle = Run(tmp_path / "idle", ("a", "b"), rounds=5)
    with pytest.raises(Stopped):
        idle.course.ending.stop_asked()
    run = Run(tmp_path / "busy", ("a", "b"), rounds=5)
    run.come("a", "b")
    run.course.ending.stop_asked()
    run.answer("a")
    with pytest.raises(Stopped, match="before round 2"):
        run.answer("b")
    assert run.finishes == [("a", "stopped"), ("b", "stopped")]
    assert run.tasks == [("a", 0), ("b", 0)]
    found = run.checkpoints.load("print")
    assert found is not None
    assert found.progress.next_round == 1


def test_a_cancelled_run_leaves_no_checkpoint_and_one_that_is_done_is_not_cancelled(tmp_path: Path) -> None:
    run = Run(tmp_path / "cancelled", ("a",), rounds=5)
    run.come("a")
    run.answer("a")
    with pytest.raises(Cancelled):
        run.course.ending.cancel()
    assert run.checkpoints.load("print") is None
    assert run.finishes == [("a", "cancelled")]
    done = Run(tmp_path / "done", ("a",), rounds=1)
    done.come("a")
    done.answer("a")
    done.answer("a")
    done.course.ending.cancel()
    assert done.finishes == [("a", "done")]


def test_a_site_that_was_there_to_the_end_and_does_not_say_good_bye_is_given_more_time(tmp_path: Path) -> None:
    run = Run(tmp_path, ("a", "b"), rounds=1)
    run.come("a", "b")
    run.answer("a", "b")
    run.answer("a", "b")
    run.course.ending.said_good_bye("a")
    run.course.ending.farewell_is_over()
    assert not run.is_over
    run.course.ending.farewell_is_over()
    assert run.is_over


def test_a_task_says_which_update_of_the_site_counted_last(tmp_path: Path) -> None:
    run = Run(tmp_path, ("a", "b", "c"), rounds=5, quorum=2)
    run.come("a", "b", "c")
    run.answer("a", "b", "c")
    run.course.leaves("c")
    run.answer("a", "b")
    run.come("c")
    assert run.round == 2
    assert {site: run.counted[site, 0] for site in "abc"} == dict.fromkeys("abc")
    assert {site: run.counted[site, 1] for site in "abc"} == {"a": 0, "b": 0, "c": 0}
    assert {site: run.counted[site, 2] for site in "abc"} == {"a": 1, "b": 1, "c": 0}


def test_what_the_aggregation_keeps_is_in_the_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path, ("a", "b"), aggregation=FedAdam, rounds=5)
    run.come("a", "b")
    run.answer("a", "b")
    run.checkpoints.wait()
    found = run.checkpoints.load("print")
    assert found is not None
    kept = run.course._aggregator.kept()
    assert kept
    assert found.kept.keys() == kept.keys()
    assert all(torch.equal(found.kept[name], kept[name]) for name in kept)


def test_a_run_whose_metric_gets_no_better_ends_early_also_over_a_restart(tmp_path: Path) -> None:
    stopping = {"metric": "auroc", "patience": 1, "min_delta": 0.0}
    run = Run(tmp_path, ("a",), rounds=50, early_stopping=stopping)
    run.come("a")
    for _ in range(3):  # the first model's AUROC is told with the second answer, the second one's with the third
        run.answer("a")
    assert run.course.only_evaluates
    assert run.course.book.rounds == 3
    run.checkpoints.wait()
    again = Run(tmp_path, ("a",), rounds=50, early_stopping=stopping)
    again.come("a")
    assert again.course.only_evaluates
    again.answer("a")
    assert json.loads((tmp_path / "output" / "summary.json").read_text())["outcome"] == "stopped early"


def test_a_record_says_whose_update_stands_out_and_whose_was_refused(tmp_path: Path) -> None:
    run = Run(tmp_path, ("a", "b"), rounds=1)
    run.come("a", "b")
    run.course.refused("b", "weight holds NaN or infinity")
    run.answer("a", "b")
    run.answer("a", "b")
    (record,) = (json.loads(line) for line in (tmp_path / "output" / "rounds.jsonl").read_text().splitlines())
    assert record["refused"] == {"b": "weight holds NaN or infinity"}
    assert [site["outlier"] for site in record["sites"]] == [False, False]
    assert record["asked"] == ["a", "b"]
