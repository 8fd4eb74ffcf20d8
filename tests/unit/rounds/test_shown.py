"""Where a node stands is written, and not more often than anybody reads it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from fl_app.errors import StateError
from fl_app.rounds import shown
from fl_app.rounds.shown import Shown

LONG, SHORT = 60.0, 0.05
DEADLINE_SECONDS = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "progress.json"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def wait_for(path: Path, value: Any) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while read(path) != value:
        assert time.monotonic() < deadline, read(path)
        time.sleep(0.005)


def test_what_is_shown_first_is_written_before_it_returns(path: Path) -> None:
    Shown(path, pause=LONG).show({"round": 1})
    assert read(path) == {"round": 1}


def test_without_a_pause_everything_is_written_at_once(path: Path) -> None:
    board = Shown(path)
    for number in range(3):
        board.show({"round": number})
        assert read(path) == {"round": number}


def test_what_changes_too_fast_is_written_once_when_the_pause_is_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[Any] = []
    real = shown.write_json
    monkeypatch.setattr(shown, "write_json", lambda at, value, **how: (writes.append(value), real(at, value, **how)))
    board = Shown(path, pause=SHORT)
    for number in range(100):
        board.show({"round": number})
    wait_for(path, {"round": 99})
    assert len(writes) < 100
    assert (writes[0], writes[-1]) == ({"round": 0}, {"round": 99})


def test_what_must_be_there_now_is_written_within_a_pause(path: Path) -> None:
    board = Shown(path, pause=LONG)
    board.show({"phase": "training"})
    board.show({"phase": "finished"}, at_once=True)
    assert read(path) == {"phase": "finished"}


def test_what_is_there_already_is_not_written_again(path: Path) -> None:
    board = Shown(path)
    board.show({"round": 1})
    path.unlink()
    board.show({"round": 1})
    assert not path.exists()


def test_what_could_not_be_written_later_is_told_to_who_shows_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board, tried = Shown(path, pause=SHORT), []

    def full(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise StateError("the disk is full")

    board.show({"round": 1})
    monkeypatch.setattr(shown, "write_json", full)
    board.show({"round": 2})
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not tried:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    with pytest.raises(StateError, match="the disk is full"):
        board.show({"round": 3})
