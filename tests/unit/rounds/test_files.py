"""rounds.jsonl: a record a round, whatever was interrupted or is run again."""

from __future__ import annotations

import json
from pathlib import Path

from fl_app.rounds.files import RoundLines


def rounds(path: Path) -> list[int]:
    return [json.loads(line)["round"] for line in path.read_text().splitlines()]


def test_a_round_that_is_run_again_takes_the_place_of_its_old_record_and_of_later_ones(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    for round_ in range(4):
        RoundLines(path).append({"round": round_, "try": 1})
    RoundLines(path).append({"round": 2, "try": 2})
    assert rounds(path) == [0, 1, 2]
    assert json.loads(path.read_text().splitlines()[-1])["try"] == 2


def test_a_line_that_was_torn_by_a_crash_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    path.write_text('{"round": 0}\n{"round": 1}\n{"rou')
    lines = RoundLines(path)
    lines.append({"round": 2})
    lines.append({"round": 3})
    assert rounds(path) == [0, 1, 2, 3]
