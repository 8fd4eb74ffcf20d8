"""What an algorithm remembers at a site goes on from the round whose update counted, and from no other."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from fl_app.rounds.local_state import LocalState


def state(value: float) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict(control=torch.full((3,), value))


@pytest.fixture
def kept(tmp_path: Path) -> LocalState:
    found = LocalState(tmp_path / "local")
    for round_ in range(12):
        found.save("run", round_, state(float(round_)))
    return found


def test_the_state_of_the_round_that_counted_is_loaded(kept: LocalState) -> None:
    found = kept.load("run", 9)  # the updates of rounds 10 and 11 were lost
    assert found is not None
    assert torch.equal(found["control"], state(9.0)["control"])


def test_before_any_update_has_counted_there_is_none(kept: LocalState) -> None:
    assert kept.load("run", None) is None


def test_another_run_forgets_it(kept: LocalState, tmp_path: Path) -> None:
    kept.save("other", 0, state(0.0))
    assert kept.load("run", 11) is None
    assert len(list((tmp_path / "local").iterdir())) == 1


def test_when_the_aggregator_has_gone_far_back_what_is_fitted_again_is_kept(tmp_path: Path) -> None:
    kept = LocalState(tmp_path / "local")
    for round_ in range(12, 24):
        kept.save("run", round_, state(float(round_)))
    kept.save("run", 3, state(3.5))
    found = kept.load("run", 3)
    assert found is not None
    assert torch.equal(found["control"], state(3.5)["control"])
    assert kept.load("run", 23) is None  # of a model that is lost


def test_few_are_kept(kept: LocalState, tmp_path: Path) -> None:
    assert len(list((tmp_path / "local").iterdir())) == 8


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 400])
def test_what_is_damaged_or_gone_is_said_and_begun_anew(
    kept: LocalState, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    newest = sorted((tmp_path / "local").iterdir())[-1]
    newest.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert kept.load("run", 11) is None
        assert kept.load("run", 2) is None  # too old
    assert caplog.text.count("begins from nothing") == 2
