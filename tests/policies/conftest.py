"""What scanners and simulator are given: the templates of several federations, and what they become when deployed."""

from __future__ import annotations

import copy
import fcntl
import json
import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parent)]

import policy_table  # noqa: E402
from variants import CANARY, VARIANTS  # noqa: E402

from stacks.plan import PLAN_FILE, DeploymentPlan  # noqa: E402

CHECKOUT = Path(__file__).parents[2]


class Scanned:
    """Federations synthesised under cdk-nag's packs: by variant, templates, plan and the packs' report."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def templates(self) -> dict[str, dict[str, Any]]:
        """Templates of all variants but the canary, by ``<variant>/<stack id>``."""
        return {
            f"{name}/{file.name.removesuffix('.template.json')}": json.loads(file.read_text("utf-8"))
            for name in VARIANTS
            for file in sorted((self._folder / name).glob("*.template.json"))
        }

    def folder(self, variant: str) -> Path:
        return self._folder / variant

    def plan(self, variant: str) -> DeploymentPlan:
        return DeploymentPlan.read(self._folder / variant / PLAN_FILE)

    def report(self, variant: str) -> dict[str, list[dict[str, Any]]]:
        """What each pack found: pack → violations."""
        report = json.loads((self._folder / variant / "validation-report.json").read_text("utf-8"))
        return {plugin["pluginName"]: plugin["violations"] for plugin in report["pluginReports"]}


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """All variants, and the canary, scanned once, whatever number of processes the tests run in."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "scanned"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _scan(folder)
            (folder / "done").touch()
    return Scanned(folder)


def _scan(folder: Path) -> None:
    for name, make in {**VARIANTS, CANARY: VARIANTS["example"]}.items():
        (folder / f"{name}.json").write_text(json.dumps(make()), "utf-8")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("scan_with_cdk_nag.py")), str(folder)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture
def data() -> dict[str, Any]:
    """The example federation, to be changed."""
    return copy.deepcopy(VARIANTS["example"]())


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> policy_table.Tell:
    return policy_table.teller(request.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not hasattr(terminalreporter.config, "workerinput"):
        policy_table.write(terminalreporter, CHECKOUT / "build" / "policies")
