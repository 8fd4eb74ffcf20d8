"""Bodies that are processes: what the machine image's unit would run, as a process group, in whatever network."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.local import process
from infra.local.twin.deployed import Instance

#: The agent gives the application 15 seconds to end in order.
_GRACE_SECONDS = 25.0
#: Below the range from which the kernel takes ports of outgoing connections.
_PORTS = range(20_000, 30_000)
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR")
_POLL_SECONDS = 0.5
_NOTICES_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Body:
    """A node's process group; ``began`` marks its leader beyond its number."""

    node: str
    federation: str
    account: str
    pid: int
    began: str

    @property
    def is_alive(self) -> bool:
        """Whether the agent runs."""
        process.reap(self.pid)
        return process.is_running(self.pid, self.began)


class Bodies:
    """Starts and ends bodies; what it knows is in files, so that it is found again after a crash.

    Args:
        folder: the twin's; ``nodes/<instance>`` is a root volume, ``volumes/<id>`` a state volume.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "bodies.json"
        self._bodies = self._read()

    def __iter__(self) -> Any:
        """Iterate over the ids of instances that have a body, alive or not."""
        return iter(tuple(self._bodies))

    def __contains__(self, instance: object) -> bool:
        return instance in self._bodies

    def is_alive(self, instance: str) -> bool:
        """Say whether an instance's body lives."""
        return instance in self._bodies and self._bodies[instance].is_alive

    def start(self, instance: Instance, environment: Mapping[str, str], within: Sequence[str] = ()) -> None:
        """Boot a node: its user data's facts, then what the unit runs.

        Args:
            instance: the node's.
            environment: what the node is given besides what every process has: how it reaches its account.
            within: a command that runs another in the place where the node is; nothing for this machine's network.
        """
        root = self.root(instance.id)
        volume = self._folder / "volumes" / instance.volume
        for made in (root, volume):
            made.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = root / "node.json"
        facts.write_text(json.dumps(instance.facts))
        options = {"facts": facts, "root": root, "state": volume, "poll": _POLL_SECONDS, "notices": _NOTICES_SECONDS}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        with (root / "agent.log").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own module
                [*within, sys.executable, "-m", "node_bootstrap.agent", *arguments],
                cwd=root,
                env=_environment(root, instance, environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._bodies[instance.id] = Body(
            instance.facts.get("node", ""),
            instance.facts.get("federation", ""),
            instance.account,
            child.pid,
            process.started_at(child.pid) or "",
        )
        self._write()

    def end(self, instance: str) -> None:
        """End a body in order, with all that it started; its root volume stays."""
        body = self._bodies.get(instance)
        if body is not None:
            process.end(body.pid, body.began, grace_seconds=_GRACE_SECONDS)
            _end_group_of_the_dead(body.pid)
            del self._bodies[instance]
            self._write()

    def kill(self, instance: str) -> None:
        """End a body at once, as a power cut does; its root volume stays."""
        body = self._bodies.pop(instance, None)
        if body is not None:
            if body.is_alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(body.pid, signal.SIGKILL)
            process.end(body.pid, body.began, grace_seconds=0.0)
            _end_group_of_the_dead(body.pid)
            self._write()

    def disown(self, instance: str) -> None:
        """Forget a body that is gone for certain; no process is looked at, whatever its number is now."""
        del self._bodies[instance]
        self._write()

    def processes(self, instance: str) -> tuple[int, tuple[int, ...]]:
        """Return the number of a node's agent, and those of its other processes.

        Raises:
            KeyError: it has no body.
        """
        agent = self._bodies[instance].pid
        return agent, tuple(pid for pid in process.group(agent) if pid != agent)

    def forget(self, instances: set[str], volumes: set[str]) -> None:
        """Delete the volumes of everything that does not exist any more.

        Args:
            instances: ids of the instances that exist.
            volumes: ids of the volumes that exist.
        """
        for kind, existing in (("nodes", instances), ("volumes", volumes)):
            for path in (self._folder / kind).glob("*"):
                if path.name not in existing and path.name not in self._bodies:
                    delete(path)

    def end_all(self) -> None:
        """End every body and delete every volume."""
        for instance in self:
            self.end(instance)
        for name in ("nodes", "volumes"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        for name in ("bodies.json", "ports.json", "places.json"):
            (self._folder / name).unlink(missing_ok=True)

    def port_for(self, interface: str) -> int:
        """Return the loopback port that stands for an address of the plan; the same for as long as it exists."""
        path = self._folder / "ports.json"
        try:
            ports: dict[str, int] = json.loads(path.read_text())
        except (OSError, ValueError):
            ports = {}
        if interface not in ports:
            ports[interface] = _free_port(set(ports.values()))
            path.write_text(json.dumps(ports))
        return ports[interface]

    def as_dict(self) -> dict[str, Any]:
        """Return the bodies by instance."""
        return {name: {**asdict(body), "alive": body.is_alive} for name, body in self._bodies.items()}

    def root(self, instance: str) -> Path:
        """Return the folder that is a node's root volume."""
        return self._folder / "nodes" / instance

    def _read(self) -> dict[str, Body]:
        try:
            return {name: Body(**body) for name, body in json.loads(self._file.read_text()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps({name: asdict(body) for name, body in self._bodies.items()}))
        part.replace(self._file)


def _environment(root: Path, instance: Instance, given: Mapping[str, str]) -> dict[str, str]:
    """Return a node's environment: what it is given, and nothing of the operator's."""
    return {
        **{name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        "HOME": str(root),
        "AWS_DEFAULT_REGION": instance.region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # All nodes share this machine's cores, and the number of threads would show in the last bits of the model.
        "FEDERATE_THREADS": "1",
        **given,
    }


def delete(folder: Path) -> None:
    """Delete a folder with all that is in it, as far as it goes."""
    shutil.rmtree(folder, ignore_errors=True)


def _end_group_of_the_dead(pid: int) -> None:
    """End what an agent that is gone has left behind, as systemd does for a unit.

    As long as one process of its group lives, no other process gets the number: so where one has it, the group is gone.
    """
    process.reap(pid)
    if process.started_at(pid) is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _free_port(taken: set[int]) -> int:
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            return port
    raise OSError(f"no port of {_PORTS.start}–{_PORTS.stop - 1} is free on 127.0.0.1")
