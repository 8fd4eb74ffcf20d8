"""What the application says is on the disk in two files at most, and reaches the account whole, in order, and once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from fake_node import FakeAccount

from node_bootstrap.agent.application_log import ApplicationLog
from node_bootstrap.agent.logs import Shipper

BOUND = 100


class KilledError(Exception):
    """The agent is gone at this very step."""


class Node:
    """A node's log of small files, and an agent that ships it; ``said`` is all that the application has said."""

    def __init__(self, folder: Path, account: FakeAccount) -> None:
        self.newer, self.older = folder / "application.log", folder / "application.log.1"
        self.account = account
        self.said: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Start the agent again: nothing is known but what is on the disk."""
        self.log = ApplicationLog(self.newer, BOUND)
        self.shipper = Shipper(self.account, "hospital-a", self.log)

    def say(self, *lines: str) -> None:
        for line in lines:
            self.log.add(f"{line}\n".encode())
        self.said += lines

    def say_many(self, count: int) -> None:
        """Say so many lines of ten bytes."""
        self.say(*(f"line {number:04}" for number in range(len(self.said), len(self.said) + count)))

    def ship(self) -> None:
        self.shipper.ship()

    @property
    def sizes(self) -> tuple[int, int]:
        return self.newer.stat().st_size, self.older.stat().st_size

    @property
    def arrived(self) -> list[str]:
        return self.account.lines.get("hospital-a/application", [])


@pytest.fixture
def node(tmp_path: Path, account: FakeAccount) -> Node:
    return Node(tmp_path, account)


def test_two_files_of_the_bound_are_all_that_is_on_the_disk_and_every_line_arrives_once(node: Node) -> None:
    for _ in range(100):
        node.say_many(3)
        node.ship()
        assert sum(path.stat().st_size for path in node.newer.parent.glob("application.log*")) <= 2 * BOUND
    assert node.arrived == node.said
    assert sorted(path.name for path in node.newer.parent.glob("application.log*")) == [
        "application.log",
        "application.log.1",
    ]


def test_a_rotation_between_two_looks_loses_no_line_and_repeats_none(node: Node) -> None:
    node.say_many(8)
    node.ship()
    node.say_many(5)  # two fit, three are in the next file
    assert node.sizes == (30, 100)
    node.ship()
    assert node.arrived == node.said


def test_the_older_file_holds_what_was_said_before_the_newer(node: Node) -> None:
    node.say_many(13)
    assert (node.older.read_text() + node.newer.read_text()).splitlines() == node.said


def test_while_the_account_is_silent_nothing_is_given_up_and_then_the_bound_holds_again(node: Node) -> None:
    node.account.silent = True
    for _ in range(10):
        node.say_many(10)
        with pytest.raises(BotoCoreError):
            node.ship()
    assert node.sizes == (900, 100)
    node.account.silent = False
    for _ in range(2):
        node.ship()
        node.say_many(10)
    node.ship()
    assert node.arrived == node.said
    assert node.sizes == (100, 100)


def test_negative_control_a_rotation_that_does_not_look_at_what_was_sent_loses_lines(node: Node) -> None:
    node.log._rotate = lambda: node.newer.replace(node.older)  # type: ignore[assignment]
    node.say_many(26)
    node.ship()
    assert node.arrived != node.said


@pytest.mark.parametrize("shipped", range(0, 26, 5))
def test_an_agent_that_is_started_again_goes_on_where_the_one_before_was(node: Node, shipped: int) -> None:
    node.say_many(shipped)
    node.ship()
    node.say_many(26 - shipped)
    node.restart()
    node.ship()
    node.restart()
    node.ship()
    assert node.arrived == node.said


@pytest.mark.parametrize("every", [1, 2, 3, 7, 13])
def test_restarts_at_any_time_repeat_nothing_though_a_new_file_has_the_number_of_one_that_is_gone(
    node: Node, every: int
) -> None:
    for step in range(150):
        node.say_many(1)
        if step % every == 0:
            node.ship()
        if step % 2:
            node.restart()
    node.ship()
    assert node.arrived == node.said


def test_an_agent_that_is_killed_in_a_rotation_has_lost_and_repeats_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.say_many(4)
    node.ship()
    node.say_many(6)
    opened = Path.open

    def killed(path: Path, *arguments: Any, **more: Any) -> Any:
        if path == node.newer:
            raise KilledError
        return opened(path, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", killed)
        with pytest.raises(KilledError):
            node.log.add(b"the first of the next file\n")
    assert not node.newer.exists()
    node.restart()
    node.ship()
    node.restart()
    node.say_many(1)
    node.ship()
    assert node.arrived == node.said


def test_a_line_that_is_longer_than_the_bound_arrives_whole(node: Node) -> None:
    node.say("before", "x" * (3 * BOUND + 7), "after")
    node.ship()
    assert node.arrived == node.said
    node.say_many(20)
    node.ship()
    node.say_many(20)
    node.ship()
    assert node.arrived == node.said
    assert node.sizes == (100, 100)


def test_a_line_without_end_is_sent_in_parts_and_given_up_like_any_other(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node_bootstrap.agent.logs._BYTES_AT_ONCE", 20)
    for _ in range(50):
        node.log.add(b"x" * 20)
        node.ship()
    assert "".join(node.arrived) == "x" * 1000
    assert node.sizes == (100, 100)


def test_a_line_that_begins_in_one_file_and_ends_in_the_next_is_one(node: Node) -> None:
    node.say_many(9)
    node.log.add(b"begins ")
    node.ship()
    node.log.add(b"and ends\n")
    node.ship()
    assert node.sizes == (9, 97)
    assert node.arrived == [*node.said, "begins and ends"]


def test_a_mark_that_says_bytes_alone_is_one_of_the_newer_file(node: Node) -> None:
    node.newer.write_text("one\ntwo\n")
    (node.newer.parent / ".application.log.sent").write_text("4")
    node.restart()
    node.ship()
    assert node.arrived == ["two"]


@pytest.mark.parametrize("text", ["", "x", "\x00\x00"], ids=["empty", "no number", "zeros"])
def test_a_mark_that_nobody_can_read_is_none(node: Node, text: str) -> None:
    node.newer.write_text("one\n")
    (node.newer.parent / ".application.log.sent").write_text(text)
    node.restart()
    node.ship()
    assert node.arrived == ["one"]


def test_files_that_somebody_deletes_are_begun_anew(node: Node) -> None:
    node.say_many(13)
    node.ship()
    for path in (node.newer, node.older):
        path.unlink()
    node.say_many(2)
    node.ship()
    assert node.arrived == node.said
