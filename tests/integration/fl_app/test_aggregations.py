"""Aggregations in real processes: one whose sites keep and send more than weights, one with a memory at the hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import torch
from fl_processes import Federation, wait_until

pytestmark = pytest.mark.integration
Make = Callable[..., Federation]


def finished(run: Federation) -> dict[str, torch.Tensor]:
    """Start all nodes, wait until the run has ended well, and return the model."""
    run.start_all()
    for node in (*run.sites, "aggregator"):
        assert run.exit_code(node) == 0, run.log(node)
    records = run.rounds()
    assert [record["round"] for record in records] == [0, 1, 2]
    assert records[-1]["federated"]["test_loss"] < records[0]["federated"]["test_loss"]
    return safetensors.torch.load(run.output("aggregator", "model.safetensors").read_bytes())


@pytest.mark.parametrize(
    ("aggregation", "own"),
    [
        ({"name": "scaffold", "options": {}}, {"optimizer": "sgd"}),
        ({"name": "fedadam", "options": {"server_learning_rate": 0.05}}, {}),
    ],
)
def test_three_rounds_end_with_a_model_of_weights_alone(
    make_federation: Make, aggregation: dict[str, Any], own: dict[str, Any]
) -> None:
    model = finished(make_federation(rounds=3, aggregation=aggregation, **own))
    assert {name: list(tensor.shape) for name, tensor in model.items()} == {"weight": [2, 10], "bias": [2]}


def test_scaffold_with_another_optimizer_ends_a_site_with_what_to_do(make_federation: Make) -> None:
    run = make_federation(aggregation={"name": "scaffold", "options": {}}, optimizer="adam")
    run.start("site-a")
    assert run.exit_code("site-a") == 2
    assert "Set training.optimizer: sgd" in run.log("site-a")


def test_too_few_sites_for_the_median_end_the_aggregator_before_the_first_round(make_federation: Make) -> None:
    run = make_federation(aggregation={"name": "median", "options": {}})
    run.start("aggregator")
    assert run.exit_code("aggregator") == 2
    assert "median needs 5 sites in every round; one may close with 2" in run.log("aggregator")


@pytest.mark.parametrize(
    ("aggregation", "own"),
    [
        ({"name": "scaffold", "options": {}}, {"optimizer": "sgd"}),
        ({"name": "fedadam", "options": {"server_learning_rate": 0.05}}, {}),
    ],
)
def test_killed_nodes_remember_what_the_aggregation_needs_and_the_model_is_the_same(
    make_federation: Make, aggregation: dict[str, Any], own: dict[str, Any]
) -> None:
    undisturbed = make_federation(rounds=8, aggregation=aggregation, **own)
    killed = make_federation(rounds=8, aggregation=aggregation, options={"pause": 0.05}, **own)
    killed.start_all()
    for node, round_ in (("aggregator", 2), ("site-a", 4), ("aggregator", 6)):
        wait_until(lambda round_=round_: killed.progress().get("round", 0) >= round_, what=f"round {round_}")
        killed.kill(node)
        killed.start(node)
    undisturbed.start_all()
    models = []
    for run in (undisturbed, killed):
        for node in (*run.sites, "aggregator"):
            assert run.exit_code(node) == 0, run.log(node)
        models.append(run.output("aggregator", "model.safetensors").read_bytes())
    assert models[0] == models[1]
    assert "begins from nothing" not in killed.log("site-a")
