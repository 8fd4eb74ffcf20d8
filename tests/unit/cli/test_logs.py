"""Logs of all nodes in one time line: from when, in which order, and each line once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from infra.cli import logs as command
from infra.cli.logs import NoMoment, TimeLine, in_one_time_line, moment_ms
from infra.cli.main import main
from infra.nodes.remote import LogLine

NOW = 1_000_000.0


@dataclass
class Node:
    """A node whose account shows lines when a test says so."""

    id: str
    lines: list[LogLine] = field(default_factory=list)
    asked_since: list[int] = field(default_factory=list)

    @property
    def node(self) -> Any:
        return SimpleNamespace(id=self.id)

    def log_lines(self, since_ms: int) -> Iterator[LogLine]:
        self.asked_since.append(since_ms)
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


def test_the_command_shows_clock_node_source_and_text(
    a: Node, b: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a.says(60_000, "hello")
    monkeypatch.setattr(command, "remotes_of", lambda *_: (a, b))
    assert main(["logs"]) == 0
    assert capsys.readouterr().out == "1970-01-01 00:01:00 hospital-a agent       hello\n"
    assert main(["logs", "--since", "yesterday"]) == 2
