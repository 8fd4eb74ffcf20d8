"""``federate cost``: its options, and where a round's time comes from."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from infra.cli.context import Aws, Context
from infra.cli.cost import NoNumber, _last_run, _number
from infra.cli.main import main

FEDERATION = Path(__file__).parents[3] / "federation.yaml"


def test_a_price_table_that_is_not_there_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", str(FEDERATION), "cost", "--prices", "/nowhere.json"]) == 2
    assert "/nowhere.json cannot be read" in capsys.readouterr().err


def test_no_rounds_are_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", str(FEDERATION), "cost", "--rounds", "0"]) == 2
    assert "--rounds" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", ""])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(NoNumber, match="--round-seconds"):
        _number("--round-seconds", text)


def result(home: Path, run: str, **summary: object) -> Path:
    folder = home / "results" / "eicu" / run
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_a_rounds_time_is_that_of_the_newest_run_that_came_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDERATE_HOME", str(tmp_path))
    here = Context(FEDERATION, Aws.REAL, json=False)
    assert _last_run(here) == (None, None, "")
    (result(tmp_path, "20261124T000000Z-aa", seconds=100, rounds=50) / "model.safetensors").write_bytes(b"x" * 7)
    (tmp_path / "results" / "eicu" / "20261125T000000Z-bb").mkdir()  # was broken off
    result(tmp_path, "20261126T000000Z-cc", seconds=1, rounds=0)
    assert _last_run(here) == (Decimal(2), 7, "20261124T000000Z-aa")
