"""A checkpoint that rots: any bit flipped or any length lost is noticed, said, and the one before is taken."""

from __future__ import annotations

import logging
import random
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fault_federation import SEED, sizes
from fault_table import Tell

from fl_app.rounds import checkpoint
from fl_app.rounds.checkpoint import Checkpoints, Progress

pytestmark = pytest.mark.faults

PROGRESS = Progress("run", "print", 1, False, {"round": 0}, {"a": 3}, 12.5)
SAMPLE = sizes(400, 8000)


def state(value: float) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict(weight=torch.full((40, 30), value), bias=torch.tensor([value]))


def two_saved(folder: Path) -> Path:
    kept = Checkpoints(folder)
    for round_ in (1, 2):
        kept.save(replace(PROGRESS, next_round=round_), state(float(round_)))
    return sorted(folder.iterdir())[-1]


def damages(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield damaged forms of a file: every bit of its two lines, a sample of the others, a sample of the lengths."""
    chance = random.Random(SEED)
    lines = data.index(b"\n", data.index(b"\n") + 1) + 1
    bits = [*range(0, 8 * lines, sizes(3, 1)), *(chance.randrange(8 * lines, 8 * len(data)) for _ in range(SAMPLE))]
    for bit in bits:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit} flipped", bytes(flipped)
    for length in [0, len(data) - 1, *(chance.randrange(len(data)) for _ in range(SAMPLE))]:
        yield f"cut to {length} bytes", data[:length]


def check_every_damage(folder: Path, caplog: pytest.LogCaptureFixture) -> int:
    """Damage the newest checkpoint in every way; return in how many."""
    newest = two_saved(folder)
    data, count = newest.read_bytes(), 0
    for how, damaged in damages(data):
        newest.write_bytes(damaged)
        caplog.clear()
        found = Checkpoints(folder).load("print")
        assert found is not None, how
        assert found.progress == PROGRESS, how
        assert all(torch.equal(found.state[name], tensor) for name, tensor in state(1.0).items()), how
        assert "trying the one before" in caplog.text, how
        count += 1
    return count


def test_any_damage_to_the_newest_checkpoint_is_noticed_and_the_one_before_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tell: Tell
) -> None:
    caplog.set_level(logging.WARNING)
    count = check_every_damage(tmp_path, caplog)
    tell("bits flipped and ends cut off in the newest checkpoint", f"the one before, with a warning: {count} times")


def test_without_its_checksum_damage_would_pass(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: one digest for everything, and the same check fails."""
    monkeypatch.setattr(checkpoint, "_digest", lambda *_: b"0" * 64)
    with pytest.raises(AssertionError, match="flipped"):
        check_every_damage(tmp_path, caplog)
