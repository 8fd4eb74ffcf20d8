"""Checkpoints: what is saved is loaded, to the bit; a torn one falls back to the one before, and says so."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fl_app.errors import StateError
from fl_app.rounds import files
from fl_app.rounds.checkpoint import Checkpoints, Progress

PROGRESS = Progress(
    "run",
    "print",
    1,
    False,
    {"round": 0},
    {"a": 3},
    12.5,
    asked=["a"],
    counted={"a": 0},
    took_part={"a": 1},
    took={"a": [0.5]},
    data={"a": "0" * 64},
    expelled=["b"],
    best=(0.7, 0),
)


def state(value: float) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict(weight=torch.full((2, 3), value), bias=torch.tensor([value]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def save(folder: Path, rounds: int) -> Checkpoints:
    kept = Checkpoints(folder)
    for round_ in range(1, rounds + 1):
        kept.save(replace(PROGRESS, next_round=round_), state(float(round_)))
    return kept


def test_what_was_saved_is_loaded_by_the_next_process(folder: Path) -> None:
    save(folder, 3)
    found = Checkpoints(folder).load("print")
    assert found is not None
    assert found.progress == replace(PROGRESS, next_round=3)
    assert list(found.state) == ["weight", "bias"]
    assert all(torch.equal(found.state[name], tensor) for name, tensor in state(3.0).items())


def test_what_the_aggregation_keeps_is_loaded_with_the_weights(folder: Path) -> None:
    momentum = OrderedDict(momentum=torch.tensor([1.0, float("inf"), -0.0]))
    Checkpoints(folder).save(PROGRESS, state(1.0), kept=momentum)
    found = Checkpoints(folder).load("print")
    assert found is not None
    assert found.kept["momentum"].numpy().tobytes() == momentum["momentum"].numpy().tobytes()
    assert torch.equal(found.state["weight"], state(1.0)["weight"])


@pytest.mark.parametrize("keep", [1, 3, 5])
def test_the_last_few_are_kept_and_the_finished_one_is_the_newest(folder: Path, keep: int) -> None:
    kept = Checkpoints(folder, keep=keep)
    for round_ in range(1, 11):
        kept.save(replace(PROGRESS, next_round=round_), state(float(round_)))
    assert len(list(folder.iterdir())) == keep
    kept.save(replace(PROGRESS, next_round=10, finished=True), state(10.0))
    found = kept.load("print")
    assert found is not None
    assert found.progress.finished


@pytest.mark.parametrize("damage", ["truncated", "a bit flipped", "empty", "header cut"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_with_a_warning(
    folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = save(folder, 5)
    newest = max(folder.iterdir())
    data = newest.read_bytes()
    flipped = bytes([data[-1] ^ 1])
    newest.write_bytes(
        {"truncated": data[:-7], "a bit flipped": data[:-1] + flipped, "empty": b"", "header cut": data[40:]}[damage]
    )
    with caplog.at_level(logging.WARNING):
        found = kept.load("print")
    assert found is not None
    assert found.progress.next_round == 4
    assert f"{newest} is damaged" in caplog.text


def test_when_all_are_damaged_the_run_does_not_silently_begin_again(folder: Path) -> None:
    kept = save(folder, 2)
    for path in folder.iterdir():
        path.write_bytes(b"nonsense")
    with pytest.raises(StateError, match=r"Every checkpoint .* is damaged"):
        kept.load("print")


def test_other_settings_are_another_run(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = save(folder, 2)
    with caplog.at_level(logging.WARNING):
        assert kept.load("other settings") is None
    assert "a new run begins" in caplog.text
    assert list(folder.iterdir()) == []


def test_settings_that_change_in_the_middle_of_a_start_lose_nothing(folder: Path) -> None:
    kept = Checkpoints(folder)
    kept.save(replace(PROGRESS, start="20261125"), state(1.0))
    with pytest.raises(StateError, match="settings have changed since this run was started; it stands at round 2"):
        kept.load("other settings", start="20261125")
    assert kept.load("print", start="20261125") is not None
    assert kept.load("other settings", start="20261126") is None  # another start begins a new run


def test_without_checkpoints_a_run_is_new(folder: Path) -> None:
    assert Checkpoints(folder).load("print") is None


def test_a_full_disk_leaves_the_checkpoint_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = save(folder, 1)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StateError, match="No space left on device"):
        kept.save(replace(PROGRESS, next_round=2), state(2.0))
    found = kept.load("print")
    assert found is not None
    assert found.progress.next_round == 1


def test_a_crash_between_writing_and_renaming_leaves_the_checkpoint_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = save(folder, 1)

    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(Crash):
            kept.save(replace(PROGRESS, next_round=2), state(2.0))
    found = Checkpoints(folder).load("print")
    assert found is not None
    assert found.progress.next_round == 1
