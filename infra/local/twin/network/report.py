"""The reachability report as text, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.local.twin.network.intent import Report, Row

_HEADS = ("from", "to", "TCP", "intended", "measured", "verdict")
#: A longer table shows what is intended to be open and what differs; the rest is counted.
_MOST_LINES = 120


@dataclass(frozen=True, slots=True)
class _Line:
    """Rows that say the same of the same two places: ports and endpoints together."""

    rows: tuple[Row, ...]

    def cells(self) -> tuple[str, ...]:
        """Return the line's texts, by the heads."""
        first = self.rows[0]
        services = sorted({row.target.service for row in self.rows if row.target.service})
        target = str(replace(first.target, service=""))
        if services:
            target = f"{target}s {', '.join(services)}" if len(services) > 1 else str(first.target)
        ports = ", ".join(str(port) for port in sorted({row.port for row in self.rows}))
        return (str(first.source), target, ports, first.intended, first.measured, first.verdict)


def lines(report: Report, *, full: bool | None = None) -> list[tuple[str, ...]]:
    """Return the table's lines, one text for each head.

    Args:
        report: what to show.
        full: whether to show what is closed, as intended; None shows it where the table stays readable.
    """
    merged: dict[tuple[object, ...], list[Row]] = {}
    for row in report.rows:
        key = (row.source, replace(row.target, service=""), row.intended, row.measured)
        merged.setdefault(key, []).append(row)
    every = [_Line(tuple(rows)) for rows in merged.values()]
    if full is None:
        full = len(every) <= _MOST_LINES
    # Differences first, then what is open, then what is closed.
    ranked = sorted(every, key=lambda line: (line.rows[0].is_as_intended, line.rows[0].intended != "open"))
    shown = [line for line in ranked if full or not line.rows[0].is_as_intended or line.rows[0].intended == "open"]
    return [line.cells() for line in shown]


def summary(report: Report) -> str:
    """Say in one sentence how it came out."""
    opened = sum(row.measured == "open" for row in report.rows)
    shut = sum(row.measured == "closed" for row in report.rows)
    differing = len(report.differences)
    verdict = "all as intended" if not differing else f"{differing} NOT as intended"
    return f"{opened} open, {shut} closed: {verdict}. Measured in {report.seconds:.1f} s: {report.scope}."


def as_text(report: Report, *, full: bool | None = None) -> str:
    """Return a table for a terminal."""
    table = [_HEADS, *lines(report, full=full)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADS))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(table[0]), rule, *(line(row) for row in table[1:]), "", summary(report), ""])


def as_markdown(report: Report, *, full: bool | None = None) -> str:
    """Return a table for a document."""
    rows = [_HEADS, ("---",) * len(_HEADS), *lines(report, full=full)]
    body = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
    return f"# Reachability of {report.federation}\n\n{summary(report)}\n\n{body}\n"


def as_json(report: Report) -> str:
    """Return every row, unmerged."""
    rows = [
        {
            "source": str(row.source),
            "target": str(row.target),
            "port": row.port,
            "intended": row.intended,
            "measured": row.measured,
            "as_intended": row.is_as_intended,
        }
        for row in report.rows
    ]
    document = {
        "federation": report.federation,
        "as_intended": not report.differences,
        "scope": report.scope,
        "seconds": round(report.seconds, 3),
        "rows": rows,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
