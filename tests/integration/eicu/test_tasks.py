"""Federations of processes that learn what is no single class: a number with a fit of the sites, and 25 labels."""

import json
from pathlib import Path

import pytest
from fl_processes import Federation
from safetensors.torch import load_file

from fl_app.compare.__main__ import main as compare
from fl_app.eicu.__main__ import main as eicu

pytestmark = pytest.mark.integration

SITES = ("hospital-a", "hospital-b")


def federation_of(root: Path, dealt: Path, options: dict[str, object], inputs: int) -> Federation:
    """Two hospitals and an aggregator, two rounds; what is in ``root`` for a site joins its data."""
    made = Federation(
        root / "federation",
        SITES,
        rounds=2,
        dataset={"name": "eicu", "options": options},
        model={"name": "logistic_regression", "options": {"inputs": inputs}},
    )
    for site in SITES:
        for path in (*(dealt / site).iterdir(), *root.glob("fit.json")):
            (made.root / site / "data" / path.name).symlink_to(path)
    return made


def run(federation: Federation) -> Path:
    """Run to the end and return the aggregator's model."""
    federation.start_all()
    for node in ("aggregator", *SITES):
        assert federation.exit_code(node, 120) == 0, federation.log(node)
    return federation.output("aggregator", "model.safetensors")


def compared(federation: Federation, model: Path, output: Path) -> dict[str, object]:
    """Compare, and return the federated model's row over all sites."""
    for site in SITES:
        (output / site).symlink_to(federation.root / site / "data")
    arguments = ["--data", output, "--config", federation.root / "aggregator" / "config", "--model", model]
    assert compare([str(argument) for argument in (*arguments, "--output", output / "comparison")]) == 0
    rows = json.loads((output / "comparison" / "comparison.json").read_text())["rows"]
    return next(row for row in rows if (row["model"], row["tested_on"]) == ("federated", "all sites"))


def test_the_remaining_stay_is_learned_with_ids_and_ranges_that_the_sites_fitted(
    dealt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    surveys = [str(tmp_path / f"{site}.json") for site in SITES]
    for site, file in zip(SITES, surveys, strict=True):
        arguments = ["--source", str(dealt / site), "--site", site, "--task", "remaining_los", "--minimum-cell", "5"]
        assert eicu(["survey", *arguments, "--out", file]) == 0
    capsys.readouterr()
    assert eicu(["fit", "--surveys", *surveys, "--out", str(tmp_path / "fit.json"), "--json"]) == 0
    fit = json.loads(capsys.readouterr().out)["fit"]
    federation = federation_of(tmp_path, dealt, {"task": "remaining_los", "fit": fit}, 5_304)
    try:
        model = run(federation)
        assert load_file(model)["weight"].shape == (1, 5_304)
        last = federation.rounds()[-1]["federated"]
        assert last["test_loss"] > 0
        assert last["auroc"] is None
        (tmp_path / "compared").mkdir()
        row = compared(federation, model, tmp_path / "compared")
        assert row["details"]["mae"] > 0
        assert row["details"]["r2"] < 1
        assert "MAE / R²" in capsys.readouterr().out
    finally:
        federation.end()


def test_25_conditions_are_learned_at_once(dealt: Path, tmp_path: Path) -> None:
    federation = federation_of(tmp_path, dealt, {"task": "phenotyping"}, 88_400)
    try:
        assert load_file(run(federation))["weight"].shape == (25, 88_400)
        last = federation.rounds()[-1]["federated"]
        assert 0 < last["auroc"] < 1
        assert "held-out: labels_with_both_outcomes" in federation.log(SITES[0])
    finally:
        federation.end()
