"""The roster is looked at while the run goes on; what cannot be read changes nothing."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fl_processes import run_files

from fl_app.rounds.members import Change, Members, RosterFile
from fl_app.rounds.ranks import Ranks


def write(folder: Path, *roster: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in run_files("aggregator", role="aggregator", roster=roster).items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def members(tmp_path: Path) -> Members:
    folder = write(tmp_path / "config", "a", "b")
    return Members(("a", "b"), Ranks(tmp_path), RosterFile(folder))


def test_nothing_changes_while_the_file_does_not(members: Members) -> None:
    assert not members.look()
    assert members.now(()) == ("a", "b")


def test_a_site_that_is_added_comes_last_and_one_that_is_taken_out_is_told(members: Members, tmp_path: Path) -> None:
    write(tmp_path / "config", "c", "b")
    assert members.look() == Change(new=frozenset({"c"}), gone=frozenset({"a"}))
    assert members.now(()) == ("b",)  # it has not been heard of yet, and keeps nobody waiting
    assert members.arrived("c")
    assert members.now(()) == ("b", "c")
    assert not members.arrived("c")


def test_the_same_sites_in_another_order_are_no_change(members: Members, tmp_path: Path) -> None:
    write(tmp_path / "config", "b", "a")
    assert members.look() is None
    assert members.roster == ("a", "b")


def test_an_expelled_site_takes_no_part(members: Members) -> None:
    assert members.now({"a"}) == ("b",)


def test_a_folder_that_is_just_being_replaced_changes_nothing(members: Members, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "config")
    assert not members.look()
    write(tmp_path / "config", "a", "b", "c")
    assert members.look()


def test_a_file_that_cannot_be_used_is_said_once_and_changes_nothing(
    members: Members, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config" / "fedml_config.yaml").write_text("federate_args: [")
    with caplog.at_level(logging.WARNING):
        assert not members.look()
        assert not members.look()
    assert caplog.text.count("cannot be used") == 1
    assert members.now(()) == ("a", "b")


def test_after_a_restart_who_took_part_is_waited_for_and_who_is_new_is_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "config", "a", "b", "c")
    members = Members(("a", "b", "c"), Ranks(tmp_path), RosterFile(folder), before={"a", "b"})
    assert members.now(()) == ("a", "b")
    assert members.arrived("c")
    assert members.now(()) == ("a", "b", "c")
