"""A site's fit: the same bits for the same seed, another order in another round, and losses that are checked."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from fl_app.config import Training
from fl_app.errors import PluginError, Stopped, TrainingError
from fl_app.learning.aggregation import FedAvg
from fl_app.learning.fit import fit, round_seed, shuffled
from fl_app.learning.models import LogisticRegression
from fl_app.learning.state import copy_of, difference
from fl_app.plugins import Update

TRAINING = Training(3, 2, 8, 0.1, "adam", 0.0, "none", 0)


def loader(shuffle: bool = False) -> DataLoader[tuple[torch.Tensor, ...]]:
    points = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(points, (points.sum(1) > 0).long()), batch_size=8, shuffle=shuffle)


def fitted(seed: int, training: Training = TRAINING, *, shuffle: bool = False) -> torch.Tensor:
    model = LogisticRegression(4, 2)
    with torch.no_grad():
        model.weight.zero_()
    fit(model, loader(shuffle), training, seed=seed, class_weights=None, device="cpu")
    return model.weight.detach()


def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before() -> None:
    first = fitted(5)
    torch.rand(1000)
    assert torch.equal(first, fitted(5, shuffle=True))  # the loader's own shuffling does not count
    assert not torch.equal(first, fitted(6))


def test_the_order_depends_on_seed_site_and_round() -> None:
    seeds = {round_seed(seed, site, round_) for seed in (0, 1) for site in ("a", "b") for round_ in (0, 1)}
    assert len(seeds) == 8
    assert round_seed(0, "a", 1) == round_seed(0, "a", 1)


def test_shuffling_keeps_every_sample_once_and_the_size_of_batches() -> None:
    batches = list(shuffled(loader(), 3))
    assert [len(labels) for _, labels in batches] == [8] * 6 + [2]
    points = torch.cat([points for points, _ in batches])
    original = loader().dataset.tensors[0]  # type: ignore[attr-defined]
    assert not torch.equal(points, original)
    assert torch.equal(points.sort(0).values, original.sort(0).values)


def test_an_iterable_of_batches_that_is_no_loader_is_taken_as_it_comes() -> None:
    batches = [(torch.ones(2, 4), torch.tensor([0, 1]))]
    assert shuffled(batches, 3) is batches


def test_one_step_of_sgd_is_the_gradient_of_the_weighted_cross_entropy() -> None:
    model, weights = LogisticRegression(1, 2), torch.tensor([1.0, 3.0])
    with torch.no_grad():
        model.weight.zero_()
    points, labels = torch.tensor([[1.0], [2.0]]), torch.tensor([0, 1])
    step = replace(TRAINING, epochs=1, optimizer="sgd", learning_rate=1.0)
    loss = fit(model, [(points, labels)], step, seed=0, class_weights=weights, device="cpu")

    # at zero every probability is 1/2; d loss / d w_k = sum_i c_i x_i (1/2 - [y_i = k]) / sum_i c_i
    slope_of_0 = (1 * 1 * (0.5 - 1) + 3 * 2 * 0.5) / 4
    assert loss == pytest.approx(0.693147, abs=1e-5)
    assert model.weight.flatten().tolist() == pytest.approx([-slope_of_0, slope_of_0])


def test_a_fit_that_diverges_is_an_error_with_the_remedy() -> None:
    wild = replace(TRAINING, optimizer="sgd", learning_rate=1e38, weight_decay=1.0)
    with pytest.raises(TrainingError, match=r"(?s)diverged.*learning_rate"):
        fitted(0, wild)


def test_a_signal_stops_a_fit_between_batches() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Stopped("now")

    with pytest.raises(Stopped):
        fit(LogisticRegression(4, 2), loader(), TRAINING, seed=0, class_weights=None, device="cpu", check=check)
    assert len(calls) == 3


def state(*values: float) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict(weight=torch.tensor(values), count=torch.tensor(int(values[0])))


def test_fedavg_is_the_mean_weighted_by_samples_and_leaves_the_updates_alone() -> None:
    updates = [Update("a", 30, state(1.0, 2.0)), Update("b", 10, state(5.0, 6.0))]
    found = FedAvg({}).aggregate(state(0.0, 0.0), updates)
    assert found["weight"].tolist() == [2.0, 3.0]
    assert found["count"].item() == 2
    assert updates[0].state["weight"].tolist() == [1.0, 2.0]


def test_fedavg_has_no_options() -> None:
    with pytest.raises(PluginError, match="momentum"):
        FedAvg({"momentum": 0.9})


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"bias": torch.zeros(2)}, "weight is missing"),
        ({"weight": torch.zeros(2, 4), "bias": torch.zeros(2), "x": torch.zeros(1)}, "'x' is not of the model"),
        ({"weight": torch.zeros(4, 2), "bias": torch.zeros(2)}, r"weight is torch.float32 \[4, 2\]"),
        ({"weight": torch.zeros(2, 4).double(), "bias": torch.zeros(2)}, "torch.float64"),
        ({"weight": torch.full((2, 4), torch.nan), "bias": torch.zeros(2)}, "weight holds NaN"),
        ({"weight": torch.zeros(2, 4), "bias": torch.tensor([0.0, -torch.inf])}, "bias holds NaN or infinity"),
    ],
)
def test_weights_that_are_not_the_model_s_are_told_apart(wrong: dict[str, torch.Tensor], reason: str) -> None:
    template = copy_of(LogisticRegression(4, 2))
    assert difference(template, template) is None
    found = difference(wrong, template)
    assert found is not None
    assert re.search(reason, found)
