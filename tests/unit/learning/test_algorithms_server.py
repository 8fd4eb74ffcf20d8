"""Server optimizers: step by step what their papers say, worked out here in numpy from the papers alone."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from small_federation import SmallFederation, descend, different_sites, optimum

from fl_app.errors import PluginError
from fl_app.learning.server_optimizers import FedAdam, FedAvgM
from fl_app.plugins import Update

SITES = different_sites()
COUNTS = np.array([len(targets) for _, targets in SITES.values()])
NAMES = ("fedavgm", "fedadam", "fedyogi", "fedadagrad")
RATES = {"fedavgm": 1.0, "fedadam": 0.05, "fedyogi": 0.05, "fedadagrad": 0.5}


def pseudo_gradient(w: np.ndarray) -> np.ndarray:
    ends = np.stack([descend(site, w) for site in SITES.values()])
    return np.asarray((COUNTS[:, None] * (ends - w)).sum(0) / COUNTS.sum())


def reddi(grow: Callable[[np.ndarray, np.ndarray], np.ndarray], beta1: float, rate: float) -> Iterator[np.ndarray]:
    """Algorithm 2 of Reddi et al., with tau 0.001."""
    tau, w, m = 1e-3, np.zeros(3), np.zeros(3)
    v = np.full(3, tau**2)
    while True:
        d = pseudo_gradient(w)
        m = beta1 * m + (1 - beta1) * d
        v = grow(v, d**2)
        w = w + rate * m / (np.sqrt(v) + tau)
        yield w


def hsu(beta: float) -> Iterator[np.ndarray]:
    """FedAvgM of Hsu et al.: v = beta v + dw, w = w - v, where dw is the weighted mean of w - w_i."""
    w, v = np.zeros(3), np.zeros(3)
    while True:
        v = beta * v - pseudo_gradient(w)
        w = w - v
        yield w


PAPERS: dict[str, Callable[[], Iterator[np.ndarray]]] = {
    "fedavgm": lambda: hsu(0.9),
    "fedadam": lambda: reddi(lambda v, g: 0.99 * v + 0.01 * g, 0.9, 0.05),
    "fedyogi": lambda: reddi(lambda v, g: v - 0.01 * g * np.sign(v - g), 0.9, 0.05),
    "fedadagrad": lambda: reddi(lambda v, g: v + g, 0.0, 0.5),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_the_papers(name: str) -> None:
    federation = SmallFederation(SITES, name, server_learning_rate=RATES[name])
    for expected in itertools.islice(PAPERS[name](), 12):
        np.testing.assert_allclose(federation.round(), expected, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_it_comes_near_to_where_the_pseudo_gradient_vanishes(name: str) -> None:
    federation = SmallFederation(SITES, name, server_learning_rate=RATES[name])
    began = np.linalg.norm(pseudo_gradient(federation.w))
    for _ in range(75):
        end = federation.round()
    assert np.linalg.norm(pseudo_gradient(end)) < 0.05 * began
    assert np.linalg.norm(end - optimum(SITES, COUNTS / COUNTS.sum())) < 0.3  # near it; local steps leave a bias


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_goes_on_from_what_was_kept_is_the_same_to_the_bit(name: str) -> None:
    whole, first = SmallFederation(SITES, name), SmallFederation(SITES, name)
    for _ in range(3):
        whole.round()
        first.round()
    second = SmallFederation(SITES, name)
    second.aggregator.set_global_model_params(first.aggregator.get_global_model_params())
    second.aggregator.restore(first.aggregator.kept())
    forgetful = SmallFederation(SITES, name)
    forgetful.aggregator.set_global_model_params(first.aggregator.get_global_model_params())
    second.args.round_idx = forgetful.args.round_idx = 3
    expected = [whole.round() for _ in range(3)]
    assert np.array_equal(expected, [second.round() for _ in range(3)])
    assert not np.array_equal(expected, [forgetful.round() for _ in range(3)])


def test_what_is_kept_is_a_copy() -> None:
    federation = SmallFederation(SITES, "fedavgm")
    federation.round()
    kept = federation.aggregator.kept()
    before = kept["momentum.weight"].clone()
    federation.round()
    assert torch.equal(kept["momentum.weight"], before)


@pytest.mark.parametrize("name", [*NAMES, "fedavg", "fedprox", "scaffold"])
def test_the_order_of_arrival_does_not_matter(name: str) -> None:
    ends = []
    for order in itertools.permutations(range(3)):
        federation = SmallFederation(SITES, name)
        federation.round(order)
        ends.append(federation.round(order))
    assert all(np.array_equal(end, ends[0]) for end in ends)


def state(weight: float, counter: int, variance: float) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict(
        {
            "weight": torch.tensor([weight]),
            "norm.num_batches_tracked": torch.tensor(counter),
            "norm.running_var": torch.tensor([variance]),
        }
    )


@pytest.mark.parametrize("make", [FedAvgM, FedAdam])
def test_what_is_no_weight_takes_the_mean_so_that_no_variance_becomes_negative(make: Any) -> None:
    aggregation = make({"server_learning_rate": 5.0})
    updates = [Update("a", 1, state(1.0, 10, 0.1)), Update("b", 3, state(1.0, 11, 0.3))]
    after = aggregation.aggregate(state(0.0, 8, 1.0), updates)
    assert after["norm.num_batches_tracked"] == 11  # of 10.75
    torch.testing.assert_close(after["norm.running_var"], torch.tensor([0.25]))
    assert after["weight"] > 1.5
    assert all(name.endswith("weight") for name in aggregation.kept())


def test_memories_of_another_aggregation_are_refused() -> None:
    with pytest.raises(PluginError, match="fedadam keeps momentum, square"):
        FedAdam({}).restore(OrderedDict({"velocity.weight": torch.zeros(1)}))
    plain = SmallFederation(SITES, "fedavg")
    plain.aggregator.restore(OrderedDict())
    with pytest.raises(PluginError, match="FedAvg keeps nothing"):
        plain.aggregator.restore(OrderedDict({"momentum.weight": torch.zeros(1)}))


def test_memories_of_another_model_are_refused() -> None:
    aggregation = FedAvgM({})
    aggregation.restore(OrderedDict({"momentum.weight": torch.zeros(2)}))
    with pytest.raises(PluginError, match=r"momentum.weight is \[2\], not \[1\]"):
        aggregation.aggregate(state(0.0, 8, 1.0), [Update("a", 1, state(1.0, 10, 0.1))])
