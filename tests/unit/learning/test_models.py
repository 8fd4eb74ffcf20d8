"""Logistic regression is one function, whether a stay comes as 22,100 numbers or in the compact form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fl_app.eicu.representation import BENCHMARK, SparseBatch, to_dense
from fl_app.errors import PluginError
from fl_app.learning.models import LogisticRegression, logistic_regression
from fl_app.plugins import ModelSpec

#: The blocks of the vocabulary that the seven fields own; any cut will do, ids of different fields never overlap.
FIELDS = ((1, 240), (240, 250), (250, 253), (253, 270), (270, 280), (280, 300), (300, 429))


def stays(count: int, hours: int = 50, seed: int = 0) -> SparseBatch:
    """Return stays of random length, their last hours padding."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.stack([torch.randint(a, b, (count, hours), generator=draw) for a, b in FIELDS], 2)
    values = torch.randn(count, hours, 13, generator=draw)
    length = torch.randint(1, hours + 1, (count,), generator=draw)
    padding = torch.arange(hours)[None, :] >= length[:, None]
    ids[padding], values[padding] = 0, 0.0
    return {"ids": ids, "values": values}


def loss_and_gradient(model: LogisticRegression, features: Tensor | SparseBatch) -> tuple[Tensor, Tensor]:
    model.zero_grad()
    scores = model(features)
    scores.logsumexp(1).sum().backward()
    assert model.weight.grad is not None
    return scores.detach(), model.weight.grad.clone()


def test_compact_and_dense_stays_have_the_same_scores_and_the_same_gradient() -> None:
    batch, model = stays(32), LogisticRegression(BENCHMARK.inputs, 2)
    compact, compact_gradient = loss_and_gradient(model, batch)
    dense, dense_gradient = loss_and_gradient(model, to_dense(batch))

    assert dense.shape == (32, 2)
    torch.testing.assert_close(compact, dense, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(compact_gradient, dense_gradient, rtol=1e-5, atol=1e-5)


def test_a_padding_hour_has_no_influence_and_gets_no_gradient() -> None:
    batch, model = stays(4), LogisticRegression(BENCHMARK.inputs, 2)
    batch["ids"][:, 20:], batch["values"][:, 20:] = 0, 0.0
    before, gradient = loss_and_gradient(model, batch)
    with torch.no_grad():
        model.weight[:, 20 * BENCHMARK.width :] = 99.0

    assert torch.equal(model(batch), before)
    assert not gradient[:, 20 * BENCHMARK.width :].any()


def test_on_the_wire_it_is_a_weight_of_2_by_22100_and_a_bias() -> None:
    state = logistic_regression(ModelSpec()).state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == {"weight": [2, 22100], "bias": [2]}


@pytest.mark.parametrize("options", [{"inputs": 0}, {"inputs": "many"}, {"layers": 3}])
def test_options_that_it_does_not_have_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(PluginError, match="logistic_regression does not know"):
        logistic_regression(ModelSpec(options))


def test_data_of_another_layout_is_refused_with_the_sizes() -> None:
    with pytest.raises(PluginError, match="650 inputs; the data has 50 hours of 13 numbers"):
        LogisticRegression(650, 2)(stays(1))
