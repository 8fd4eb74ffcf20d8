"""A command inside a root that is not booted, without a network: as on an instance whose image is being made."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.local.twin.machines import cgroups, nspawn, tools

#: systemd-nspawn leaves folders in /run, so it gets one of its own; and nothing that is mounted for it stays.
_OWN_RUN = 'mount -t tmpfs tmpfs /run && exec "$@"'
_OVER = 'mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4" && shift 4 && '


class Root:
    """A root, changed for good; or, given a folder for what changes, a base that stays as it is.

    Args:
        folder: the root.
        changes: an empty folder on the same file system, or None.
        shown: path inside to a folder outside that is shown there, and cannot be written.
        environment: of every command.
    """

    def __init__(
        self,
        folder: Path,
        *,
        changes: Path | None = None,
        shown: Mapping[str, Path] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._base, self._changes = folder, changes
        self._shown, self._environment = dict(shown or {}), dict(environment or {})
        if changes is not None:
            for name in ("upper", "work", "root"):
                (changes / name).mkdir()

    def run(self, script: str, *, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        """Run a script with bash, as root, and return how it ended; what it writes to either output is together.

        Raises:
            ToolFailed: it did not end in time.
        """
        return self._run(["/bin/bash", "-c", script], self._shown, timeout_seconds)

    def put(self, content: bytes, path: str) -> None:
        """Write a file into the root; folders on the way are made."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "file").write_bytes(content)
            script = 'mkdir -p "$(dirname "$1")" && cp /mnt/file "$1"'
            command = ["/bin/sh", "-c", script, "sh", path]
            done = self._run(command, {"/mnt": Path(folder)}, timeout_seconds=300)
        if done.returncode != 0:
            raise tools.ToolFailed(f"Could not put {path} into the root: {done.stdout.strip()}")

    def _run(
        self, command: Sequence[str], shown: Mapping[str, Path], timeout_seconds: float
    ) -> subprocess.CompletedProcess[str]:
        directory = self._base if self._changes is None else self._changes / "root"
        words = [
            *("systemd-nspawn", "--quiet", "--settings=no", "--register=no", "--keep-unit", "--private-network"),
            *("--pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no", f"--directory={directory}"),
            *(f"--bind-ro={outside}:{inside}" for inside, outside in shown.items()),
            *(f"--setenv={name}={value}" for name, value in self._environment.items()),
            *command,
        ]
        if self._changes is None:
            own = ["unshare", "--mount", "sh", "-c", _OWN_RUN, "sh"]
        else:
            layers = [str(self._base), *(str(self._changes / name) for name in ("upper", "work", "root"))]
            own = ["unshare", "--mount", "sh", "-c", _OVER + _OWN_RUN, "sh", *layers]
        group = cgroups.make(f"base-{os.getpid()}", "build")
        try:
            return subprocess.run(  # noqa: S603 - a list
                nspawn.in_groups(group.procs, [*own, *words]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout_seconds,
            )
        except subprocess.TimeoutExpired:
            raise tools.ToolFailed(f"It did not end within {timeout_seconds:g} seconds.") from None
        finally:
            group.remove()
