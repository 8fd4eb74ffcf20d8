"""One bad site among honest ones: it sends ten times the opposite of what it has learned, or what is no number."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

_HELPERS = Path(__file__).parents[1] / "helpers"
sys.path[:0] = [str(_HELPERS), str(_HELPERS / "plugins")]

from fault_table import Tell  # noqa: E402
from federate_test_plugins import blobs  # noqa: E402
from fl_processes import Federation, run_files  # noqa: E402

from fl_app import engine  # noqa: E402
from fl_app.config import Training  # noqa: E402
from fl_app.learning.aggregator import GlobalModel, RosterAggregator  # noqa: E402
from fl_app.learning.models import LogisticRegression  # noqa: E402
from fl_app.learning.robust import TrimmedMean  # noqa: E402
from fl_app.learning.trainer import SiteTrainer  # noqa: E402
from fl_app.plugins import DatasetSpec  # noqa: E402
from fl_app.tracking.deviations import findings  # noqa: E402
from fl_app.tracking.results import read_results  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.faults]
Make = Callable[..., Federation]

SEVEN = tuple(f"site-{letter}" for letter in "abcdefg")
BAD = "site-d"
ROUNDS, SAMPLES = 12, 256
OPTIONS = {"samples": SAMPLES}


@pytest.fixture
def make_poisoned(tmp_path: Path) -> Iterator[Make]:
    """Make federations in which one site multiplies what it has learned by a factor."""
    made: list[Federation] = []

    def make(sites: tuple[str, ...], bad: str, factor: float, **settings: Any) -> Federation:
        run = Federation(tmp_path / f"federation-{len(made)}", sites, **settings)
        made.append(run)
        poison = {"name": "poisoned", "options": {"factor": factor}}
        common = {key: value for key, value in settings.items() if key in ("rounds", "options")}
        run.write(bad, run_files(bad, role="client", roster=sites, **common, aggregation=poison))
        return run

    yield make
    for federation in made:
        federation.end()


@cache
def undisturbed() -> float:
    """Return the AUROC that the same sites reach when all are honest: the same trainers, in one process."""
    training = Training(ROUNDS, 1, 16, 0.01, "adam", 0.0, "balanced", 0)
    args = engine.arguments({"dataset": "blobs", "worker_num": len(SEVEN)}, rank=0, device="cpu")
    torch.manual_seed(0)
    model = GlobalModel(LogisticRegression(10, 2), args, aggregation=TrimmedMean({}))
    aggregator = RosterAggregator(SEVEN, "cpu", args, model)
    sites = []
    for site in SEVEN:
        parts = blobs(DatasetSpec("blobs", OPTIONS, Path(), site, "client", 16, 0))
        train, test = parts[6][0], parts[7][0]
        own = engine.arguments({"dataset": "blobs", "worker_num": 1}, rank=1, device="cpu")
        trainer = SiteTrainer(LogisticRegression(10, 2), own, site=site, training=training, train_data=train, classes=2)
        sites.append((trainer, own, train, test))
    for number in range(ROUNDS + 1):
        for index, (trainer, own, train, test) in enumerate(sites):
            trainer.set_model_params(aggregator.get_global_model_params())
            trainer.test(test, "cpu", own)
            if number < ROUNDS:
                own.round_idx = number
                trainer.train(train, "cpu", own)
                aggregator.add_local_trained_result(index, trainer.get_model_params(), SAMPLES)
        if number < ROUNDS:
            aggregator.aggregate()
    areas = [trainer.metrics()["auroc"] for trainer, *_ in sites]
    return sum(area for area in areas if area is not None) / len(areas)


def finish(run: Federation) -> float:
    """Start all nodes, wait until the run has ended well, and return its AUROC."""
    run.start_all()
    for node in (*run.sites, "aggregator"):
        assert run.exit_code(node, 240) == 0, run.log(node)
    area: float = run.rounds()[-1]["federated"]["auroc"]
    return area


def test_a_robust_aggregation_bears_one_bad_site_of_seven(make_poisoned: Make, tell: Tell) -> None:
    robust = {"name": "trimmed_mean", "options": {}}
    run = make_poisoned(SEVEN, BAD, -10.0, rounds=ROUNDS, options=OPTIONS, aggregation=robust)
    area = finish(run)
    assert area == pytest.approx(undisturbed(), abs=0.02)
    tell("one site of seven sends -10 x its update, trimmed mean", f"AUROC {area:.3f}, undisturbed {undisturbed():.3f}")


def test_fedavg_does_not_bear_it_and_the_report_names_the_site(make_poisoned: Make, tell: Tell) -> None:
    run = make_poisoned(SEVEN, BAD, -10.0, rounds=ROUNDS, options=OPTIONS)
    area = finish(run)
    assert area < undisturbed() - 0.1
    (found,) = findings(read_results(run.output("aggregator", "rounds.jsonl").parent))
    assert found.startswith(f"{BAD}’s updates stand out in ")
    assert "consider a robust aggregation" in found
    tell("the same with FedAvg", f"AUROC {area:.3f}, undisturbed {undisturbed():.3f}; the report names the site")


def test_a_site_whose_fit_gives_no_numbers_sends_nothing_and_the_others_go_on(make_poisoned: Make, tell: Tell) -> None:
    sites = ("site-a", "site-b", "site-c")
    run = make_poisoned(sites, "site-c", float("nan"), rounds=3, quorum=2, round_deadline_seconds=1.0)
    run.start_all()
    assert run.exit_code("site-c") == 2
    assert "The fit has diverged: weight holds NaN or infinity" in run.log("site-c")
    for node in ("site-a", "site-b", "aggregator"):
        assert run.exit_code(node, 240) == 0, run.log(node)
    assert [record["answered"] for record in run.rounds()] == [["site-a", "site-b"]] * 3
    tell("a site whose weights are NaN", "it sends nothing and ends with 2; the others go on")
