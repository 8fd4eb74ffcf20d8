"""The in-process federation is the networked one bit for bit, and the comparison is made from what a run leaves."""

import csv
import json
from pathlib import Path

import pytest
import torch
from fl_processes import Federation
from safetensors.torch import load_file

from fl_app.compare.__main__ import main
from fl_app.compare.pool import gather
from fl_app.compare.train import train
from fl_app.config import read_config
from fl_app.eicu.dataset import load_partition_data_eicu
from fl_app.plugins import DatasetSpec

pytestmark = pytest.mark.integration


def run(federation: Federation) -> Path:
    """Run to the end and return the global model's file."""
    federation.start_all()
    for node in ("aggregator", *federation.sites):
        assert federation.exit_code(node, 120) == 0, federation.log(node)
    return federation.output("aggregator", "model.safetensors")


def test_the_network_adds_nothing_and_the_comparison_follows(
    federation: Federation, dealt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networked = load_file(run(federation))
    config_dir = federation.root / "aggregator" / "config"
    config = read_config(config_dir)
    samples = {}
    for site in federation.sites:
        spec = DatasetSpec("eicu", {}, dealt / site, site, "client", config.training.batch_size, config.training.seed)
        samples[site] = gather(load_partition_data_eicu(spec)[3])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = train(
        samples, model=config.model, aggregation=config.aggregation, training=config.training, classes=2
    ).state_dict()
    torch.set_num_threads(threads)
    assert set(networked) == set(model)
    assert all(torch.equal(networked[name], model[name]) for name in model)

    arguments = ["--data", dealt, "--config", config_dir, "--model"]
    arguments += [federation.output("aggregator", "model.safetensors"), "--output", tmp_path / "comparison"]
    assert main([str(argument) for argument in arguments]) == 0
    found = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    models = ["federated", "local hospital-a", "local hospital-b", "pooled"]
    places = ["hospital-a", "hospital-b", "all sites"]
    assert [(row["model"], row["tested_on"]) for row in found["rows"]] == [(m, p) for m in models for p in places]
    assert found["sources"] == {"hospital-a": "synthetic", "hospital-b": "synthetic"}
    assert found["epochs_per_round"] * found["rounds"] == 3
    by_place = {row["tested_on"]: row for row in found["rows"] if row["model"] == "federated"}
    for key in ("samples", "positives"):
        assert by_place["all sites"][key] == by_place["hospital-a"][key] + by_place["hospital-b"][key]
    last = federation.rounds()[-1]["sites"]
    for record in last:
        assert by_place[record["site"]]["auroc"] == pytest.approx(record["auroc"], abs=1e-6)
    with (tmp_path / "comparison" / "comparison.csv").open(newline="") as lines:
        assert [row["model"] for row in csv.DictReader(lines)] == [row["model"] for row in found["rows"]]
    assert "federated" in capsys.readouterr().out
