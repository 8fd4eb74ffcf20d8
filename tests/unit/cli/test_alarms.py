"""``federate alarms`` shows every account's alarms with CloudWatch's states, and says by its exit code if one is on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from infra.cli import alarms, main
from infra.cli.context import Context
from infra.errors import FederateError
from infra.federation.derive import Node, nodes
from infra.federation.load import load

EXAMPLE = Path(__file__).parents[3] / "federation.yaml"
SINCE = datetime(2026, 11, 26, 3, 0, 1, tzinfo=UTC)


@dataclass
class FakeRemote:
    """A node whose account has its alarms in these states, by the end of their names; others are ``OK``.

    ``refused``: CloudWatch answers nothing; ``expired``: the profile has no credentials.
    """

    node: Node
    states: Mapping[str, str]
    where: str = "account 1"

    def refuse_without_credentials(self) -> None:
        if "expired" in self.states:
            raise Expired("profile hospital-a: its token is expired.", remedy="aws sso login")

    def client(self, service: str) -> FakeRemote:
        assert service == "cloudwatch"
        return self

    def describe_alarms(self, **asked: list[str]) -> dict[str, Any]:
        own = f"federate-eicu-{self.node.id}-"
        found = {name: self.states.get(name.removeprefix(own), "OK") for name in asked["AlarmNames"]}
        if "refused" in self.states:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeAlarms")
        return {
            "MetricAlarms": [
                {"AlarmName": name, "StateValue": state, "StateReason": "why", "StateUpdatedTimestamp": SINCE}
                for name, state in found.items()
                if state != "gone"
            ]
        }


class Expired(FederateError):
    exit_code = 3


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``federate alarms`` where hospital-a's alarms have these states; return exit code, output and errors."""

    def command(*arguments: str, file: Path = EXAMPLE, **states: str) -> tuple[int, str, str]:
        shown = {name.replace("_", "-"): state for name, state in states.items()}
        remotes = [FakeRemote(node, shown if node.id == "hospital-a" else {}) for node in nodes(load(file).federation)]
        monkeypatch.setattr(alarms, "named", lambda *_: remotes)
        monkeypatch.setattr(Context, "reach_aws", lambda *_: None)
        code = main.main(["-f", str(file), *arguments])
        out, errors = capsys.readouterr()
        return code, out, errors

    return command


def test_every_account_has_its_alarms_its_topic_and_its_dashboard(run: Run) -> None:
    code, out, _ = run("--json", "alarms")
    told = json.loads(out)
    assert code == 0
    assert [(one["node"], one["account"], len(one["alarms"])) for one in told] == [
        ("aggregator", "333333333333", 8),
        ("hospital-a", "111111111111", 8),
        ("hospital-b", "222222222222", 8),
    ]
    assert told[1]["topic"] == "arn:aws:sns:us-east-1:111111111111:federate-eicu-hospital-a"
    assert told[1]["dashboard"] == (
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
        "#dashboards/dashboard/federate-eicu-hospital-a"
    )
    assert told[1]["alarms"][0]["since"] == "2026-11-26T03:00:01+00:00"


def test_an_alarm_that_is_on_is_shown_with_what_it_means_and_what_to_do(run: Run) -> None:
    _, out, _ = run("alarms", stalled="ALARM")
    words = " ".join(line.split("│")[-2].strip() for line in out.splitlines() if line.startswith("│"))
    assert "No new round for 60 min in the middle of a run. federate status says for whom the run waits" in words
    assert out.count("ALARM") == 1


@pytest.mark.parametrize(
    ("states", "expected", "named"),
    [
        ({}, 0, ""),
        ({"failed": "INSUFFICIENT_DATA"}, 0, ""),
        ({"root_disk": "ALARM"}, 6, "federate-eicu-hospital-a-root-disk (ALARM)"),
        ({"unreachable": "gone"}, 6, "federate-eicu-hospital-a-unreachable (not there)"),
    ],
)
def test_a_script_learns_by_the_exit_code_that_an_alarm_is_on_or_gone(
    run: Run, states: dict[str, str], expected: int, named: str
) -> None:
    code, _, errors = run("alarms", "--fail", **states)
    assert code == expected
    assert named in errors
    assert run("alarms", **states)[0] == 0


@pytest.mark.parametrize(("how", "expected", "why"), [("refused", 4, "AccessDenied"), ("expired", 3, "is expired")])
def test_an_account_that_does_not_answer_is_named_and_the_others_are_shown(
    run: Run, how: str, expected: int, why: str
) -> None:
    code, out, _ = run("alarms", **{how: "yes"})
    assert code == expected
    assert out.count("does not answer") == 1
    assert "hospital-a is missing here:" in out
    assert why in out
    assert out.count("│ OK ") == 16  # of the aggregator and hospital-b
    assert run("alarms")[1].count("│ OK ") == 24


def test_a_script_is_told_which_node_is_missing_and_why(run: Run) -> None:
    code, out, _ = run("--json", "alarms", expired="yes")
    told = {one["node"]: one for one in json.loads(out)}
    assert code == 3
    assert {id_: len(one["alarms"]) for id_, one in told.items()} == {
        "aggregator": 8,
        "hospital-a": 0,
        "hospital-b": 8,
    }
    assert [id_ for id_, one in told.items() if one["troubles"]] == ["hospital-a"]
    assert "aws sso login" in told["hospital-a"]["troubles"][0]


def test_an_unknown_node_is_bad_input_with_and_without_monitoring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    off = tmp_path / "federation.yaml"
    off.write_text(yaml.safe_dump(yaml.safe_load(EXAMPLE.read_text("utf-8")) | {"monitoring": False}))
    for file in (off, EXAMPLE):
        assert main.main(["-f", str(file), "alarms", "hospital-x"]) == 2
        assert "There are aggregator, hospital-a, hospital-b" in capsys.readouterr().err
    assert main.main(["-f", str(off), "alarms", "hospital-b"]) == 0


def test_without_monitoring_no_account_is_asked(run: Run, tmp_path: Path) -> None:
    data = yaml.safe_load(EXAMPLE.read_text("utf-8")) | {"monitoring": False}
    file = tmp_path / "federation.yaml"
    file.write_text(yaml.safe_dump(data))
    code, out, _ = run("alarms", file=file, refused="yes")
    assert code == 0
    assert "Monitoring is off" in out
