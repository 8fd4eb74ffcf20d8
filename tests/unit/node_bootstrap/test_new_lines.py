"""Each line of a file is told once, whatever its writer does to the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_bootstrap.agent.new_lines import NewLines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rounds.jsonl"


def replaced(path: Path, content: bytes) -> None:
    """Write a file anew as the application does: beside, then renamed."""
    part = path.with_name("part")
    part.write_bytes(content)
    part.replace(path)


def test_what_was_there_before_is_no_news_and_what_comes_is_told_once(path: Path) -> None:
    path.write_bytes(b"old\n")
    lines = NewLines(path)
    assert lines.take() == []
    with path.open("ab") as file:
        file.write(b"one\ntwo\nto")
    assert lines.take() == [b"one\n", b"two\n"]
    with path.open("ab") as file:
        file.write(b"rn\n")
    assert lines.take() == [b"torn\n"]
    assert lines.take() == []


def test_a_file_that_comes_later_is_all_news(path: Path) -> None:
    lines = NewLines(path)
    assert (lines.take(), lines.is_there) == ([], False)
    path.write_bytes(b"one\n")
    assert (lines.take(), lines.is_there) == ([b"one\n"], True)


def test_a_file_that_was_written_again_with_more_lines_tells_those(path: Path) -> None:
    path.write_bytes(b"one\ntwo\n")
    lines = NewLines(path)
    replaced(path, b"one\ntwo again\nthree\n")
    assert lines.take() == [b"three\n"]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_file_that_was_begun_anew_is_told_from_its_beginning(path: Path, length: int) -> None:
    path.write_bytes(b"one\ntwo\n")
    lines = NewLines(path)
    fresh = [b"%d of another run\n" % number for number in range(length)]
    path.unlink()
    lines.take()
    replaced(path, b"".join(fresh))
    assert lines.take() == fresh


def test_a_file_that_was_cut_short_in_place_is_told_from_its_beginning(path: Path) -> None:
    path.write_bytes(b"one\ntwo\n")
    lines = NewLines(path)
    path.write_bytes(b"a\n")
    assert lines.take() == [b"a\n"]
