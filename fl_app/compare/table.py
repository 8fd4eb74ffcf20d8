"""The comparison: every model on every site's held-out data and on all of it, as rows of a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from fl_app.compare.pool import Samples, loader, pooled
from fl_app.compare.train import CPU
from fl_app.learning.metrics import evaluate
from fl_app.learning.scores import THRESHOLD, Scalars

EVERYWHERE = "all sites"
FEDERATED = "federated"
POOLED = "pooled"


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one held-out part. ``undefined`` says why an area is null; ``positives`` counts class 1 of two.

    ``details`` are :attr:`fl_app.learning.metrics.Evaluation.details`.
    """

    model: str
    tested_on: str
    samples: int
    positives: int | None
    auroc: float | None
    auprc: float | None
    loss: float | None
    undefined: str | None
    details: Scalars = field(default_factory=dict)


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
    threshold: float = THRESHOLD,
) -> list[Row]:
    """Evaluate every model on each site's held-out samples and on all of them together.

    Args:
        models: by name.
        held_out: by site.
        classes: the number of classes.
        class_weights: the same for all, so that losses compare; None weighs all alike.
        batch_size: of the evaluation.
        threshold: of two classes, from which likelihood on a sample counts as positive.
    """
    parts = dict(held_out)
    if len(parts) > 1:
        parts[EVERYWHERE] = pooled(list(held_out.values()))
    rows = []
    for name, model in models.items():
        for part, samples in parts.items():
            found = evaluate(
                model, loader(samples, batch_size), class_weights=class_weights, device=CPU, threshold=threshold
            )
            positives = int(samples.labels.sum()) if classes == 2 else None
            areas = (found.auroc, found.auprc)
            rows.append(Row(name, part, found.samples, positives, *areas, found.loss, found.undefined, found.details))
    return rows


def as_json(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Return the comparison file: what it is about, then ``rows``."""
    return json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with a header, the details as columns of their own; null is empty."""
    flat: list[dict[str, object]] = []
    for row in rows:
        whole = asdict(row)
        details = whole.pop("details")
        flat.append({**whole, **details})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in flat for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def as_text(rows: Sequence[Row]) -> str:
    """Return the rows for a terminal: one line per model, one column per held-out part.

    A cell is AUROC / AUPRC, or MAE / R² where a number is predicted. Of two classes what the decisions at the threshold
    are worth follows, on the largest part.
    """
    number = any("mae" in row.details for row in rows)
    title = "MAE / R² on held-out" if number else "AUROC / AUPRC on held-out"
    pairs = {
        (row.model, row.tested_on): (row.details["mae"], row.details.get("r2")) if number else (row.auroc, row.auprc)
        for row in rows
    }
    parts = list(dict.fromkeys(row.tested_on for row in rows))
    table = [[title, *parts]]
    for model in dict.fromkeys(row.model for row in rows):
        table.append([model, *(" / ".join(_number(value) for value in pairs[model, part]) for part in parts)])
    decided = [row for row in rows if row.tested_on == parts[-1] and "threshold" in row.details]
    if not decided:
        return _aligned(table)
    names = ("sensitivity", "specificity", "ppv", "npv", "brier", "calibration_slope")
    threshold = decided[0].details["threshold"]
    more = [[f"at likelihood {threshold:g}, {parts[-1]}", *(name.replace("_", " ") for name in names)]]
    more += [[row.model, *(_number(row.details[name]) for name in names)] for row in decided]
    return f"{_aligned(table)}\n\n{_aligned(more)}"


def _aligned(table: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table)


def _number(value: float | None) -> str:
    return "  –  " if value is None else f"{value:.3f}"
