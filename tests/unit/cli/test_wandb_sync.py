"""What is uploaded to W&B, and what is said where it cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.cli.wandb_sync import WandbSyncFailed, command, offline_runs, sync
from infra.federation.model import Wandb


def offline_run(results: Path, name: str) -> Path:
    run = results / "wandb" / f"offline-run-{name}"
    run.mkdir(parents=True)
    (run / f"run-{name[-4:]}.wandb").touch()
    return run


def test_runs_are_found_oldest_first_and_without_those_that_are_uploaded(tmp_path: Path) -> None:
    later = offline_run(tmp_path, "20260102_000000-bbbb")
    first = offline_run(tmp_path, "20260101_000000-aaaa")
    done = offline_run(tmp_path, "20260103_000000-cccc")
    (done / "run-cccc.wandb.synced").touch()
    assert offline_runs(tmp_path) == (first, later)


def test_the_command_names_project_and_entity_and_holds_no_key(tmp_path: Path) -> None:
    run = offline_run(tmp_path, "20260101_000000-aaaa")
    assert command((run,), Wandb(enabled=True, project="p", entity="e")) == [
        *(sys.executable, "-m", "wandb", "sync", "--yes"),
        *("--project", "p", "--entity", "e", str(run)),
    ]
    assert "--entity" not in command((run,), Wandb(enabled=True))


def test_without_a_key_the_error_says_where_it_belongs(tmp_path: Path) -> None:
    offline_run(tmp_path, "20260101_000000-aaaa")
    with pytest.raises(WandbSyncFailed) as error:
        sync(tmp_path, Wandb(enabled=True), environment={})
    assert "export WANDB_API_KEY" in str(error.value)
    assert "never belongs into federation.yaml" in str(error.value)


def test_without_a_run_the_error_says_what_to_switch_on(tmp_path: Path) -> None:
    with pytest.raises(WandbSyncFailed, match=r"tracking\.wandb to true"):
        sync(tmp_path, Wandb(enabled=True), environment={"WANDB_API_KEY": "x" * 40})


def test_without_the_package_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline_run(tmp_path, "20260101_000000-aaaa")
    monkeypatch.setattr("infra.cli.wandb_sync.find_spec", lambda _: None)
    with pytest.raises(WandbSyncFailed, match="pip install wandb"):
        sync(tmp_path, Wandb(enabled=True), environment={"WANDB_API_KEY": "x" * 40})
