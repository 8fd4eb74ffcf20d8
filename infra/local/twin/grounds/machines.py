"""The depth *machines*: each node a root of its own, with systemd, cloud-init and disks, in its interface's network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from infra.errors import FederateError
from infra.local.twin.bodies import delete
from infra.local.twin.deployed import Instance
from infra.local.twin.faults.ground import ProcessName
from infra.local.twin.grounds.nodes import Setting
from infra.local.twin.machines import Identity, Machine, Spec, Volume, ailments
from infra.local.twin.machines.machine import NotRunning

_STATE_DEVICE = "/dev/sdf"
_MODULES: dict[ProcessName, str] = {"agent": "node_bootstrap.agent", "application": "fl_app"}
_SYSTEMD_LOG = "console.log"


class MachineNodes:
    """Machines by the ids of their instances.

    Args:
        folder: the twin's; ``machines/<instance>`` has a root disk, ``volumes/<id>.img`` is a state volume.
        base: the root that they share.
        tag: names their control groups.
    """

    def __init__(self, folder: Path, base: Path, tag: str) -> None:
        self._folder = folder
        self._base = base
        self._tag = tag
        self._machines: dict[str, Machine] = {}
        self._facts: dict[str, Instance] = {}

    def __iter__(self) -> Iterator[str]:
        """Iterate over the instances that have a machine, on or off."""
        return iter(tuple(self._machines))

    def is_alive(self, instance: str) -> bool:
        """Say whether the machine is on."""
        return instance in self._machines and self._machines[instance].is_alive

    def boot(self, instance: Instance, setting: Setting) -> None:
        """Power a machine on.

        Raises:
            CannotHaveMachines, ToolFailed: it cannot be had.
        """
        volume = Volume(self._folder / "volumes" / f"{instance.volume}.img", setting.state_gib)
        volume.path.parent.mkdir(exist_ok=True, mode=0o700)
        port = setting.port
        identity = Identity(
            instance=instance.id,
            region=instance.region,
            address=port.interface.address,
            resolver=setting.resolver,
            ca=setting.authority.read_text(),
        )
        machine = Machine(
            Spec(
                identity=identity,
                base=self._base,
                folder=self._of(instance.id),
                network=Path("/run/netns") / port.namespace,
                root_gib=setting.root_gib,
                volumes={_STATE_DEVICE: volume},
                tag=self._tag,
            )
        )
        self._machines[instance.id], self._facts[instance.id] = machine, instance
        machine.start()

    def end(self, instance: str) -> None:
        """Power a machine off in order."""
        machine = self._machines.pop(instance, None)
        if machine is not None:
            machine.power_off()

    def kill(self, instance: str) -> None:
        """Take a machine's power away."""
        machine = self._machines.pop(instance, None)
        if machine is not None:
            machine.kill()

    def forget(self, instances: set[str], volumes: set[str]) -> None:
        """Delete the disks of everything that does not exist any more."""
        for path in (self._folder / "machines").glob("*"):
            if path.name not in instances and path.name not in self._machines:
                delete(path)
        for path in (self._folder / "volumes").glob("*.img"):
            if path.stem not in volumes:
                path.unlink(missing_ok=True)

    def end_all(self) -> None:
        """Take every machine's power away and delete every disk."""
        for instance in self:
            self.kill(instance)
        self.forget(set(), set())

    def as_dict(self) -> dict[str, Any]:
        """Return the machines by instance."""
        return {
            name: {
                "node": self._facts[name].facts.get("node", ""),
                "federation": self._facts[name].facts.get("federation", ""),
                "account": self._facts[name].account,
                "alive": machine.is_alive,
                "console": str(self._of(name) / _SYSTEMD_LOG),
            }
            for name, machine in self._machines.items()
        }

    def processes(self, instance: str, name: ProcessName) -> Sequence[int]:
        """Return the numbers of the processes of its agent or of its application."""
        machine = self._machines.get(instance)
        if machine is None:
            return ()
        try:
            leader = machine.leader
        except NotRunning:
            return ()
        return [pid for pid in _in_the_space_of(leader) if _runs(pid, _MODULES[name])]

    def disk(self, instance: str) -> Path | None:
        """Return where its root disk is mounted."""
        folder = self._of(instance) / "disk"
        return folder if os.path.ismount(folder) else None

    def skew(self, instance: str, seconds: float | None) -> None:
        """Have the unit's clock be wrong by so much, or right; the unit begins anew with it.

        Raises:
            NotRunning: the machine is off.
            FaultFailed: it cannot be done.
        """
        machine = self._machines.get(instance)
        if machine is None:
            raise NotRunning(f"The machine of {instance} is off.")
        if seconds is None:
            ailments.set_right(machine)
        else:
            ailments.skew(machine, int(seconds))

    def console(self, instance: str) -> str:
        """Return the end of what a machine wrote to its console."""
        machine = self._machines.get(instance)
        return machine.console() if machine is not None else ""

    def _of(self, instance: str) -> Path:
        return self._folder / "machines" / instance


def machines(folder: Path, base: Path, tag: str) -> MachineNodes:
    """Return the bodies of the depth *machines*.

    Raises:
        FederateError: there is no base.
    """
    if not base.is_dir():
        raise FederateError(f"There is no base root at {base}.", remedy="federate local up --depth machines makes one.")
    return MachineNodes(folder, base, tag)


def _in_the_space_of(leader: int) -> Iterator[int]:
    """Iterate over the processes that share a machine's space of process numbers."""
    space = Path(f"/proc/{leader}/ns/pid").readlink()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "ns/pid").readlink() == space:
                yield int(path.name)
        except OSError:  # gone by now
            continue


def _runs(pid: int, module: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[1:3] == [b"-m", module.encode()]
