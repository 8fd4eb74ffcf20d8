"""The figure: how the rounds went, and the federated model beside the local-only ones and the pooled one."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from fl_app.tracking import palette
from fl_app.tracking.results import ALL_SITES, FEDERATED, LOCAL_PREFIX, POOLED, Compared, Metrics, Results

#: Up to here every local-only model is shown on every site's data; beyond, each on its own site's.
_FULL_COMPARISON = 4
_WIDTH = 10.0
_ROUNDS_HEIGHT = 3.3
_ROW_HEIGHT = 0.27
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": palette.GRID.light,
    "axes.labelcolor": palette.MUTED.light,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": palette.INK.light,
    "axes.axisbelow": True,
    "grid.color": palette.GRID.light,
    "grid.linewidth": 0.8,
    "xtick.color": palette.GRID.light,
    "ytick.color": palette.GRID.light,
    "xtick.labelcolor": palette.MUTED.light,
    "ytick.labelcolor": palette.MUTED.light,
    "text.color": palette.INK.light,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "federate",
    "legend.frameon": False,
    "legend.labelcolor": palette.INK.light,
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """One part of the figure as inline SVG, and in words for those who do not see it."""

    svg: str
    words: str


def rounds_drawing(results: Results) -> Drawing | None:
    """Return loss, AUROC and AUPRC by round, or None where no round was recorded."""
    if not results.rounds:
        return None
    with _style():
        figure = Figure(figsize=(_WIDTH, _ROUNDS_HEIGHT), layout="constrained")
        _draw_rounds(figure, results)
        svg = _svg(figure, "rounds")
    first, last = results.rounds[0].federated, results.rounds[-1].federated
    changes = [
        f"{name} from {before:.3f} to {after:.3f}"
        for name, before, after in (
            ("loss", first.loss, last.loss),
            ("AUROC", first.auroc, last.auroc),
            ("AUPRC", first.auprc, last.auprc),
        )
        if before is not None and after is not None
    ]
    words = f"Line charts over {len(results.rounds)} rounds. Federated model: {', '.join(changes) or 'no figures'}."
    return Drawing(svg, words)


def comparison_drawing(results: Results) -> Drawing | None:
    """Return the models' AUROC and AUPRC as bars, grouped by held-out data, or None where nothing was compared."""
    groups = _groups(results)
    if not groups:
        return None
    with _style():
        figure = Figure(figsize=(_WIDTH, _comparison_height(groups)), layout="constrained")
        _draw_comparison(figure, results, groups)
        svg = _svg(figure, "comparison")
    parts = [
        f"{place_name(place)}: "
        + ", ".join(f"{model_name(row.model)} AUROC {_value(row.metrics.auroc)}" for row in rows)
        for place, rows in groups
    ]
    return Drawing(svg, f"Bar charts. {'. '.join(parts)}.")


def write_picture(results: Results, title: str, path: Path) -> None:
    """Write both parts as one PNG, with the title and where the data come from written into it."""
    groups = _groups(results)
    parts: list[tuple[float, Callable[[FigureBase], None]]] = []
    if results.rounds:
        parts.append((_ROUNDS_HEIGHT, lambda part: _draw_rounds(part, results)))
    if groups:
        parts.append((_comparison_height(groups), lambda part: _draw_comparison(part, results, groups)))
    with _style():
        heading = 0.75
        height = heading + sum(part_height for part_height, _ in parts)
        figure = Figure(figsize=(_WIDTH, height), layout="constrained", facecolor=palette.GROUND.light)
        ratios = [heading, *(part_height for part_height, _ in parts)]
        rows = figure.subfigures(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
        rows[0].text(0.012, 0.62, title, fontsize=15, weight="bold", va="center")
        rows[0].text(0.012, 0.2, f"Data: {results.source or 'source not recorded'}", va="center", **_caution(results))
        for row, (_, draw) in zip(rows[1:], parts, strict=True):
            draw(row)
        figure.savefig(path, format="png", dpi=160, metadata={"Software": None})


def model_name(model: str) -> str:
    """Return a model's name for a reader: ``hospital-a alone`` for ``local hospital-a``."""
    return f"{model.removeprefix(LOCAL_PREFIX)} alone" if model.startswith(LOCAL_PREFIX) else model


def place_name(tested_on: str) -> str:
    """Return whose held-out data it is, for a reader."""
    return f"on {tested_on}"


def _style() -> AbstractContextManager[None]:
    return matplotlib.rc_context(_STYLE)  # type: ignore[arg-type]  # a plain dict of rc names is what it takes


def _caution(results: Results) -> dict[str, Any]:
    if results.is_synthetic or results.is_rebuilt:
        return {"color": palette.CAUTION.light, "weight": "bold"}
    return {"color": palette.MUTED.light}


def _svg(figure: Figure, prefix: str) -> str:
    """Return the figure as an inline SVG: no XML head, colours as variables, ids that no other drawing has."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r'<svg \1aria-hidden="true"', text, count=1)
    text = re.sub(r'(<svg [^>]*?)height="[^"]*" ', r"\1", text, count=1)
    text = text.replace("'DejaVu Sans'", "inherit")
    return palette.themed(text)


def _draw_rounds(figure: FigureBase, results: Results) -> None:
    axes: Sequence[Axes] = figure.subplots(1, 3)
    panels: tuple[tuple[str, Callable[[Metrics], float | None]], ...] = (
        ("Loss", lambda metrics: metrics.loss),
        ("AUROC", lambda metrics: metrics.auroc),
        ("AUPRC", lambda metrics: metrics.auprc),
    )
    numbers = [item.number + 1 for item in results.rounds]
    for ax, (name, pick) in zip(axes, panels, strict=True):
        for place, site in enumerate(results.sites):
            values = [_or_gap(pick(item.sites.get(site, Metrics()))) for item in results.rounds]
            colour = palette.site_colour(site, results.sites)
            dashes = palette.DASHES[place % len(palette.DASHES)]
            ax.plot(numbers, values, color=colour.light, linewidth=1.3, dashes=dashes, label=site)
        whole = [_or_gap(pick(item.federated)) for item in results.rounds]
        ax.plot(numbers, whole, color=palette.FEDERATION.light, linewidth=2.6, label="all sites, by samples")
        ax.plot(numbers[-1:], whole[-1:], "o", color=palette.FEDERATION.light, markersize=5)
        last = pick(results.rounds[-1].federated)
        ax.set_title(f"{name}  {last:.3f}" if last is not None else f"{name}  undefined")
        ax.set_xlabel("round")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        ax.grid(axis="y")
        ax.margins(x=0.03)
    handles, labels = axes[0].get_legend_handles_labels()
    most = len(palette.SITES)
    if len(results.sites) > most:
        handles, labels = [handles[0], handles[-1]], [f"each of {len(results.sites)} sites", labels[-1]]
    order = [len(handles) - 1, *range(len(handles) - 1)]
    figure.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="outside upper left", ncols=4, handlelength=3
    )


def _groups(results: Results) -> list[tuple[str, list[Compared]]]:
    """Return the bars in their order: per held-out data the federated model, local-only ones, the pooled one."""
    places = [*results.sites, ALL_SITES]
    full = len(results.sites) <= _FULL_COMPARISON
    groups = []
    for place in places:
        local = [f"{LOCAL_PREFIX}{site}" for site in results.sites if full or site == place]
        found = [results.find(model, place) for model in (FEDERATED, *local, POOLED)]
        rows = [row for row in found if row is not None]
        if rows:
            groups.append((place, rows))
    return groups


def _comparison_height(groups: Sequence[tuple[str, Sequence[Compared]]]) -> float:
    return 0.9 + _ROW_HEIGHT * sum(len(rows) + 1.6 for _, rows in groups)


def _draw_comparison(figure: FigureBase, results: Results, groups: Sequence[tuple[str, Sequence[Compared]]]) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    panels: tuple[tuple[Axes, str, Callable[[Metrics], float | None]], ...] = (
        (left, "AUROC on held-out data", lambda metrics: metrics.auroc),
        (right, "AUPRC on held-out data", lambda metrics: metrics.auprc),
    )
    for ax, name, pick in panels:
        ax.set_xlim(0, _end([pick(row.metrics) for _, rows in groups for row in rows]))
        ticks: list[float] = []
        names: list[str] = []
        is_dashed = False
        y = 0.0
        for place, rows in groups:
            if ax is left:
                ax.annotate(
                    place_name(place),
                    (0, y),
                    xycoords=("axes fraction", "data"),
                    xytext=(-6, 0),
                    textcoords="offset points",
                    ha="right",
                    va="center",
                    weight="bold",
                )
            top = y + 0.5
            for row in rows:
                y += 1
                _bar(ax, y, pick(row.metrics), palette.model_colour(row.model, results.sites).light)
                ticks.append(y)
                names.append(model_name(row.model))
            chance = 0.5 if ax is left else _prevalence(rows)
            if chance is not None:
                is_dashed = True
                ax.plot([chance, chance], [top, y + 0.5], color=palette.INK.light, linewidth=1, dashes=(2, 2))
            y += 1.6
        ax.set_yticks(ticks, names)
        ax.tick_params(axis="y", length=0, labelcolor=palette.INK.light)
        ax.set_ylim(y - 0.9, -0.7)
        ax.set_title(name)
        if is_dashed:
            ax.set_xlabel("dashed: chance" if ax is left else "dashed: share of positives, which is chance")
        ax.grid(axis="x")
        ax.spines["left"].set_visible(False)


def _bar(ax: Axes, y: float, value: float | None, colour: str) -> None:
    if value is None:
        ax.text(0.01, y, "undefined", va="center", style="italic", color=palette.MUTED.light)
        return
    ax.barh(y, value, height=0.72, color=colour)
    inside = value > 0.85 * ax.get_xlim()[1]
    ax.annotate(
        f"{value:.3f}",
        (value, y),
        xytext=(-4 if inside else 4, 0),
        textcoords="offset points",
        va="center",
        ha="right" if inside else "left",
        color=palette.GROUND.light if inside else palette.INK.light,
    )


def _end(values: Sequence[float | None]) -> float:
    """Return where the axis ends: the next tenth that leaves room for the label of the longest bar, at most 1."""
    longest = max((value for value in values if value is not None), default=1.0)
    return min(1.0, math.ceil(longest * 13) / 10)


def _prevalence(rows: Sequence[Compared]) -> float | None:
    for row in rows:
        if row.samples and row.positives is not None:
            return row.positives / row.samples
    return None


def _or_gap(value: float | None) -> float:
    return float("nan") if value is None else value


def _value(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
