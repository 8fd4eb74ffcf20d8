"""What a tracker is given of a round, and that no tracker is opened unless asked for."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fl_app.config import Address, Plugin, Policy, RunConfig, Training, Wandb
from fl_app.errors import ConfigError
from fl_app.tracking import open_tracker
from fl_app.tracking.tracker import history, run_settings

CONFIG = RunConfig(
    federation="eicu",
    node="aggregator",
    role="aggregator",
    tls_name_of_aggregator="aggregator.eicu.federate",
    aggregator=Address("10.30.0.10", 8890),
    dataset=Plugin("eicu"),
    model=Plugin("logistic_regression", {"width": 442}),
    aggregation=Plugin("fedavg"),
    training=Training(2, 1, 32, 0.001, "adam", 0.0, "balanced", 0),
    policy=Policy(quorum=2),
    message_limit=1 << 30,
    wandb=Wandb(),
    gpu_processes=(1,),
    roster=("hospital-a", "hospital-b"),
)
RECORD = {
    "round": 3,
    "rounds": 50,
    "seconds": 0.25,
    "answered": ["hospital-a", "hospital-b"],
    "sites": [
        {"site": "hospital-a", "samples": 100, "test_loss": 0.5, "auroc": 0.75, "auprc": None, "rows": ["x"]},
        {"site": "hospital-b", "samples": 300, "test_loss": 0.25, "auroc": None, "auprc": math.nan},
    ],
    "federated": {"train_loss": 0.4, "test_loss": 0.3125, "auroc": 0.75, "auprc": None},
}


def test_a_round_is_flattened_to_numbers_of_the_federation_and_of_each_site() -> None:
    assert history(RECORD) == {
        "round/seconds": 0.25,
        "round/answered": 2,
        "federated/train_loss": 0.4,
        "federated/test_loss": 0.3125,
        "federated/auroc": 0.75,
        "sites/hospital-a/samples": 100,
        "sites/hospital-a/test_loss": 0.5,
        "sites/hospital-a/auroc": 0.75,
        "sites/hospital-b/samples": 300,
        "sites/hospital-b/test_loss": 0.25,
    }


def test_only_named_metrics_leave_whatever_else_a_record_holds() -> None:
    smuggled = {**RECORD, "patients": [1, 2], "sites": [{"site": "hospital-a", "patientunitstayid": 141765}]}
    assert not any("patient" in name for name in history(smuggled))


def test_the_settings_say_what_was_trained_and_how() -> None:
    settings = run_settings(CONFIG)
    assert settings["sites"] == ["hospital-a", "hospital-b"]
    assert settings["model"] == {"name": "logistic_regression", "options": {"width": 442}}
    assert settings["training"]["rounds"] == 2


def test_tracking_that_is_off_writes_nothing_and_does_not_import_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import would fail
    tracker = open_tracker(CONFIG, tmp_path)
    tracker.round(RECORD)
    tracker.finish({"rounds": 50})
    assert list(tmp_path.iterdir()) == []


def test_tracking_that_is_on_without_the_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_ERROR_REPORTING", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, "")  # restored afterwards
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match="wandb is not installed") as error:
        open_tracker(replace(CONFIG, wandb=Wandb(enabled=True)), tmp_path)
    assert "federation.yaml" in str(error.value)
