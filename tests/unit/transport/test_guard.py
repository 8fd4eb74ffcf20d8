"""The egress guard: the declared leaves, anything else does not, and the error says what it was."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch

from fl_app.errors import WithheldError
from fl_app.transport.guard import EgressGuard
from fl_app.transport.wire import Envelope

MODEL = OrderedDict(weight=torch.zeros(2, 3), bias=torch.zeros(2))


def guard() -> EgressGuard:
    made = EgressGuard(MODEL, node="site-a", samples=64)
    made.task("run", 3)
    return made


def update(state: Any = MODEL, **fields: Any) -> Envelope:
    told = {"run": "run", "round": 3, "edition": "e", "num_samples": 64, "metrics": {"train_loss": 0.5}, **fields}
    return Envelope("update", "site-a", "aggregator", told, state)


def test_the_declared_leaves() -> None:
    guard().check(update())
    guard().check(Envelope("status", "site-a", "aggregator", {"client_status": "ONLINE", "data_sha256": ""}))
    told = {"run": "run", "round": 3, "edition": "e", "metrics": {"auroc": 0.5}}
    guard().check(Envelope("evaluation", "site-a", "aggregator", told))


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (update({**MODEL, "patients": torch.zeros(5)}), "'patients' is not of the model"),
        (update({"weight": MODEL["weight"]}), "the tensor bias is missing"),
        (update({**MODEL, "weight": torch.zeros(3, 2)}), r"weight is torch.float32 \[3, 2\]"),
        (update({**MODEL, "weight": torch.zeros(2, 3).double()}), "weight is torch.float64"),
        (update({**MODEL, "weight": torch.full((2, 3), torch.nan)}), "weight holds NaN or infinity"),
        (update({**MODEL, "weight": torch.tensor([[0, 0, 0], [0, 0, -torch.inf]])}), "weight holds NaN or infinity"),
        (update({**MODEL, "weight": torch.zeros(2, 3).to_sparse()}), "not a plain tensor"),
        (update({**MODEL, "weight": [[0.0] * 3] * 2}), "not a plain tensor"),
        (update(metrics={"patient_17": 1.0}), "metrics is"),
        (update(metrics={"auroc": float("nan")}), "metrics is"),
        (update(metrics={"auroc": "a text"}), "metrics is"),
        (update(metrics={"auroc": [1.0]}), "metrics is"),
        (update(rows=[1]), "'rows' is not declared"),
        (update(num_samples=63), "num_samples is 63; the site has 64"),
        (update(num_samples=-1), "num_samples is -1"),
        (update(run="another"), "answers no task"),
        (update(run="a name/of.a file"), "run is 'a name/of.a file'"),
        (update(round=2), "answers no task"),
        (
            Envelope("status", "site-a", "aggregator", {"client_status": "MRN 4711", "data_sha256": ""}),
            "client_status is",
        ),
        (Envelope("status", "site-b", "aggregator", {"client_status": "ONLINE", "data_sha256": ""}), "from 'site-b'"),
        (Envelope("init", "site-a", "aggregator", {}), "does not send 'init'"),
        (Envelope("rows", "site-a", "aggregator", {}), "does not send 'rows'"),
    ],
)
def test_what_is_not_declared_does_not_leave_and_the_error_says_what(envelope: Envelope, reason: str) -> None:
    with pytest.raises(WithheldError, match=reason):
        guard().check(envelope)


def test_before_a_task_nothing_of_the_model_leaves() -> None:
    with pytest.raises(WithheldError, match="answers no task"):
        EgressGuard(MODEL, node="site-a", samples=64).check(update())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_that_are_not_finite_are_found_in_every_type(dtype: torch.dtype) -> None:
    model = {"w": torch.zeros(4, dtype=dtype)}
    made = EgressGuard(model, node="site-a")
    made.task("run", 3)
    made.check(update({"w": torch.ones(4, dtype=dtype)}))
    for bad in (torch.nan, torch.inf, -torch.inf):
        with pytest.raises(WithheldError, match="NaN or infinity"):
            made.check(update({"w": torch.tensor([0, 1, bad, 2], dtype=dtype)}))


def test_a_site_tells_the_digest_of_its_own_data_and_no_other_text_of_that_form() -> None:
    own, other = "0a" * 32, "0b" * 32
    made = EgressGuard(MODEL, node="site-a", samples=64, data_sha256=own)

    def status(digest: str) -> Envelope:
        return Envelope("status", "site-a", "aggregator", {"client_status": "ONLINE", "data_sha256": digest})

    made.check(status(own))
    made.check(status(""))
    for wrong in (other, "MRN 4711", own[:-1]):
        with pytest.raises(WithheldError, match="data_sha256"):
            made.check(status(wrong))
