"""Three packets of ten are lost in each direction: rounds take longer, and the model is that of the undisturbed run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_federation import SITES, FaultFederation, sizes
from fault_table import Tell

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(600)]
Make = Callable[..., FaultFederation]

LOSS = 0.3
ROUNDS = sizes(5, 15)
SCRIPT = Path(__file__).parents[1] / "helpers" / "lossy_link.py"
_UNSHARE = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]


def why_not() -> str | None:
    """Say why there is no cable to be had, or None."""
    for tool in ("unshare", "nsenter", "ip"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    probe = [*_UNSHARE, "ip", "link", "add", "probe", "type", "veth"]
    tried = subprocess.run(probe, capture_output=True, text=True, check=False)
    return (tried.stderr.strip() or "not allowed") if tried.returncode else None


def over_a_cable(folder: Path, loss: float) -> dict[str, Any]:
    command = [*_UNSHARE, sys.executable, str(SCRIPT), str(folder), str(loss), str(ROUNDS)]
    here = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=here, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_thirty_percent_of_packets_are_lost(tmp_path: Path, make_federation: Make, tell: Tell) -> None:
    reason = why_not()
    if reason:
        pytest.skip(f"no network namespace: {reason}")
    undisturbed = make_federation(rounds=ROUNDS)
    undisturbed.start_all()
    expected = undisturbed.finish()

    found = over_a_cable(tmp_path / "lossy", LOSS)
    assert found["codes"] == [0] * (len(SITES) + 1)
    assert found["model_sha256"] == expected
    assert found["answered"] == [list(SITES)] * ROUNDS
    assert found["left_behind"] == []
    share = found["lost"] / (found["lost"] + found["passed"])
    assert LOSS - 0.1 < share < LOSS + 0.1
    longest = max(found["round_seconds"])
    tell(
        "30 % of packets lost in each direction",
        f"same model; every site in every round; {found['lost']} of {found['lost'] + found['passed']} packets lost",
        seconds=longest,
        **found,
    )
