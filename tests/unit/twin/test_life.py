"""A twin that has died: which depth the next one has, and whose processes are left alone."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from infra.federation.load import load
from infra.local import process
from infra.local.twin import life
from infra.local.twin.bodies import Body
from infra.local.twin.depth import Depth
from infra.local.twin.life import OtherDepth, Twin

FEDERATION = load(Path(__file__).parents[3] / "federation.yaml").federation


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDERATE_HOME", str(tmp_path))
    monkeypatch.setattr(life, "refuse_unless_possible", lambda _: None)
    monkeypatch.setattr(life, "_start", lambda _, depth: Twin(0, "", depth, 0))
    return life.folder()


def died_at(folder: Path, depth: Depth) -> None:
    (folder / "twin.json").write_text(json.dumps({"pid": 1, "began": "never", "depth": depth, "tunnel": 0}))


def test_a_twin_that_died_is_started_anew_at_its_depth(folder: Path) -> None:
    died_at(folder, Depth.NETWORK)

    assert life.start({}, FEDERATION, None).depth is Depth.NETWORK


def test_a_twin_that_died_is_not_started_anew_at_another_depth(folder: Path) -> None:
    died_at(folder, Depth.NETWORK)

    with pytest.raises(OtherDepth):
        life.start({}, FEDERATION, Depth.PROCESSES)


@pytest.mark.parametrize("depth", [Depth.NETWORK, None])
def test_the_numbers_of_another_worlds_processes_are_nobodys_here(
    folder: Path, depth: Depth | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if depth is not None:
        died_at(folder, depth)
    bodies = {"i-1": asdict(Body("hospital-a", "f", "1", 4_000_000, "1"))}
    (folder / "bodies.json").write_text(json.dumps(bodies))
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, _: killed.append(pid))
    monkeypatch.setattr(process, "running", lambda *_: [])

    life.stop()

    assert killed == []
    assert not (folder / "bodies.json").exists()
