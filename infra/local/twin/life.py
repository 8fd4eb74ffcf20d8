"""The twin as the local session sees it: started beside the emulator, found again, ended with all its bodies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.local import process
from infra.local.home import local
from infra.local.twin.bodies import Bodies
from infra.local.twin.deployed import Places

DEPTH = "processes"


def folder() -> Path:
    """Return where the twin keeps its bodies, for the user's eyes only."""
    made = local() / "twin"
    made.mkdir(exist_ok=True, mode=0o700)
    return made


def start(environment: Mapping[str, str], federation: Federation) -> None:
    """Have the twin look after the accounts of a federation as well; it is started if it does not run.

    Args:
        environment: reaches loopback AWS; see :func:`infra.local.session.ensure_up`.
        federation: whose accounts and Regions are looked at.
    """
    Places(folder()).add((node.account, node.region) for node in nodes(federation))
    recorded = _recorded()
    if recorded and process.is_running(*recorded):
        return
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FEDERATE_"))}
    with (folder() / "twin.log").open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "infra.local.twin", "--folder", str(folder())],
            cwd=Path(__file__).parents[3],
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _state_file().write_text(json.dumps([child.pid, process.started_at(child.pid) or ""]))


def stop() -> None:
    """End the twin and every body, and delete what they left: it was only ever a picture of loopback AWS."""
    recorded = _recorded()
    if recorded:
        process.end(*recorded, grace_seconds=30.0)
    Bodies(folder()).end_all()
    _state_file().unlink(missing_ok=True)


def status() -> dict[str, Any]:
    """Say whether the twin runs, and which nodes have a body."""
    recorded = _recorded()
    running = bool(recorded and process.is_running(*recorded))
    return {"depth": DEPTH, "running": running, "nodes": Bodies(folder()).as_dict()}


def _state_file() -> Path:
    return folder() / "twin.json"


def _recorded() -> tuple[int, str] | None:
    try:
        pid, began = json.loads(_state_file().read_text())
        return int(pid), str(began)
    except (OSError, ValueError, TypeError):
        return None
