"""What a killed command has started and not written down is found by its command line, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import process


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that waits for its standard input to end."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "a_twin_of_this_test.py").write_text("import sys; sys.stdin.read()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    return "a_twin_of_this_test"


@pytest.fixture
def started(tmp_path: Path, module: str) -> Iterator[dict[str, int]]:
    folders = {"ours": tmp_path / "home", "below": tmp_path / "home" / "twin", "another": tmp_path / "home-2"}
    running = {
        name: subprocess.Popen([sys.executable, "-m", module, "--folder", str(folder)], stdin=subprocess.PIPE)
        for name, folder in folders.items()
    }
    yield {name: child.pid for name, child in running.items()}
    for child in running.values():
        child.communicate()


def test_processes_for_the_folder_are_found_and_others_are_not(
    started: dict[str, int], module: str, tmp_path: Path
) -> None:
    deadline = time.monotonic() + 10
    wanted = {started["ours"], started["below"]}
    while {pid for pid, _ in process.running((module,), tmp_path / "home")} != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.running(("another_module",), tmp_path / "home") == []
