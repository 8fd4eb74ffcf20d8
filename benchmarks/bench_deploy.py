"""What it takes to have a federation: synth, deployment, training and teardown of ``federation.yaml`` on loopback AWS.

Runs ``python app.py`` several times without CDK's own validation, then the demo once (or ``--repeat`` times), and
samples the memory of all its processes: the emulator, the CDK command, three nodes with their applications. Memory is
the sum of proportional set sizes where the system tells them (pages that processes share are counted once), of resident
set sizes elsewhere. Data are synthetic unless EICU_DIR names a release.

    python benchmarks/bench_deploy.py --repeat 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

CHECKOUT = Path(__file__).parents[1]
_SAMPLE_SECONDS = 0.5


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synths", type=int, default=5, metavar="N", help="runs of app.py (default 5)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="runs of the demo (default 1)")
    parsed = parser.parse_args()
    synth = [synth_seconds() for _ in range(parsed.synths)]
    print(f"python app.py, validation off: median {statistics.median(synth):.2f} s of {len(synth)} runs")
    runs = [run_demo() for _ in range(parsed.repeat)]
    for run in runs:
        print(", ".join(f"{name} {value:.1f}" for name, value in run.items()))
    figures = {
        "synth_seconds": round(statistics.median(synth), 3),
        "synth_runs": len(synth),
        **{name: round(statistics.median(run[name] for run in runs), 1) for name in runs[0]},
        "demo_runs": len(runs),
        "data": (os.environ.get("EICU_DIR") and "eicu") or "synthetic",
        "cores": os.cpu_count(),
    }
    print(json.dumps(figures))


def synth_seconds() -> float:
    """Return the wall time of one synth."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "app.py"],
            cwd=CHECKOUT,
            env={**os.environ, "CDK_VALIDATION": "false", "CDK_OUTDIR": out},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - began


def run_demo() -> dict[str, float]:
    """Run the demo in a home of its own; return seconds by step, and the peak of memory in MiB."""
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli.main", "--json", "demo"],
            cwd=CHECKOUT,
            env={**os.environ, "FEDERATE_HOME": home},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        peak = Peak(process.pid)
        out, err = process.communicate(timeout=900)
        mib = peak.end()
    if process.returncode != 0:
        sys.exit(f"the demo ended with {process.returncode}:\n{err}{out}")
    seconds: dict[str, Any] = json.loads(out)["seconds"]
    return {**{f"{name}_seconds": float(value) for name, value in seconds.items()}, "peak_mib": round(mib)}


class Peak:
    """Samples the memory of a process and all its descendants until told to end."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._mib = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """Stop sampling; return the largest sum, MiB."""
        self._over.set()
        self._thread.join()
        return self._mib

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            try:
                everybody = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self._mib = max(self._mib, sum(map(_bytes, everybody)) / 2**20)


def _bytes(process: psutil.Process) -> int:
    try:
        info = process.memory_full_info()
        return int(getattr(info, "pss", info.rss))
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
