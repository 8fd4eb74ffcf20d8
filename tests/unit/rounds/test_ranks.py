"""Ranks: given once, in the order of joining, and never to another site."""

from __future__ import annotations

from pathlib import Path

import pytest

from fl_app.errors import StateError
from fl_app.rounds.ranks import Ranks


def test_the_first_roster_is_numbered_in_its_order(tmp_path: Path) -> None:
    found = Ranks(tmp_path)
    assert found.admit(("b", "a")) == ("b", "a")
    assert (found.of("b"), found.of("a"), found.site(2)) == (1, 2, "a")


def test_a_rank_is_never_given_twice_also_over_restarts(tmp_path: Path) -> None:
    Ranks(tmp_path).admit(("a", "b", "c"))
    Ranks(tmp_path).admit(("a", "c"))
    found = Ranks(tmp_path)
    assert found.admit(("d", "a", "c")) == ("a", "c", "d")
    assert (found.of("c"), found.of("d")) == (3, 4)
    assert found.admit(("b", "d")) == ("b", "d")
    assert found.of("b") == 2


@pytest.mark.parametrize("content", ["nonsense", "[1]", '{"a": 1, "b": 1}', '{"a": 2}', '{"a": "x"}'])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "ranks.json").write_text(content)
    with pytest.raises(StateError, match=r"ranks\.json cannot be used"):
        Ranks(tmp_path)
