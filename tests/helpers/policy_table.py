"""The table of scanners at the end of the policy tests: printed, and written with all acknowledgements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from stacks.acknowledged import ACKNOWLEDGED, MEANT, Acknowledged

_KEY = "policy"
_COLUMNS = ("scanner", "over", "templates", "rules", "findings", "acknowledged")


class Tell(Protocol):
    """Adds a line to the table."""

    def __call__(
        self, scanner: str, *, over: str, templates: int, rules: int, findings: int, acknowledged: int
    ) -> None:
        """Tell what a scanner looked at, how many rules it has, and all that it found."""


def teller(item: pytest.Item) -> Tell:
    """Return what adds lines for a test; they travel with its report, also from another process."""

    def tell(scanner: str, **figures: Any) -> None:
        item.user_properties.append((_KEY, {"scanner": scanner, **figures}))

    return tell


def write(reporter: pytest.TerminalReporter, folder: Path) -> None:
    """Print the table, and write ``index.md`` into a folder; nothing if no test told anything."""
    lines = list(_lines(reporter))
    if not lines:
        return
    rows = [_COLUMNS, *(tuple(str(line[column]) for column in _COLUMNS) for line in lines)]
    folder.mkdir(parents=True, exist_ok=True)
    marked = [f"| {' | '.join(row)} |" for row in rows]
    table = "\n".join([marked[0], "|" + "---|" * len(_COLUMNS), *marked[1:]])
    (folder / "index.md").write_text(f"# Scanners\n\n{table}\n\n# Acknowledged\n\n{acknowledgements()}\n", "utf-8")
    reporter.section("policies")
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        reporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    reporter.write_line(f"written to {folder}, with each acknowledgement and its reason")


def acknowledgements() -> str:
    """Return the table of what is acknowledged, in Markdown."""
    rows = [f"| {_rules(entry)} | {_where(entry)} | {entry.reason} |" for entry in ACKNOWLEDGED]
    rows += [f"| cfn-lint and CDK {rule} | every template | {reason} |" for rule, reason in MEANT.items()]
    return "\n".join(["| finding | where | reason |", "|---|---|---|", *rows])


def _rules(entry: Acknowledged) -> str:
    details = [f"`{detail}`" for detail in entry.details if detail]
    return "<br>".join([", ".join(entry.rules), *details])


def _where(entry: Acknowledged) -> str:
    return "<br>".join(f"`{where}`" for where in entry.where)


def _lines(reporter: pytest.TerminalReporter) -> Iterator[dict[str, Any]]:
    for report in reporter.stats.get("passed", []):
        yield from (value for key, value in report.user_properties if key == _KEY and report.when == "call")
    for report in (*reporter.stats.get("failed", []), *reporter.stats.get("error", [])):
        if "/policies/" in report.nodeid:
            yield dict.fromkeys(_COLUMNS, "") | {"scanner": report.nodeid.rpartition("::")[2], "over": "FAILED"}
