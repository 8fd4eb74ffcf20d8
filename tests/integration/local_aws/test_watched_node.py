"""A node's own lines put its own alarms on and off: an account's template, deployed, and the agent's real meter."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_node import facts
from moto.sns.models import sns_backends

from infra.federation.model import Federation
from infra.local.aws.additions import alarms_api
from node_bootstrap import measures
from node_bootstrap.agent import readings
from node_bootstrap.agent.metrics import Meter
from node_bootstrap.measures import Measure

REGION = "us-east-1"
EXAMPLE = Path(__file__).parents[3] / "federation.yaml"
MINUTE = 60.0


@dataclass
class Watched:
    """A hospital's deployed storage stack, and the meter of its node, whose minutes pass as a test says."""

    account: Any
    folder: Path
    now: float = field(default_factory=time.time)
    standing: dict[str, Any] = field(default_factory=lambda: {"state": "ready"})

    def __post_init__(self) -> None:
        (self.folder / "output").mkdir(parents=True, exist_ok=True)
        self.group = f"/federate/eicu/{self.node}"
        who = facts(federation="eicu", node=self.node, log_group=self.group)
        self.logs = self.account.client("logs")
        self.logs.create_log_stream(logGroupName=self.group, logStreamName=f"{self.node}/metrics")
        self.meter = Meter(
            who, self, lambda: self.standing, self.folder, self.folder, clock=lambda: self.now, wall=lambda: self.now
        )

    node = "hospital-a"

    def log_whole(self, stream: str, lines: Any) -> None:
        """Send lines as the node does; its clock may be ahead of this machine's, which CloudWatch Logs would refuse."""
        events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines]
        self.logs.put_log_events(logGroupName=self.group, logStreamName=stream, logEvents=events)

    def minute(self, round_: int | None = None, state: str = "running") -> None:
        """Let a minute pass in which the node is at a round."""
        self.now += MINUTE
        self.standing = {"state": state, "run": "r", "progress": {} if round_ is None else {"round": round_}}
        self.meter.step()

    def on(self) -> set[str]:
        """Return the alarms that are on now."""
        backend = alarms_api.cloudwatch_backends[self.account.id][REGION]
        alarms_api.evaluate(backend, self.now)
        prefix = f"federate-eicu-{self.node}-"
        return {alarm.name.removeprefix(prefix) for alarm in backend.alarms.values() if alarm.state_value == "ALARM"}

    def told(self) -> list[tuple[str, str]]:
        """Return what the account's topic was told of stalled rounds."""
        topic = sns_backends[self.account.id][REGION].topics[
            f"arn:aws:sns:{REGION}:{self.account.id}:federate-eicu-{self.node}"
        ]
        messages = [json.loads(message) for _, message, *_ in topic.sent_notifications]
        return [
            (message["AlarmName"].rpartition("-")[2], message["NewStateValue"])
            for message in messages
            if message["AlarmName"].endswith("-stalled")
        ]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Templates of hospital-a, synthesised once: its storage stack's, and of its node's stack the alarm of silence."""
    from stacks.nodejs import use_pinned_node

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDK_VALIDATION", "false")
        use_pinned_node()
        from stacks.app import synthesize

        data = yaml.safe_load(EXAMPLE.read_text("utf-8"))
        data["monitoring"] = {"stalled_minutes": 10}
        folder = synthesize(Federation.model_validate(data), outdir=tmp_path_factory.mktemp("cdk.out"))
        storage, node = (
            json.loads((folder / f"Site{part}-hospital-a.template.json").read_text("utf-8"))
            for part in ("Storage", "Node")
        )
    silence = {"UnreachableAlarm": node["Resources"]["UnreachableAlarm"]}
    return {"eicu-SiteStorage-hospital-a": storage, "eicu-SiteNode-hospital-a": {"Resources": silence}}


@pytest.fixture
def watched(account: Any, templates: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(readings, "gpus", dict)
    for name, template in templates.items():
        body = json.loads(json.dumps(template).replace("111111111111", account.id))
        assert account.create(name, body) == "CREATE_COMPLETE"
    yield Watched(account, tmp_path / "node")
    for name in reversed(templates):
        assert account.delete(name) == "DELETE_COMPLETE"


def test_rounds_that_stand_still_put_the_alarm_on_and_the_next_one_puts_it_off(watched: Watched) -> None:
    for round_ in (1, 2, 3):
        watched.minute(round_)
        assert watched.on() == set()
    for _ in range(9):
        watched.minute(3)
    assert watched.on() == set()  # nine minutes since the round: not yet
    for _ in range(2):
        watched.minute(3)
    assert watched.on() == {"stalled"}
    watched.minute(4)
    assert watched.on() == set()
    assert watched.told()[-2:] == [("stalled", "ALARM"), ("stalled", "OK")]


def test_a_node_that_falls_silent_is_unreachable_until_it_is_heard_again(watched: Watched) -> None:
    for _ in range(10):
        watched.minute(state="ready")
    assert watched.on() == set()
    watched.now += 4 * MINUTE
    assert watched.on() == set()
    watched.now += 4 * MINUTE
    assert watched.on() == {"unreachable"}
    watched.minute(state="ready")
    assert watched.on() == set()


def test_a_new_node_has_a_quarter_of_an_hour_to_be_heard(watched: Watched) -> None:
    watched.now += 14 * MINUTE
    assert watched.on() == set()
    watched.now += 2 * MINUTE
    assert watched.on() == {"unreachable"}


def test_a_run_that_is_over_is_not_stalled(watched: Watched) -> None:
    for _ in range(12):
        watched.minute(3)
    assert watched.on() == {"stalled"}
    for _ in range(5):
        watched.minute(3, "finished")
    assert watched.on() == set()


def test_a_node_that_waits_for_the_first_round_is_not_stalled(watched: Watched) -> None:
    for _ in range(30):
        watched.minute(state="waiting")
    assert watched.on() == set()


def test_a_failed_node_is_still_failed_while_it_is_silent_and_until_it_says_otherwise(watched: Watched) -> None:
    watched.minute(state="failed")
    assert watched.on() == {"failed"}
    watched.now += 60 * MINUTE
    assert watched.on() == {"failed", "unreachable"}
    watched.minute(state="ready")
    assert watched.on() == set()


def test_a_bootstrap_that_failed_is_told_once_and_is_over_when_the_node_is_up(watched: Watched) -> None:
    told = measures.line(int(watched.now * 1000), "eicu", watched.node, {measures.BOOTSTRAP_FAILED: 1})
    watched.log_whole(f"{watched.node}/metrics", [told])
    assert watched.on() == {"bootstrap"}
    watched.now += 60 * MINUTE
    assert watched.on() == {"bootstrap", "unreachable"}
    watched.minute(state="booting")
    assert watched.on() == set()


@pytest.mark.parametrize(
    ("reading", "measure", "alarm", "good", "bad"),
    [
        ("disk", measures.ROOT_DISK, "root-disk", 85.0, 85.1),
        ("disk", measures.STATE_DISK, "state-disk", 85.0, 85.1),
        ("days_left", measures.CERTIFICATE_DAYS, "certificate", 15.0, 14.9),
    ],
)
def test_a_reading_beyond_its_threshold_puts_its_alarm_on(
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    reading: str,
    measure: Measure,
    alarm: str,
    good: float,
    bad: float,
) -> None:
    def is_now(value: float) -> None:
        found = {measures.ROOT_DISK: 1.0, measures.STATE_DISK: 1.0, measures.CERTIFICATE_DAYS: 80.0, measure: value}
        monkeypatch.setattr(readings, reading, lambda measure, *_: {measure: found[measure]})
        for _ in range(3):
            watched.minute(state="ready")

    is_now(good)
    assert watched.on() == set()
    is_now(bad)
    assert watched.on() == {alarm}
    is_now(good)
    assert watched.on() == set()
