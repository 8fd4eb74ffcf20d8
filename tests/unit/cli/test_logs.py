"""Logs of all nodes in one time line: from when, in which order, and each line once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from infra.accounts import AwsRefused
from infra.cli import logs as command
from infra.cli.context import Context
from infra.cli.logs import NoMoment, TimeLine, in_one_time_line, moment_ms
from infra.cli.main import main
from infra.errors import FederateError
from infra.nodes.remote import LogLine

NOW = 1_000_000.0


@dataclass
class Node:
    """A node whose account shows lines when a test says so."""

    id: str
    lines: list[LogLine] = field(default_factory=list)
    asked_since: list[int] = field(default_factory=list)
    trouble: FederateError | None = None
    where: str = "somewhere"

    @property
    def node(self) -> Any:
        return SimpleNamespace(id=self.id, account="111111111111", profile=self.id, region="us-east-1")

    def refuse_without_credentials(self) -> None:
        if self.trouble:
            raise self.trouble

    def log_lines(self, since_ms: int) -> Iterator[LogLine]:
        self.asked_since.append(since_ms)
        if self.trouble:
            raise self.trouble
        yield from (line for line in self.lines if line.at >= since_ms)

    def says(self, at: int, text: str) -> None:
        self.lines.append(LogLine(f"{self.id}-{len(self.lines)}", at, f"{self.id}/agent", text))

    def refuse_unless_deployed(self) -> None:
        """It is deployed."""


@pytest.fixture
def a() -> Node:
    return Node("hospital-a")


@pytest.fixture
def b() -> Node:
    return Node("hospital-b")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("30s", (NOW - 30) * 1000),
        ("10m", (NOW - 600) * 1000),
        ("2h", (NOW - 7200) * 1000),
        ("1d", (NOW - 86_400) * 1000),
        ("1970-01-01T00:01", 60_000),
        ("1970-01-01T01:01:00+01:00", 60_000),
    ],
)
def test_a_time_is_so_long_ago_or_a_moment_in_utc(text: str, meant: float) -> None:
    assert moment_ms(text, NOW) == meant


@pytest.mark.parametrize("text", ["", "10", "ten minutes", "10w", "-10m", "2026-13-01"])
def test_what_is_no_time_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(NoMoment, match="10m"):
        moment_ms(text, NOW)


def texts(line: TimeLine) -> list[str]:
    return [found.text for _, found in in_one_time_line(line, follow=False)]


def follow(lines: Iterator[tuple[str, LogLine]], shown: list[str]) -> None:
    for _, line in lines:
        shown.append(line.text)


def test_lines_of_all_nodes_are_in_the_order_of_their_times(a: Node, b: Node) -> None:
    a.says(30, "third")
    b.says(10, "first")
    a.says(40, "fourth")
    b.says(20, "second")
    assert texts(TimeLine([a, b])) == ["first", "second", "third", "fourth"]


def test_lines_of_one_moment_stay_in_their_nodes_order(a: Node) -> None:
    for text in ("z", "y", "x"):
        a.says(10, text)
    assert texts(TimeLine([a])) == ["z", "y", "x"]


def test_nothing_older_than_asked_is_fetched_or_shown(a: Node) -> None:
    a.says(10, "old")
    a.says(20, "new")
    assert texts(TimeLine([a], from_ms=15)) == ["new"]
    assert a.asked_since == [15]


def test_a_line_that_an_account_shows_late_is_shown_once_and_in_its_place(a: Node, b: Node) -> None:
    a.says(100, "1")
    a.says(300, "3")

    def pause(_: float) -> None:
        rounds.append(1)
        if len(rounds) == 1:
            b.says(200, "2")  # said before "3", shown after it
        if len(rounds) == 2:
            a.says(400, "4")
        if len(rounds) == 4:
            raise KeyboardInterrupt

    rounds: list[int] = []
    shown: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        follow(in_one_time_line(TimeLine([a, b]), follow=True, pause=pause), shown)
    assert shown == ["1", "2", "3", "4"]


def test_what_was_held_back_is_shown_before_ctrl_c_ends_it(a: Node) -> None:
    a.says(100, "last words")

    def pause(_: float) -> None:
        raise KeyboardInterrupt

    shown: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        follow(in_one_time_line(TimeLine([a]), follow=True, pause=pause), shown)
    assert shown == ["last words"]


def test_while_it_follows_only_the_end_is_looked_at_again(a: Node) -> None:
    a.says(1_000_000, "a")
    line = TimeLine([a])
    assert len(line.look()) == 1
    assert line.look() == []
    assert a.asked_since == [0, 990_000]


Logs = Callable[..., int]


@pytest.fixture
def logs(a: Node, b: Node, monkeypatch: pytest.MonkeyPatch) -> Logs:
    """Run ``federate logs`` where these two nodes are the federation."""
    monkeypatch.setattr(command, "named", lambda *_: (a, b))
    monkeypatch.setattr(Context, "reach_aws", lambda *_: None)
    return lambda *arguments: main([*arguments])


def test_the_command_shows_clock_node_source_and_text(a: Node, logs: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    a.says(60_000, "hello")
    assert logs("logs") == 0
    assert capsys.readouterr().out == "1970-01-01 00:01:00 hospital-a agent       hello\n"
    assert logs("logs", "--since", "yesterday") == 2


def test_a_node_that_does_not_answer_is_named_and_the_others_lines_are_shown(
    a: Node, b: Node, logs: Logs, capsys: pytest.CaptureFixture[str]
) -> None:
    a.says(60_000, "hello")
    b.trouble = AwsRefused("AWS refuses (hospital-b): ExpiredToken", remedy="aws sso login", exit_code=3)
    assert logs("logs") == 3
    told = capsys.readouterr()
    assert told.out == "1970-01-01 00:01:00 hospital-a agent       hello\n"
    assert told.err == "hospital-b is missing here:\nAWS refuses (hospital-b): ExpiredToken\n  aws sso login\n"
    b.trouble = None
    assert logs("logs") == 0
    assert capsys.readouterr().err == ""


def test_a_script_reads_in_a_line_of_its_own_which_node_is_missing(
    a: Node, b: Node, logs: Logs, capsys: pytest.CaptureFixture[str]
) -> None:
    a.says(60_000, "hello")
    b.trouble = AwsRefused("AWS refuses")
    assert logs("--json", "logs") == 4
    missing, line = map(json.loads, capsys.readouterr().out.splitlines())
    assert missing == {"node": "hospital-b", "account": "111111111111", "error": "AWS refuses", "exit_code": 4}
    assert (line["node"], line["line"]) == ("hospital-a", "hello")


def test_while_it_follows_an_account_that_comes_back_is_heard_again(a: Node, b: Node) -> None:
    b.trouble = AwsRefused("AWS refuses")
    b.says(100, "said while nobody heard")

    def pause(_: float) -> None:
        rounds.append(1)
        b.trouble = None if len(rounds) == 2 else b.trouble
        if len(rounds) == 4:
            raise KeyboardInterrupt

    rounds: list[int] = []
    shown: list[str] = []
    told: list[tuple[str, bool]] = []
    line = TimeLine([a, b], tell=lambda node, silent: told.append((node, silent is None)))
    with pytest.raises(KeyboardInterrupt):
        follow(in_one_time_line(line, follow=True, pause=pause), shown)
    assert told == [("hospital-b", False), ("hospital-b", True)]
    assert shown == ["said while nobody heard"]


def test_nobody_is_followed_where_no_account_answers(a: Node) -> None:
    a.trouble = AwsRefused("AWS refuses")
    line = TimeLine([a])
    assert list(in_one_time_line(line, follow=True, pause=lambda _: pytest.fail("it waits"))) == []
    assert list(line.silent) == ["hospital-a"]
