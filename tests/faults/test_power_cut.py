"""The power goes at any step of a checkpoint: what is found is the state before or the one after, nothing else."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fault_table import Tell
from power_cut import Recorder, all_worlds, disk_of, put

from fl_app.rounds.checkpoint import Checkpoints, Progress
from fl_app.rounds.files import RoundLines, write_atomically

pytestmark = pytest.mark.faults

PROGRESS = Progress("run", "print", 1, False, {"round": 0}, {"a": 3}, 12.5)


def state(value: float) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict(weight=torch.full((40, 30), value), bias=torch.tensor([value]))


def save(kept: Checkpoints, round_: int) -> None:
    kept.save(replace(PROGRESS, next_round=round_), state(float(round_)))


def found_in(folder: Path) -> int | None:
    """Return the round at which a run would go on from a folder, its weights looked at; None for a new run."""
    found = Checkpoints(folder).load("print")
    if found is None:
        return None
    progress = found.progress
    assert all(torch.equal(found.state[name], tensor) for name, tensor in state(float(progress.next_round)).items())
    return progress.next_round


def cut_everywhere(tmp_path: Path, patch: pytest.MonkeyPatch, saved: int, *, without: str = "") -> int:
    """Cut the power at every step of the checkpoint after ``saved`` others; return how many folders were looked at.

    Raises:
        AssertionError: a folder holds neither the state before nor the one after, or what was durable is lost.
    """
    folder = tmp_path / "checkpoints"
    kept = Checkpoints(folder)
    for round_ in range(1, saved + 1):
        save(kept, round_)
    before, recorder = disk_of(folder), Recorder(folder, without=without)
    with patch.context() as patched:
        recorder.install(patched)
        save(kept, saved + 1)
    looked_at = 0
    for done, world in all_worlds(before, recorder.steps):
        found = found_in(put(world, tmp_path / "found"))
        allowed = {saved + 1} if done else {saved or None, saved + 1}
        assert found in allowed, f"{found} instead of {allowed}, from { ({n: len(c) for n, c in world.items()}) }"
        looked_at += 1
    assert looked_at > 20
    return looked_at


@pytest.mark.parametrize("saved", [0, 1, 2, 5])
def test_a_power_cut_at_any_step_of_a_checkpoint_leaves_the_state_before_or_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: int, tell: Tell, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    looked_at = cut_everywhere(tmp_path, monkeypatch, saved)
    tell(
        f"power cut at every step of a checkpoint ({saved} before it)",
        f"the state before or after in all of {looked_at} folders that may be found",
        folders=looked_at,
    )


@pytest.mark.parametrize("step", ["fsync", "fsync folder"])
def test_without_one_of_the_fsyncs_the_same_check_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The negative control: what was reported as saved is then lost, or damaged."""
    with pytest.raises(AssertionError, match="instead of"):
        cut_everywhere(tmp_path, monkeypatch, 3, without=step)


def test_what_a_cut_left_lying_about_does_not_harm_the_next_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    folder = tmp_path / "checkpoints"
    kept = Checkpoints(folder)
    save(kept, 1)
    before, recorder = disk_of(folder), Recorder(folder)
    with monkeypatch.context() as patched:
        recorder.install(patched)
        save(kept, 2)
    for _, world in list(all_worlds(before, recorder.steps))[::7]:
        put(world, tmp_path / "found")
        save(Checkpoints(tmp_path / "found"), 3)
        assert found_in(tmp_path / "found") == 3


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (lambda path, n: write_atomically(path, b"%d" % n * 5000), lambda path: path.read_bytes()),
        (lambda path, n: RoundLines(path).append({"round": n, "x": "y" * 300}), lambda path: RoundLines(path)._last),
    ],
    ids=["a file that is replaced", "the lines of the rounds"],
)
def test_a_power_cut_leaves_other_files_of_a_run_readable(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path, int], None],
    read: Callable[[Path], object],
) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    write(folder / "file", 0)
    known = [read(folder / "file")]
    before, recorder = disk_of(folder), Recorder(folder)
    with monkeypatch.context() as patched:
        recorder.install(patched)
        write(folder / "file", 1)
    known.append(read(folder / "file"))
    assert recorder.steps
    for _, world in all_worlds(before, recorder.steps):
        assert read(put(world, tmp_path / "found") / "file") in known
