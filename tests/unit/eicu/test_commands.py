"""The command line: what it prints and how it ends; never a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from fl_app.eicu.__main__ import main


def test_deal_says_what_each_site_got(synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["deal", "--source", str(synthetic), "--out", str(tmp_path / "sites"), "--sites", "north,south"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["north", "south"]
    assert all("(synthetic)" in line for line in lines)


def test_deal_honours_an_assignment(synthetic: Path, tmp_path: Path) -> None:
    ids = pl.read_csv(synthetic / "patient.csv.gz")["hospitalid"].unique().sort().to_list()[:3]
    arguments = ["deal", "--source", str(synthetic), "--out", str(tmp_path / "sites"), "--sites", "north,south"]
    assert main([*arguments, "--assign", "north=" + ",".join(map(str, ids))]) == 0
    assert json.loads((tmp_path / "sites" / "deal.json").read_text())["sites"]["north"]["hospitals"] == ids


def test_synthesize_says_that_it_is_synthetic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", "--out", str(tmp_path / "eicu"), "--stays", "20"]) == 0
    assert capsys.readouterr().out.startswith("synthetic eICU: 20 stays")


def test_a_fault_ends_with_code_2_and_its_reason_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["deal", "--source", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"), "--sites", "a,b"]
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert "no such folder" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["deal", "--sites", "a,a"],
        ["deal", "--sites", "a,../b"],
        ["deal", "--sites", "a,b", "--assign", "a"],
        ["deal", "--sites", "a,b", "--assign", "a=x"],
        ["deal", "--sites", "a,b", "--test-share", "1"],
        ["synthesize", "--stays", "0"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--out", "x", *(["--source", "x"] if arguments[0] == "deal" else [])])
    assert caught.value.code == 2
    assert repr(arguments[-1].split("=")[0])[:-1] in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["deal", "synthesize", "vocabulary", "prepare", "describe", "fetch-demo", "survey", "fit"]
)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"Example: python -m fl_app.eicu {command}" in " ".join(capsys.readouterr().out.split())


def test_the_module_runs_as_a_program() -> None:
    told = subprocess.run([sys.executable, "-m", "fl_app.eicu", "--help"], capture_output=True, text=True)
    assert told.returncode == 0
    assert "fetch-demo" in told.stdout


def test_every_command_tells_a_script_the_same_as_one_json_object(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str) -> dict[str, object]:
        assert main([*arguments, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert isinstance(found, dict)
        return found

    source, out = ("--source", str(synthetic)), ("--out", str(tmp_path / "out"))
    first = told("prepare", *source, *out)
    assert (first["reused"], first["source"]) == (False, "synthetic")
    assert told("prepare", *source, *out)["reused"] is True
    described = told("describe", *source)
    assert described["flow"][-1]["left"] == first["stays"]
    assert sum(row["cohort"] for row in described["hospitals"]) == first["stays"]
    assert told("synthesize", "--out", str(tmp_path / "eicu"), "--stays", "20")["stays"] == 20
    assert set(told("deal", *source, "--out", str(tmp_path / "sites"), "--sites", "a,b")["sites"]) == {"a", "b"}
    assert told("vocabulary", *source, "--name", "x")["source"] == "x"


def test_a_file_that_cannot_be_opened_is_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("patient", "nurseCharting", "lab"):
        (tmp_path / f"{name}.csv").mkdir()
    assert main(["prepare", "--source", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "patient.csv" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["deal"], ["deal", "--sites", "a,b", "--federation", "f"], ["fit"], ["survey"]])
def test_what_is_missing_or_too_much_is_said_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--out", "x"])
    assert caught.value.code == 2
    assert "usage: python -m fl_app.eicu" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["prepare", "deal", "synthesize", "describe", "survey"])
def test_a_disk_that_takes_no_more_is_said_without_a_traceback_and_leaves_nothing(
    synthetic: Path, dealt: Path, tmp_path: Path, command: str
) -> None:
    arguments = {
        "prepare": ["--source", str(synthetic)],
        "deal": ["--source", str(synthetic), "--sites", "a,b"],
        "synthesize": ["--stays", "300"],
        "describe": ["--source", str(synthetic)],
        "survey": ["--source", str(dealt / "hospital-a"), "--site", "hospital-a", "--minimum-cell", "3"],
    }[command]
    limit = 1_000 if command == "survey" else 20_000
    program = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "from fl_app.eicu.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    out = tmp_path / "out"
    told = subprocess.run(
        [sys.executable, "-c", program, command, *arguments, "--out", str(out)], capture_output=True, text=True
    )
    assert told.returncode == 2, told.stderr
    assert "Traceback" not in told.stderr
    assert f"{out}: cannot be written" in told.stderr
    if command != "describe":
        assert list(tmp_path.iterdir()) == []
