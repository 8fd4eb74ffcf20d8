"""A disk of a few pages that can be filled, seen only by the processes that are started with its prefix."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_AS_ROOT, _AS_USER = ["unshare", "-m"], ["unshare", "-rm"]
_FILLER = "filler"


class SmallDisk:
    """A tmpfs over a folder, in a mount namespace of its own; gone with :meth:`close`."""

    def __init__(self, folder: Path, *, kib: int) -> None:
        """Mount it; what is in the folder is on it as well.

        Raises:
            OSError: this machine does not allow it; says why.
        """
        self._holder = subprocess.Popen(
            [
                *(_AS_ROOT if os.geteuid() == 0 else _AS_USER),
                "sh",
                "-c",
                'mkdir "$1.old" && cp -a "$1/." "$1.old/" && mount -t tmpfs -o size="$2" tmpfs "$1" && '
                'cp -a "$1.old/." "$1/" && echo ready && exec cat',
                "sh",
                str(folder),
                f"{kib}k",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._holder.stdout
        assert self._holder.stderr
        if self._holder.stdout.readline() != b"ready\n":
            reason = self._holder.stderr.read().decode().strip()
            self.close()
            raise OSError(f"no small disk: {reason}")
        self.folder = Path(f"/proc/{self._holder.pid}/root{folder}")

    @property
    def prefix(self) -> list[str]:
        """The beginning of a command that is to see the disk."""
        user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        return ["nsenter", "-t", str(self._holder.pid), *user, "-m", "-w", "--"]

    def fill(self) -> None:
        """Leave not a byte free."""
        size = shutil.disk_usage(self.folder).free
        with (self.folder / _FILLER).open("wb", buffering=0) as file:
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    def free(self) -> None:
        """Give back what :meth:`fill` took."""
        (self.folder / _FILLER).unlink()

    def close(self) -> None:
        """Unmount it, as nobody holds it any more."""
        self._holder.communicate(b"")
