"""The same figures as tables: ``rounds.csv`` and ``comparison.csv``, one row per place where something was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from fl_app.tracking.results import FEDERATED, Results

ROUNDS_TABLE = "rounds.csv"
COMPARISON_TABLE = "comparison.csv"
UNKNOWN_SOURCE = "not recorded"


def rounds_table(results: Results) -> str:
    """Return one row per round and place: the federation as a whole (``federated``), then each site.

    Returns:
        CSV with the columns round (0-based), model's place, loss, auroc, auprc, seconds (wall time of the round, on the
        federation's row), answered (number of sites, likewise) and source. Undefined figures are empty.
    """
    rows: list[Sequence[object]] = []
    source = results.source or UNKNOWN_SOURCE
    for item in results.rounds:
        whole = item.federated
        rows.append(
            (item.number, FEDERATED, whole.loss, whole.auroc, whole.auprc, item.seconds, len(item.answered), source)
        )
        rows += [
            (item.number, site, metrics.loss, metrics.auroc, metrics.auprc, None, None, source)
            for site, metrics in item.sites.items()
        ]
    return _csv(("round", "place", "loss", "auroc", "auprc", "seconds", "answered", "source"), rows)


def comparison_table(results: Results) -> str:
    """Return one row per model and held-out data, as CSV; undefined figures are empty."""
    source = results.source or UNKNOWN_SOURCE
    return _csv(
        ("model", "tested_on", "auroc", "auprc", "loss", "samples", "positives", "source"),
        (
            (
                row.model,
                row.tested_on,
                row.metrics.auroc,
                row.metrics.auprc,
                row.metrics.loss,
                row.samples,
                row.positives,
                source,
            )
            for row in results.comparison
        ),
    )


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return stream.getvalue()
