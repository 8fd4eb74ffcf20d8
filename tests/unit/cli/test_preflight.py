"""What a person reads of a preflight, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.cli.context import Aws, Context
from infra.cli.main import main
from infra.cli.preflight import as_text
from infra.errors import Problem, Severity
from infra.preflight import Answer, NotCleared, exit_code

HERE = Context(Path(__file__).parents[3] / "federation.yaml", Aws.REAL, json=False)
ERROR = Problem("account 1", "there is no key.", "", "Make it.")
WARNING = Problem("account 1", "overlaps.", "", "", Severity.WARNING)


def answer(check: str = "image", *problems: Problem, asked: bool = True) -> Answer:
    return Answer("hospital-a", "111111111111", "us-east-1", check, problems, was_asked=asked)


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([answer()], 0),
        ([answer("image", WARNING)], 0),
        ([answer("image", WARNING, ERROR)], 1),
        ([answer("credentials", ERROR), answer("image", ERROR)], 3),
        ([answer("credentials", Problem("profile a", "AWS does not answer: timeout"))], 4),
    ],
)
def test_the_exit_code_says_what_kind_of_error_there_was(answers: list[Answer], code: int) -> None:
    assert exit_code(answers) == code


def test_a_deployment_that_is_not_cleared_names_errors_and_not_warnings() -> None:
    error = NotCleared([answer("image", ERROR, WARNING)])
    assert "there is no key." in str(error)
    assert "overlaps" not in str(error)
    assert "--no-preflight" in str(error)


def test_the_table_has_each_check_of_each_account_and_the_problems_below_it() -> None:
    text = as_text(HERE, [answer("image", ERROR), answer("zone"), answer("clock", asked=False)])
    table, _, below = text.partition("└")
    assert [line.split("│")[1:3] for line in table.splitlines() if "│" in line] == [
        [cell.ljust(7), state.ljust(14)]
        for cell, state in ((" image", " ✗ error"), (" zone", " ✓"), (" clock", " – not asked"))
    ]
    assert "error    account 1: there is no key.\n  Make it." in below


def test_a_site_that_its_own_admin_operates_is_named_and_not_passed_over_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "federation.yaml"
    text = HERE.file.read_text("utf-8")
    file.write_text(text.replace("    profile: hospital-b\n", "    operated_by: site\n"))
    monkeypatch.setenv("FEDERATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("infra.deployment.assembly.synthesize", lambda *_, **__: None)
    monkeypatch.setattr("infra.cli.preflight.examine", lambda *_: [answer()])
    assert main(["-f", str(file), "preflight", "--only", "hospital-b"]) == 3
    assert "hospital-b: its own admin operates it" in capsys.readouterr().err
    assert main(["-f", str(file), "preflight"]) == 0
    assert "Left to its own admin: hospital-b." in capsys.readouterr().err
