"""What the machine shows of itself: memory, processors, disks, GPUs. What cannot be read is left out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from node_bootstrap.measures import CPU, GPU, GPU_MEMORY, MEMORY, Measure

_PROC = Path("/proc")
_GPU_SECONDS = 10.0
_GPU_QUERY = ("--query-gpu=utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits")
_SECONDS_A_DAY = 86_400.0
#: Columns of /proc/stat in which a processor has nothing to do: idle and iowait.
_IDLE = slice(3, 5)


class Processors:
    """How busy the processors were since the look before.

    Source: proc(5), ``/proc/stat``: user, nice, system, idle, iowait, irq, softirq, steal, and guest time, which is
    in user time already.
    """

    def __init__(self, proc: Path = _PROC) -> None:
        self._file = proc / "stat"
        self._before = self._read()

    def used(self) -> dict[Measure, float]:
        """Return the share of their time, percent."""
        before, self._before = self._before, self._read()
        if before is None or self._before is None:
            return {}
        total, idle = (now - then for now, then in zip(self._before, before, strict=True))
        return {CPU: 100 * (1 - idle / total)} if total > 0 else {}

    def _read(self) -> tuple[int, int] | None:
        """Return all ticks since boot, and those in which there was nothing to do."""
        try:
            first = self._file.read_text("ascii").split("\n", 1)[0].split()
            ticks = [int(value) for value in first[1:9]]
        except (OSError, ValueError):
            return None
        return sum(ticks), sum(ticks[_IDLE])


def memory(proc: Path = _PROC) -> dict[Measure, float]:
    """Return the share of the memory that is not available, percent."""
    try:
        lines = (proc / "meminfo").read_text("ascii").splitlines()
        found = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return {MEMORY: 100 * (1 - found["MemAvailable"] / found["MemTotal"])}
    except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
        return {}


def disk(measure: Measure, path: Path) -> dict[Measure, float]:
    """Return how full the file system of a path is, percent, as ``df`` counts it: without what is root's alone."""
    try:
        found = shutil.disk_usage(path)
    except OSError:
        return {}
    usable = found.used + found.free
    return {measure: 100 * found.used / usable} if usable else {}


def gpus(run: Callable[[], str] | None = None) -> dict[Measure, float]:
    """Return the GPUs' mean use and the memory of the fullest, percent; nothing where there is no GPU to ask."""
    try:
        rows = [line.split(",") for line in (run or _nvidia_smi)().splitlines() if line.strip()]
        values = [tuple(float(cell) for cell in row) for row in rows]
        used = [use for use, _, _ in values]
        memory_used = [100 * part / whole for _, part, whole in values]
    except (OSError, subprocess.SubprocessError, ValueError, ZeroDivisionError):
        return {}
    return {GPU: sum(used) / len(used), GPU_MEMORY: max(memory_used)} if values else {}


def _nvidia_smi() -> str:
    """Return a line for each GPU: use in percent, memory used and in all, MiB."""
    program = shutil.which("nvidia-smi")
    if program is None:
        raise FileNotFoundError("nvidia-smi")
    asked = subprocess.run([program, *_GPU_QUERY], capture_output=True, text=True, check=True, timeout=_GPU_SECONDS)  # noqa: S603 - a program of the image, a list, no shell
    return asked.stdout


def days_left(measure: Measure, certificate: Path, now: Callable[[], datetime]) -> dict[Measure, float]:
    """Return the days until a certificate expires; nothing where there is none that can be read."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):
        return {}
    return {measure: (found.not_valid_after_utc - now()).total_seconds() / _SECONDS_A_DAY}


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


def merged(*found: Mapping[Measure, float]) -> dict[Measure, float]:
    """Return all readings as one."""
    return {measure: value for part in found for measure, value in part.items()}
