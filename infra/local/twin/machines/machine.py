"""One node as a machine: its root, its disks, its first process, from power-on to power-off."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.errors import FederateError
from infra.local.twin.machines import base, cgroups, config, nspawn, tools
from infra.local.twin.machines.volumes import Loop, Volume, make_root_disk

_PROGRAMS = ("mkfs.ext4", "mount", "nsenter", "systemd-nspawn", "umount")
#: The unit gives its application 15 seconds, and systemd gives the unit 30.
_OFF_SECONDS = 45.0
_LEADER_SECONDS = 10.0
_COMMAND_SECONDS = 30.0
#: What EC2 keeps of a console.
_CONSOLE_BYTES = 65_536
_POLL_SECONDS = 0.02


class NotRunning(FederateError):
    """The machine is off, or not yet so far that something can run in it."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Spec:
    """What a machine is made of.

    Args:
        identity: who it is; its instance names the machine.
        base: the root that all machines share; see :func:`infra.local.twin.machines.base.ensure`.
        folder: of this instance alone, made if need be: its root disk and its console.
        network: file of the network namespace that has its interface, ``/run/netns/…``.
        root_gib: size of its root disk.
        volumes: device name inside, ``/dev/sdf``, to the volume.
        tag: of the twin; names its control groups.
    """

    identity: config.Identity
    base: Path
    folder: Path
    network: Path
    root_gib: int
    volumes: Mapping[str, Volume]
    tag: str


@dataclass(slots=True)
class _On:
    """What a machine that is on holds of this system."""

    group: cgroups.Group
    loops: list[Loop]
    devices: Mapping[str, Path]
    mounts: list[Path]
    base: int
    process: subprocess.Popen[bytes] = field(init=False)


class Machine:
    """A node's machine; its root disk stays in its folder while it is off.

    Args:
        spec: what it is made of.
        on_end: called, in a thread of its own, when it is off, by whomever.
    """

    def __init__(self, spec: Spec, on_end: Callable[[Machine], None] | None = None) -> None:
        self.spec = spec
        self._on_end = on_end
        self._on: _On | None = None
        self._watcher: threading.Thread | None = None
        self._is_ending = False
        self._turning = threading.Lock()  # between "boots again" and "is to end"

    @property
    def is_alive(self) -> bool:
        """Whether it is on; a machine that reboots is."""
        return self._watcher is not None and self._watcher.is_alive()

    @property
    def root(self) -> Path:
        """Where its root is mounted while it is on."""
        return self.spec.folder / "root"

    @property
    def leader(self) -> int:
        """Number of its first process, as it is numbered outside.

        Raises:
            NotRunning: it has none.
        """
        on = self._on
        found = _leader_of(on.process.pid) if on is not None and self.is_alive else None
        if found is None:
            raise NotRunning(f"The machine of {self.spec.identity.instance} is not running.")
        return found

    def start(self) -> None:
        """Power it on; returns when its first process has been started, long before it is ready.

        Raises:
            CannotHaveMachines: not root, a program or loop devices are missing.
            ToolFailed: a disk could not be made or mounted.
        """
        if self.is_alive:
            return
        tools.require(*_PROGRAMS)
        self.spec.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._is_ending = False
        self._on = self._take()
        try:
            self._boot(self._on)
        except BaseException:
            self._release()
            raise
        self._watcher = threading.Thread(
            target=self._watch, args=(self._on,), name=f"machine-{self.spec.identity.instance}", daemon=True
        )
        self._watcher.start()

    def reboot(self, *, hard: bool = False) -> None:
        """Boot it again, in order, or as the reset button does.

        Raises:
            NotRunning: it is off.
        """
        if hard:
            self.kill()
            self.start()
        else:
            self._signal(nspawn.REBOOT)

    def power_off(self, timeout_seconds: float = _OFF_SECONDS) -> None:
        """Power it off in order; what does not end in time is killed."""
        with self._turning:
            self._is_ending = True
        with contextlib.suppress(NotRunning):
            self._signal(nspawn.POWER_OFF)
            self.wait(timeout_seconds)
        self.kill()

    def kill(self) -> None:
        """Take its power away."""
        with self._turning:
            self._is_ending = True
        with contextlib.suppress(NotRunning, ProcessLookupError):
            os.kill(self.leader, signal.SIGKILL)  # and with it everything in the machine
        on = self._on
        if on is not None and self.is_alive:
            on.process.kill()
        self.wait()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it is off and holds nothing any more; return whether it is."""
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(timeout_seconds)
        return not self.is_alive

    def enter(
        self, command: Sequence[str], *, timeout_seconds: float = _COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root, and return how it ended; its output is text.

        Raises:
            NotRunning: it is off.
            ToolFailed: the command did not end in time.
        """
        words = nspawn.enter_command(self.leader, command)
        try:
            return subprocess.run(  # noqa: S603 - a list, no shell
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_seconds
            )
        except subprocess.TimeoutExpired:
            raise tools.ToolFailed(
                f"{command[0]} in {self.spec.identity.instance} did not end within {timeout_seconds:g} seconds."
            ) from None

    def console(self, last_bytes: int = _CONSOLE_BYTES) -> str:
        """Return the end of what it wrote to its console, over all its boots."""
        try:
            with (self.spec.folder / "console.log").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - last_bytes))
                return log.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def _take(self) -> _On:
        """Take what it needs of this system: groups, devices, mounts."""
        folder, tag, name = self.spec.folder, self.spec.tag, self.spec.identity.instance
        disk, upper = folder / "disk.img", folder / "disk"
        is_new = not disk.exists()
        make_root_disk(disk, self.spec.root_gib)
        on = _On(cgroups.make(tag, name), [], {}, [], base.hold(self.spec.base))
        self._on = on
        try:
            on.loops.append(Loop(disk))
            # Inode tables are made when they are needed, or the kernel would write them all behind our back.
            _mount(on, ["-t", "ext4", "-o", "noinit_itable", on.loops[0].device], upper)
            for part in ("upper", "work"):
                (upper / part).mkdir(exist_ok=True, mode=0o755)
            layers = f"lowerdir={self.spec.base},upperdir={upper / 'upper'},workdir={upper / 'work'}"
            _mount(on, ["-t", "overlay", "-o", layers, "overlay"], self.root)
            if is_new:
                config.write(self.root, self.spec.identity)
            attached = {inside: volume.attach() for inside, volume in self.spec.volumes.items()}
            on.loops.extend(attached.values())
            on.devices = {inside: loop.device for inside, loop in attached.items()}
        except BaseException:
            self._release()
            raise
        return on

    def _boot(self, on: _On) -> None:
        authority = self.spec.folder / "ca.pem"
        authority.write_text(self.spec.identity.ca)
        command = nspawn.boot_command(
            name=self.spec.identity.instance,
            root=self.root,
            network=self.spec.network,
            devices=on.devices,
            files={config.CA_PATH: authority},
        )
        with (self.spec.folder / "console.log").open("ab") as console:
            on.process = subprocess.Popen(  # noqa: S603 - a list, no shell of ours
                nspawn.in_groups(on.group.procs, command),
                env={**os.environ, "SYSTEMD_NSPAWN_TMPFS_TMP": "0"},  # /tmp is on the root disk, as on AWS
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _watch(self, on: _On) -> None:
        """Boot it again when it says so; give back what it held when it is off."""
        try:
            while on.process.wait() == nspawn.REBOOTED and self._boots_again(on):
                pass
        finally:
            self._release()
        if self._on_end is not None:
            threading.Thread(target=self._on_end, args=(self,), daemon=True).start()

    def _boots_again(self, on: _On) -> bool:
        """Boot it again unless it is to end; return whether it did."""
        with self._turning:
            if not self._is_ending:
                self._boot(on)
            return not self._is_ending

    def _release(self) -> None:
        on = self._on
        if on is None:
            return
        for mount in reversed(on.mounts):
            try:
                tools.run(["umount", mount], doing="unmount a node's root")
            except tools.ToolFailed:  # something looks at it from outside; the mount goes with the last one
                subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)  # noqa: S603, S607
        for loop in on.loops:
            loop.close()
        on.group.remove()
        os.close(on.base)
        self._on = None

    def _signal(self, number: int) -> None:
        """Tell its first process something, as soon as it has one.

        Raises:
            NotRunning: it is off, or has none in time.
        """
        deadline = time.monotonic() + _LEADER_SECONDS
        while True:
            try:
                os.kill(self.leader, number)
                return
            except (NotRunning, ProcessLookupError):
                if not self.is_alive or time.monotonic() > deadline:
                    raise NotRunning(f"The machine of {self.spec.identity.instance} is not running.") from None
                time.sleep(_POLL_SECONDS)


def _mount(on: _On, arguments: Sequence[str | Path], place: Path) -> None:
    place.mkdir(exist_ok=True, mode=0o755)
    tools.run(["mount", *arguments, place], doing="mount a node's root")
    on.mounts.append(place)


def _leader_of(parent: int) -> int | None:
    """Return the child of systemd-nspawn that is the first process of a machine."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:  # gone by now
            continue
        if int(fields["PPid"]) == parent and fields.get("NSpid", "").split()[-1:] == ["1"]:
            return int(status.parent.name)
    return None
