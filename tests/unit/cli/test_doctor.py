"""``federate doctor`` on the command line: what it asks, what it prints, and what it refuses."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from infra.accounts import AwsRefused
from infra.cli import doctor as command
from infra.cli.context import Context
from infra.cli.main import main

EXAMPLE = Path(__file__).parents[3] / "federation.yaml"


@pytest.fixture(autouse=True)
def nothing_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS does not answer, and no tool is started."""
    monkeypatch.setenv("FEDERATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(command, "_cdk", lambda: None)
    monkeypatch.setattr("infra.doctor.here._said", lambda words: " ".join(words))

    def refuse(_: Context) -> None:
        raise AwsRefused("AWS does not answer: no network")

    monkeypatch.setattr(Context, "reach_aws", refuse)


def names(path: Path) -> set[str]:
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_without_aws_what_is_here_is_collected_and_the_rest_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "d.tar.gz"
    assert main(["-f", str(EXAMPLE), "doctor", "-o", str(file)]) == 0
    assert {"README.md", "index.html", "federation.yaml", "here/versions.json"} <= names(file)
    said = capsys.readouterr().out
    assert said.startswith(f"{file}: 3 files, ")
    assert "AWS does not answer: no network" in said


def test_a_script_gets_the_contents_and_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "d.tar.gz"
    assert main(["-f", str(EXAMPLE), "--json", "doctor", "-o", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(file)
    assert told["bytes"] == file.stat().st_size
    assert told["contents"][0]["name"] == "federation.yaml"
    assert told["not_collected"] == [{"name": "nodes", "about": "all nodes", "why": "AWS does not answer: no network"}]


def test_a_file_that_describes_no_federation_is_collected_with_its_problems(tmp_path: Path) -> None:
    broken = tmp_path / "federation.yaml"
    broken.write_text("name: fed\nregions: us-east-1\n")
    assert main(["-f", str(broken), "doctor", "-o", str(tmp_path / "d.tar.gz")]) == 0
    assert "here/problems.txt" in names(tmp_path / "d.tar.gz")


def test_a_file_that_is_there_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d.tar.gz").write_text("mine")
    monkeypatch.setattr(command, "_of_accounts", lambda _: pytest.fail("an account was asked"))
    assert main(["-f", str(EXAMPLE), "doctor", "-o", str(tmp_path / "d.tar.gz")]) == 2
    assert "is there already" in capsys.readouterr().err
