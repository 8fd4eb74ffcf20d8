"""The comparison's table: what it shows of two classes, of several labels and of a number."""

from __future__ import annotations

import csv
import io
import json

import pytest
import torch
from torch import nn

from fl_app.compare.__main__ import main
from fl_app.compare.pool import Samples
from fl_app.compare.table import as_csv, as_json, as_text, rows_of


class Given(nn.Module):
    """Hands the scores through."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def samples(scores: list[list[float]], labels: torch.Tensor) -> Samples:
    return Samples({"": torch.tensor(scores)}, labels)


TWO_CLASSES = {
    "a": samples([[0.0, -2.0], [0.0, -0.5], [0.0, 2.0]], torch.tensor([0, 1, 1])),
    "b": samples([[0.0, 1.0], [0.0, -1.0]], torch.tensor([1, 0])),
}


def table(held_out: dict[str, Samples], classes: int, **settings: float) -> list:
    return rows_of({"federated": Given()}, held_out, classes=classes, class_weights=None, batch_size=8, **settings)


def test_two_classes_are_shown_with_the_decisions_at_the_stated_threshold() -> None:
    text = as_text(table(TWO_CLASSES, 2, threshold=0.3))
    lines = text.splitlines()
    assert lines[0].startswith("AUROC / AUPRC on held-out")
    assert lines[3].split("  ")[0] == "at likelihood 0.3, all sites"
    assert [word for word in lines[4].split() if word[0].isdigit()][:4] == ["1.000"] * 4  # logit -0.5 is 0.38
    # the control: at 0.5 that sample is missed
    assert as_text(table(TWO_CLASSES, 2)).splitlines()[4].split()[1] == "0.667"


def test_the_files_hold_every_detail() -> None:
    rows = table(TWO_CLASSES, 2)
    found = json.loads(as_json(rows, {"seed": 0}))["rows"]
    assert {"threshold", "sensitivity", "specificity", "ppv", "npv", "brier"} <= set(found[0]["details"])
    lines = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [line["tested_on"] for line in lines] == ["a", "b", "all sites"]
    assert float(lines[2]["sensitivity"]) == pytest.approx(2 / 3)


def test_a_number_is_shown_by_its_errors_and_labels_by_their_mean_areas() -> None:
    number = table({"a": samples([[1.0], [3.0]], torch.tensor([2.0, 5.0]))}, 1)
    assert as_text(number).splitlines()[0].startswith("MAE / R² on held-out")
    assert as_text(number).splitlines()[1].split()[1] == "1.500"
    assert number[0].positives is None
    labels = table({"a": samples([[1.0, 5.0], [2.0, 4.0]], torch.tensor([[0.0, 1.0], [1.0, 0.0]]))}, 2 + 1)
    assert as_text(labels).splitlines()[1].split()[1:4:2] == ["1.000", "1.000"]
    assert "at likelihood" not in as_text(labels)


@pytest.mark.parametrize("threshold", ["2", "-0.1", "x", "nan"])
def test_a_threshold_is_a_likelihood(threshold: str, capsys: pytest.CaptureFixture[str]) -> None:
    needed = [word for name in ("data", "config", "model", "output") for word in (f"--{name}", "x")]
    with pytest.raises(SystemExit) as caught:
        main([*needed, f"--threshold={threshold}"])
    assert caught.value.code == 2
    assert "is no likelihood from 0 to 1" in capsys.readouterr().err
