"""How fast raw eICU tables become tensors, how much memory that takes, and how both grow.

Three measurements, each in a process of its own so that peak memory is its own:

- ``demo``: raw CSV.gz to tensors, imports aside; best and median of five. The published code took 463 s on these files
  on a machine of this kind.
- ``growth``: synthetic releases of 1, 10 and (with --scales 1,10,100) 100 times the demo's 1.2 million nurseCharting
  rows; ``prepare`` from CSV.gz to ``hourly.parquet``, digests of the inputs included. Up to 20 times the best of three.
- ``scan``: the floor, measured in between. The same two files read by Polars with the same columns, as text, and
  counted.

    python benchmarks/bench_eicu.py --source ../shared/data/eicu-demo --scales 1,10
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from releases import HELP, release

STAYS_PER_SCALE = 3_600
PUBLISHED_SECONDS = 463.0
SCALE_MEASURED_ONCE = 20  # from here on

MEASURE = """
import json, resource, sys, time
from pathlib import Path
import polars as pl
from fl_app.eicu.options import Options
from fl_app.eicu.prepare import prepare
from fl_app.eicu.site import encode_folder
what, source, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
COLUMNS = {
    "nurseCharting": ["patientunitstayid", "nursingchartoffset", "nursingchartcelltypevallabel",
                      "nursingchartcelltypevalname", "nursingchartvalue"],
    "lab": ["patientunitstayid", "labresultoffset", "labname", "labresult"],
}
def scan():
    return sum(
        len(batch)
        for name, columns in COLUMNS.items()
        for batch in pl.scan_csv(source / f"{name}.csv.gz", infer_schema=False).select(columns).collect_batches()
    )
began = time.perf_counter()
if what == "tensors":
    size = len(encode_folder(source, Options.read({})))
elif what == "prepare":
    size = prepare(source, out).manifest["rows"]
else:
    size = scan()
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": round(seconds, 3), "peak_mib": round(peak), "size": size}))
"""


def measured(what: str, source: Path, out: Path) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, "-c", MEASURE, what, str(source), str(out)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _repeats(scale: int) -> int:
    """Return how often a scale is measured; the best counts, since the machine may do other things as well."""
    return 3 if scale < SCALE_MEASURED_ONCE else 1


def growth(scale: int, root: Path) -> dict[str, Any]:
    """Measure a synthetic release of so many times the demo's rows."""
    source, out = root / f"x{scale}", root / f"features-x{scale}"
    command = [sys.executable, "-m", "fl_app.eicu", "synthesize", "--out", str(source)]
    told = subprocess.run(
        [*command, "--stays", str(STAYS_PER_SCALE * scale), "--seed", "0"], check=True, capture_output=True, text=True
    ).stdout
    rows = int(told.split(" stays, ")[1].split()[0])
    runs = [(measured("scan", source, out), measured("prepare", source, out / str(n))) for n in range(_repeats(scale))]
    scan = min((scanned for scanned, _ in runs), key=lambda run: run["seconds"])
    prepared = min((prepared for _, prepared in runs), key=lambda run: run["seconds"])
    for path in source.iterdir():
        path.unlink()
    return {
        "scale": scale,
        "charting_rows": rows,
        "hourly_rows": prepared["size"],
        "prepare_seconds": prepared["seconds"],
        "prepare_peak_mib": max(run["peak_mib"] for _, run in runs),
        "rows_per_second": round(scan["size"] / prepared["seconds"]),
        "scan_seconds": scan["seconds"],
        "times_the_scan": round(prepared["seconds"] / scan["seconds"], 2),
    }


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--source",
        type=Path,
        default=release(),
        metavar="DIR",
        help=HELP,
    )
    parser.add_argument("--scales", default="1,10", metavar="N,N", help="times the demo's rows (default 1,10)")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-eicu-") as name:
        root = Path(name)
        demo = None
        if parsed.source:
            runs = [measured("tensors", parsed.source, root) for _ in range(5)]
            seconds = [run["seconds"] for run in runs]
            demo = {
                "seconds_best": min(seconds),
                "seconds_median": statistics.median(seconds),
                "peak_mib": max(run["peak_mib"] for run in runs),
                "stays": runs[0]["size"],
                "times_faster_than_published": round(PUBLISHED_SECONDS / statistics.median(seconds)),
            }
            print(f"demo: {demo}", file=sys.stderr)
        grown = []
        for scale in map(int, parsed.scales.split(",")):
            grown.append(growth(scale, root))
            print(f"growth: {grown[-1]}", file=sys.stderr)
    print(json.dumps({"benchmark": "eicu", "demo": demo, "growth": grown}))


if __name__ == "__main__":
    main()
