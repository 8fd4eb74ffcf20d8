"""Questions to the twin: answered, refused with the reason, and never left without an answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.errors import FederateError
from infra.local.twin.control import Control, TwinRefused, TwinSilent, ask


def add(first: int, second: int) -> int:
    return first + second


def refuse() -> None:
    raise FederateError("there is no hospital-x", remedy="There is hospital-a.")


def fail() -> None:
    raise ZeroDivisionError("as if by mistake")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A twin's folder whose path is longer than a Unix socket's address may be."""
    deep = tmp_path.joinpath(*["a-rather-long-name-of-a-folder"] * 5)
    deep.mkdir(parents=True)
    assert len(os.fsencode(deep)) > 108
    control = Control(deep, {"add": add, "refuse": refuse, "fail": fail})
    yield deep
    control.close()


def test_a_question_is_answered(folder: Path) -> None:
    assert ask("add", at=folder, first=2, second=3) == 5


def test_only_the_user_can_ask(folder: Path) -> None:
    assert (folder / "control.sock").stat().st_mode & 0o077 == 0


def test_a_refusal_brings_its_reason_and_the_next_step(folder: Path) -> None:
    with pytest.raises(TwinRefused, match=r"there is no hospital-x\n  There is hospital-a."):
        ask("refuse", at=folder)


@pytest.mark.parametrize(("operation", "said"), [("fail", "as if by mistake"), ("unheard-of", "no such operation")])
def test_what_goes_wrong_in_the_twin_is_told_and_it_answers_the_next(folder: Path, operation: str, said: str) -> None:
    with pytest.raises(TwinRefused, match=said):
        ask(operation, at=folder)
    assert ask("add", at=folder, first=1, second=1) == 2


def test_wrong_arguments_are_refused(folder: Path) -> None:
    with pytest.raises(TwinRefused, match="add failed in the twin"):
        ask("add", at=folder, third=1)


def test_many_ask_at_once(folder: Path) -> None:
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(ask("add", at=folder, first=n, second=0))) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(20))


def test_where_no_twin_runs_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(TwinSilent, match="federate local up starts it"):
        ask("add", at=tmp_path, first=1, second=1)
