"""What agent and application say reaches the account once it answers: all of it, in order, and whole lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError
from fake_node import FakeAccount

from node_bootstrap.agent.application_log import ApplicationLog
from node_bootstrap.agent.logs import Shipper


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "application.log"


@pytest.fixture
def shipper(account: FakeAccount, file: Path) -> Shipper:
    return Shipper(account, "hospital-a", ApplicationLog(file))


@pytest.fixture
def log(shipper: Shipper) -> Iterator[logging.Logger]:
    logger = logging.getLogger("test of the shipper")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(shipper)
    yield logger
    logger.removeHandler(shipper)


def add(file: Path, content: bytes) -> None:
    with file.open("ab") as end:
        end.write(content)


def test_both_streams_are_sent_once(account: FakeAccount, shipper: Shipper, file: Path, log: logging.Logger) -> None:
    log.info("ready")
    add(file, b"one\ntwo\n")
    for _ in range(2):
        shipper.ship()
    assert account.lines == {"hospital-a/agent": ["ready"], "hospital-a/application": ["one", "two"]}


def test_without_an_application_there_is_nothing_to_send(account: FakeAccount, shipper: Shipper) -> None:
    shipper.ship()
    assert account.lines == {}


def test_nothing_is_lost_while_the_account_does_not_answer(
    account: FakeAccount, shipper: Shipper, file: Path, log: logging.Logger
) -> None:
    account.silent = True
    for word in ("one", "two", "three"):
        log.info(word)
        add(file, f"application {word}\n".encode())
        with pytest.raises(BotoCoreError):
            shipper.ship()
    account.silent = False
    shipper.ship()
    assert account.lines["hospital-a/agent"] == ["one", "two", "three"]
    assert account.lines["hospital-a/application"] == ["application one", "application two", "application three"]


def test_a_torn_line_waits_for_its_end(account: FakeAccount, shipper: Shipper, file: Path) -> None:
    add(file, b"whole\nto")
    shipper.ship()
    assert account.lines["hospital-a/application"] == ["whole"]
    add(file, "rn ä\n".encode()[:4])
    shipper.ship()
    assert account.lines["hospital-a/application"] == ["whole"]
    add(file, "rn ä\n".encode()[4:])
    shipper.ship()
    assert account.lines["hospital-a/application"] == ["whole", "torn ä"]


def test_what_is_no_text_is_sent_as_well_as_it_can(account: FakeAccount, shipper: Shipper, file: Path) -> None:
    add(file, b"\x00\xff\xfe binary\nnext\n")
    shipper.ship()
    assert account.lines["hospital-a/application"] == ["\x00\ufffd\ufffd binary", "next"]


def test_more_than_is_read_at_once_is_sent_whole_and_in_order(
    account: FakeAccount, shipper: Shipper, file: Path
) -> None:
    lines = [f"line {number}" for number in range(100_000)]
    add(file, "".join(f"{line}\n" for line in lines).encode())
    assert file.stat().st_size > 2 * (1 << 19)
    shipper.ship()
    assert account.lines["hospital-a/application"] == lines


def test_a_line_without_end_does_not_stop_what_follows(account: FakeAccount, shipper: Shipper, file: Path) -> None:
    add(file, b"x" * (1 << 20))
    shipper.ship()
    add(file, b"\nnext\n")
    shipper.ship()
    assert "".join(account.lines["hospital-a/application"][:-1]) == "x" * (1 << 20)
    assert account.lines["hospital-a/application"][-1] == "next"


def test_an_agent_that_comes_after_goes_on_where_the_one_before_was_killed(
    account: FakeAccount, shipper: Shipper, file: Path
) -> None:
    add(file, b"one\n")
    shipper.ship()
    add(file, b"two\n")  # and then the agent was killed
    Shipper(account, "hospital-a", ApplicationLog(file)).ship()
    assert account.lines["hospital-a/application"] == ["one", "two"]


def test_a_file_that_was_begun_anew_is_sent_from_its_beginning(
    account: FakeAccount, shipper: Shipper, file: Path
) -> None:
    add(file, b"a long line\n")
    shipper.ship()
    file.write_bytes(b"short\n")
    shipper.ship()
    assert account.lines["hospital-a/application"] == ["a long line", "short"]
