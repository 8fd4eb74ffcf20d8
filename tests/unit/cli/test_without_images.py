"""A missing or broken images.lock.json stops what makes nodes, and nothing that looks at them or deletes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.cli import logs
from infra.cli.context import Context
from infra.cli.main import main
from infra.deployment.place import Place
from infra.federation.images import LOCK_FILE

UNPINNED = """
name: fed
region: us-east-1
monitoring: false
aggregator: {account: "333333333333", profile: aggregator, cidr: 10.30.0.0/16}
participants:
  - {id: hospital-a, account: "111111111111", profile: hospital-a, cidr: 10.10.0.0/16}
"""
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command for a federation without images, against no AWS."""
    file = tmp_path / "federation.yaml"
    file.write_text(UNPINNED)
    monkeypatch.setenv("FEDERATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Context, "reach_aws", lambda *_: None)
    return lambda *words: main(["-f", str(file), "--aws", "loopback", *words])


@pytest.fixture
def destroyed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The images of the nodes of each federation that was destroyed."""
    found: list[Any] = []
    audit = SimpleNamespace(verdict=lambda: None, as_dict=dict, text=lambda: "gone")

    def destroy(self: Place, _: object) -> Any:
        found.append([self.federation.aggregator.image, *(site.image for site in self.federation.participants)])
        return audit

    monkeypatch.setattr(Place, "destroy", destroy)
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["plan"],
        ["diff"],
        ["deploy"],
        ["replace", "hospital-a", "--yes"],
        ["preflight"],
        ["cost"],
        ["export", "hospital-a"],
        ["remove-site", "hospital-a"],
    ],
    ids=lambda words: words[0],
)
def test_what_makes_nodes_or_templates_needs_every_image(
    run: Run, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run(*words) == 2
    assert "there is no machine image for aggregator, hospital-a in us-east-1" in capsys.readouterr().err


@pytest.mark.parametrize("lock", [None, "{", '{"version": 1}'], ids=["missing", "cut off", "without images"])
def test_what_is_destroyed_needs_no_image(
    run: Run, destroyed: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], lock: str | None
) -> None:
    if lock is not None:
        (tmp_path / LOCK_FILE).write_text(lock)
    assert run("destroy", "--yes") == 0
    assert destroyed == [[None, None]]
    assert (f"{LOCK_FILE}: is not a lock file" in capsys.readouterr().err) == (lock is not None)


@pytest.mark.parametrize("words", [["logs"], ["alarms"], ["permissions"]], ids=lambda words: words[0])
def test_what_looks_at_nodes_needs_no_image(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setattr(logs, "named", lambda here, _: here.federation.participants[:0])
    assert run(*words) == 0
    assert "image" not in capsys.readouterr().err
