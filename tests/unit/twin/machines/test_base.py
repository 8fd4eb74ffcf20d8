"""A base is named by all that it is made from; who builds, holds and deletes bases do not get in each other's way."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from infra.local.twin.machines import base, debian, tools, wheels

CHECKOUT = Path(base.__file__).parents[4]
PROJECT = """\
[project]
dependencies = ["pydantic>=2"]
[project.optional-dependencies]
node = ["boto3", "paho-mqtt<2", "wget", "torch"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    made = tmp_path / "checkout"
    (made / "node_bootstrap/image").mkdir(parents=True)
    (made / "constraints.txt").write_text("torch==1\n")
    (made / "pyproject.toml").write_text(PROJECT)
    (made / "node_bootstrap/image/install.sh").write_text("#!/bin/sh\n")
    (made / "fl_app").mkdir()
    return made


def test_the_same_sources_have_the_same_base(checkout: Path) -> None:
    assert base.key(checkout) == base.key(checkout)


@pytest.mark.parametrize(
    "changed", ["constraints.txt", "pyproject.toml", "node_bootstrap/image/install.sh", "node_bootstrap/new.py"]
)
def test_another_source_is_another_base(checkout: Path, changed: str) -> None:
    before = base.key(checkout)
    with (checkout / changed).open("a") as file:
        file.write("# changed\n")
    assert base.key(checkout) != before


def test_a_script_that_can_no_longer_be_run_is_another_base(checkout: Path) -> None:
    before = base.key(checkout)
    (checkout / "node_bootstrap/image/install.sh").chmod(0o755)
    assert base.key(checkout) != before


def test_another_package_of_debian_is_another_base(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = base.key(checkout)
    monkeypatch.setattr(debian, "PACKAGES", (*debian.PACKAGES, "curl"))
    assert base.key(checkout) != before


@pytest.mark.parametrize("changed", ["fl_app/model.py", "node_bootstrap/__pycache__/x.pyc"])
def test_what_no_base_holds_changes_none(checkout: Path, changed: str) -> None:
    before = base.key(checkout)
    (checkout / changed).parent.mkdir(exist_ok=True)
    (checkout / changed).write_text("new")
    assert base.key(checkout) == before


def test_a_base_that_is_there_is_returned_and_nothing_is_needed(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    root = tmp_path / "twin" / f"base-{base.key(checkout)}"
    root.mkdir(parents=True)
    assert base.ensure(tmp_path, pytest.fail, checkout) == root


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(tools.CannotHaveMachines) as caught:
        tools.require("systemd-nspawn", "mmdebstrap")
    assert "apt-get install mmdebstrap systemd-container" in str(caught.value)


def test_who_is_not_root_is_told_which_depth_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(tools.CannotHaveMachines, match="depth network, which needs none"):
        tools.require()


def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(tools.ToolFailed, match=r"Could not list it: ls ended with 2: .*nowhere"):
        tools.run(["ls", "/nowhere"], doing="list it")


def test_bases_that_were_not_used_for_long_are_deleted_but_none_that_is_in_use(tmp_path: Path) -> None:
    made = [tmp_path / f"base-{number}" for number in range(4)]
    for age, folder in enumerate(made):
        folder.mkdir()
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    held = base.hold(made[3])
    base._prune(tmp_path, made[0])
    assert [folder.exists() for folder in made] == [True, True, False, True]
    os.close(held)
    base._prune(tmp_path, made[0])
    assert not made[3].exists()


def test_the_cache_is_the_users_own_unless_it_is_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDERATE_CACHE", "/somewhere")
    assert base.cache_folder() == Path("/somewhere")
    monkeypatch.delenv("FEDERATE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert base.cache_folder() == Path("/cache/federate")


def pip_calls(checkout: Path, here: tuple[int, ...]) -> list[list[str]]:
    return [[str(word) for word in call] for call in wheels.commands(checkout, Path("/w"), (3, 11), here=here)]


def test_torch_is_fetched_before_what_depends_on_it_and_fedml_without_what_it_depends_on(checkout: Path) -> None:
    first, second, third = pip_calls(checkout, (3, 11))
    assert first[-1] == "torch"
    assert second[-5:] == ["pydantic>=2", "boto3", "paho-mqtt<2", "wget", "torch"]
    assert third[-2:] == ["--no-deps", "fedml"]
    assert all(call[1:4] == ["-m", "pip", "wheel"] and call[0] == sys.executable for call in (first, second, third))


def test_another_python_than_the_bases_fetches_wheels_of_the_bases(checkout: Path) -> None:
    sources, first, second = pip_calls(checkout, (3, 14))
    assert sources[-5:] == ["--no-deps", "fedml", "GPUtil", "paho-mqtt", "wget"]
    for call in (first, second):
        assert call[1:4] == ["-m", "pip", "download"]
        assert call[call.index("--python-version") + 1] == "3.11"
        assert "--only-binary=:all:" in call
    assert not {"wget", "paho-mqtt<2"} & set(second)


def test_packages_for_graphics_cards_are_seen() -> None:
    found = [Path("/w/nvidia_cublas_cu12-1-py3-none.whl"), Path("/w/torch-2-cp311.whl")]
    assert wheels.foreign(found) == ["nvidia_cublas_cu12-1-py3-none.whl"]


def test_the_install_script_needs_of_the_checkout_only_what_the_base_is_named_by() -> None:
    script = (CHECKOUT / "node_bootstrap/image/install.sh").read_text("utf-8")
    assert "$checkout/constraints.txt" in script
    assert set(base._READ) == {"constraints.txt", "node_bootstrap", "pyproject.toml"}
