"""The table of fault, outcome and time at the end of the fault tests: printed, and written for people and programs."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

_KEY = "fault"


class Tell(Protocol):
    """Adds a line to the table."""

    def __call__(self, fault: str, outcome: str, *, seconds: float | None = None, **figures: Any) -> None:
        """Tell what was done, what came of it, the seconds until all was well again, and what was measured.

        Without seconds, those of the whole test are told.
        """


def teller(item: pytest.Item) -> Tell:
    """Return what adds lines for a test; they travel with its report, also from another process."""

    def tell(fault: str, outcome: str, *, seconds: float | None = None, **figures: Any) -> None:
        item.user_properties.append((_KEY, {"fault": fault, "outcome": outcome, "seconds": seconds, **figures}))

    return tell


def write(reporter: pytest.TerminalReporter, folder: Path) -> None:
    """Print the table, and write ``faults.json`` and ``faults.md`` into a folder; nothing if there are no lines."""
    lines = list(_lines(reporter))
    if not lines:
        return
    folder.mkdir(parents=True, exist_ok=True)
    made = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": platform.platform(), "lines": lines}
    (folder / "faults.json").write_text(json.dumps(made, indent=1) + "\n")
    told = [(one["fault"], one["outcome"], _seconds(one["seconds"])) for one in lines]
    rows = [("fault", "outcome", "seconds"), *told]
    marked = [f"| {' | '.join(row)} |" for row in rows]
    (folder / "faults.md").write_text("\n".join([marked[0], "|---|---|---:|", *marked[1:]]) + "\n")
    reporter.section("faults")
    width = max(len(row[0]) for row in rows)
    for fault, outcome, seconds in rows:
        reporter.write_line(f"{fault:<{width}}  {seconds:>8}  {outcome}")
    reporter.write_line(f"written to {folder}")


def _lines(reporter: pytest.TerminalReporter) -> Iterator[dict[str, Any]]:
    """Yield what tests told; of a test that failed or did not run also that."""
    for kind in ("passed", "failed", "error", "skipped", "xfailed"):
        for report in reporter.stats.get(kind, []):
            if "faults" not in report.keywords or (kind == "passed" and report.when != "call"):
                continue
            test = report.nodeid.rpartition("::")[2]
            found = [value for key, value in report.user_properties if key == _KEY] if kind == "passed" else []
            for one in found:  # without a time of its own, that of the whole test
                seconds = one["seconds"] if one["seconds"] is not None else round(report.duration, 1)
                yield {**one, "seconds": seconds, "test": test}
            words = test.removeprefix("test_").replace("_", " ")
            if kind == "skipped":
                reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
                yield {"fault": words, "outcome": f"NOT RUN: {reason}", "seconds": None, "test": test}
            elif kind == "xfailed":
                yield {"fault": words, "outcome": f"known: {report.wasxfail}", "seconds": None, "test": test}
            elif kind != "passed":
                yield {"fault": words, "outcome": "FAILED", "seconds": round(report.duration, 1), "test": test}


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
