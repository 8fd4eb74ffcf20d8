"""The twin as the local session sees it: started beside the emulator, found again, ended with all that it made."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.errors import FederateError
from infra.federation.derive import nodes
from infra.federation.model import Federation
from infra.local import process
from infra.local.home import local
from infra.local.twin.bodies import Bodies
from infra.local.twin.control import TwinRefused, TwinSilent, ask
from infra.local.twin.deployed import Places
from infra.local.twin.depth import Depth, refuse_unless_possible, with_system_folders

#: What the twin and its nodes run; by these and the folder its processes are found.
_TWIN = "infra.local.twin"
_NODES = ("node_bootstrap.agent", "fl_app")
#: Nodes are given 25 seconds each to end, side by side.
_GRACE_SECONDS = 40.0


class OtherDepth(FederateError):
    """The twin runs already, at another depth."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Twin:
    """A running twin.

    Args:
        pid: its process.
        began: what marks the process beyond its number.
        depth: how deep it goes.
        tunnel: port on 127.0.0.1 of its tunnels into the network; 0 where there is none.
    """

    pid: int
    began: str
    depth: Depth
    tunnel: int

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        process.reap(self.pid)
        return process.is_running(self.pid, self.began)


def folder() -> Path:
    """Return where the twin keeps its bodies, for the user's eyes only."""
    made = local() / "twin"
    made.mkdir(exist_ok=True, mode=0o700)
    return made


def start(environment: Mapping[str, str], federation: Federation, depth: Depth | None) -> Twin:
    """Have the twin look after the accounts of a federation as well; it is started if it does not run.

    Args:
        environment: reaches loopback AWS; see :func:`infra.local.session.ensure_up`.
        federation: whose accounts and Regions are looked at.
        depth: how deep; None takes the twin as it is or was, and starts a first one at the depth *processes*.

    Raises:
        OtherDepth: it runs at another depth, or did until it died: bodies of the one are none of the other's.
        CannotGoSoDeep: this machine lacks something that the depth needs.
    """
    Places(folder()).add((node.account, node.region) for node in nodes(federation))
    found = recorded()
    if found is not None and depth not in (None, found.depth):
        raise OtherDepth(
            f"The twin runs at the depth {found.depth}, and {depth} is asked for.",
            remedy="federate local down ends it, with everything that is deployed into loopback AWS.",
        )
    if found is not None and found.is_running:
        return found
    wanted = depth or (Depth.PROCESSES if found is None else found.depth)
    refuse_unless_possible(wanted)
    _end_orphans(_TWIN)
    return _start(environment, wanted)


def stop() -> None:
    """End the twin and every body, and delete what they left: it was only ever a picture of loopback AWS."""
    found = recorded()
    depth = found.depth if found is not None else None
    if found is not None:
        process.end(found.pid, found.began, grace_seconds=_GRACE_SECONDS)
    _end_orphans(_TWIN, *_NODES)
    # What is written down of bodies at another depth are numbers of another world's processes, here anybody's.
    if depth is Depth.PROCESSES:
        Bodies(folder()).end_all()
    elif depth is not Depth.NETWORK and sys.platform == "linux":
        from infra.local.twin.machines import sweep

        sweep(tag())
    for left in folder().iterdir():
        if left in (folder() / "twin.log", _state_file()):
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    _state_file().unlink(missing_ok=True)  # the last: whoever is stopped here begins again where the depth is known


def status() -> dict[str, Any]:
    """Say whether the twin runs, how deep, which nodes have a body, and which faults they have."""
    found = recorded()
    if found is None or not found.is_running:
        return {"depth": None if found is None else found.depth.value, "running": False, "nodes": {}, "faults": []}
    with contextlib.suppress(TwinSilent, TwinRefused):
        told: dict[str, Any] = ask("status", timeout=10.0)
        return {"depth": found.depth.value, "running": True, **told}
    return {"depth": found.depth.value, "running": True, "nodes": {}, "faults": [], "problem": "it does not answer"}


def recorded() -> Twin | None:
    """Return the twin that was started last and not ended, whether it runs or not."""
    try:
        told = json.loads(_state_file().read_text())
        return Twin(int(told["pid"]), str(told["began"]), Depth(told["depth"]), int(told["tunnel"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def tag() -> str:
    """Return what names this twin where the machine has one place for all: control groups."""
    import hashlib

    return hashlib.sha256(os.fsencode(folder())).hexdigest()[:12]


def _start(environment: Mapping[str, str], depth: Depth) -> Twin:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FEDERATE_"))}
    path = with_system_folders(kept.get("PATH", os.defpath))
    base = _base() if depth is Depth.MACHINES else None
    # The listener is made here, in the host's network; a socket stays in the network in which it was made.
    with socket.create_server(("127.0.0.1", 0)) as tunnels, (folder() / "twin.log").open("ab") as log:
        options = {"folder": folder(), "depth": depth, "tunnels": tunnels.fileno(), "tag": tag()}
        if base is not None:
            options["base"] = base
        child = subprocess.Popen(  # noqa: S603 - our own module
            [
                sys.executable,
                "-m",
                _TWIN,
                *(part for name, value in options.items() for part in (f"--{name}", str(value))),
            ],
            cwd=Path(__file__).parents[3],
            env={**kept, **environment, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(tunnels.fileno(),),
        )
        port = 0 if depth is Depth.PROCESSES else tunnels.getsockname()[1]
        twin = Twin(child.pid, process.started_at(child.pid) or "", depth, port)
    _state_file().write_text(json.dumps(asdict(twin)))
    return twin


def _base() -> Path:
    """Return the root that machines share; where it is not in the cache it is built, which takes minutes."""
    from infra.local.twin.machines import cache_folder, ensure

    return ensure(cache_folder(), lambda doing: print(doing, file=sys.stderr, flush=True))


def _end_orphans(*modules: str) -> None:
    """End what runs for this twin and is written down nowhere: whoever started it was killed just then."""
    for module in modules:
        for pid, began in process.running((module,), folder()):
            process.end(pid, began, grace_seconds=_GRACE_SECONDS if module == _TWIN else 0.0)


def _state_file() -> Path:
    return folder() / "twin.json"
