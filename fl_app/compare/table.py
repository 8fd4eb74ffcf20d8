"""The comparison: every model on every site's held-out data and on all of it, as rows of a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from fl_app.compare.pool import Samples, loader, pooled
from fl_app.compare.train import CPU
from fl_app.learning.metrics import evaluate

EVERYWHERE = "all sites"
FEDERATED = "federated"
POOLED = "pooled"


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one held-out part. ``undefined`` says why an area is null; ``positives`` counts class 1 of two."""

    model: str
    tested_on: str
    samples: int
    positives: int | None
    auroc: float | None
    auprc: float | None
    loss: float | None
    undefined: str | None


def local_name(site: str) -> str:
    """Return what the model of one site alone is called."""
    return f"local {site}"


def rows_of(
    models: Mapping[str, nn.Module],
    held_out: Mapping[str, Samples],
    *,
    classes: int,
    class_weights: Tensor | None,
    batch_size: int,
) -> list[Row]:
    """Evaluate every model on each site's held-out samples and on all of them together.

    Args:
        models: by name.
        held_out: by site.
        classes: the number of classes.
        class_weights: the same for all, so that losses compare; None weighs all alike.
        batch_size: of the evaluation.
    """
    parts = dict(held_out)
    if len(parts) > 1:
        parts[EVERYWHERE] = pooled(list(held_out.values()))
    rows = []
    for name, model in models.items():
        for part, samples in parts.items():
            found = evaluate(model, loader(samples, batch_size), class_weights=class_weights, device=CPU)
            positives = int(samples.labels.sum()) if classes == 2 else None
            rows.append(
                Row(name, part, found.samples, positives, found.auroc, found.auprc, found.loss, found.undefined)
            )
    return rows


def as_json(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Return the comparison file: what it is about, then ``rows``."""
    return json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with a header; null is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(rows[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def as_text(rows: Sequence[Row]) -> str:
    """Return the rows for a terminal: one line per model, one column per held-out part, AUROC / AUPRC."""
    parts = list(dict.fromkeys(row.tested_on for row in rows))
    cells = {(row.model, row.tested_on): f"{_number(row.auroc)} / {_number(row.auprc)}" for row in rows}
    table = [["AUROC / AUPRC on held-out", *parts]]
    table += [[model, *(cells[model, part] for part in parts)] for model in dict.fromkeys(row.model for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table)


def _number(value: float | None) -> str:
    return "  –  " if value is None else f"{value:.3f}"
