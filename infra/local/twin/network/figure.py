"""The reachability report as a picture: the hospitals around the hub, and a line for what opens.

Green is open and meant to be; red is a difference; between two places without a line everything was tried, and closed.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable

from infra.federation.derive import AGGREGATOR_ID
from infra.local.twin.network.intent import Report, Row
from infra.local.twin.network.report import summary

_WIDTH = 960
_RADIUS = 300.0
_HUB_SIZE = 58.0
_TOP = 90
_FEW = 12
_MOST_NAMED = 8
_STYLE = """
  text { font: 15px system-ui, sans-serif; fill: #1b2733; }
  .small { font-size: 12px; fill: #51606e; }
  .title { font-size: 20px; font-weight: 600; }
  .place { fill: #eef3f7; stroke: #51606e; stroke-width: 1.5; }
  .hub { fill: #dfe9f3; }
  .open { stroke: #1a7f45; stroke-width: 2.5; fill: none; marker-end: url(#to-open); }
  .differs { stroke: #c62828; stroke-width: 3; stroke-dasharray: 7 4; fill: none; marker-end: url(#to-differs); }
  .port { font-size: 12px; fill: #1a7f45; paint-order: stroke; stroke: #fff; stroke-width: 4px; text-anchor: middle; }
  .wrong { fill: #c62828; }
  .wrong-place { stroke: #c62828; stroke-width: 3; }
""".strip("\n")


def as_svg(report: Report) -> str:
    """Return the picture, to be opened by any browser."""
    named_places = dict.fromkeys(place.node for row in report.rows for place in (row.source, row.target))
    circle = _Circle([node for node in named_places if node not in ("", AGGREGATOR_ID)])
    differing = report.differences
    named = [
        f"{row.source} → {row.target}, TCP {row.port}: {row.measured}, and is to be {row.intended}"
        for row in differing[:_MOST_NAMED]
    ]
    if len(differing) > len(named):
        named.append(f"… and {len(differing) - len(named)} more")
    height = int(circle.bottom + 22 * len(named) + 50)
    body = [
        *_lines(report.rows, circle),
        *_places(report, circle),
        *_text(report, height, named),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>Reachability of {html.escape(report.federation)}</title>",
            f"<style>\n{_STYLE}\n</style>",
            f"<defs>{_arrow('open', '#1a7f45')}{_arrow('differs', '#c62828')}</defs>",
            f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


class _Circle:
    """Where the places are: the hub in the middle, the sites around it, clockwise from the top."""

    def __init__(self, sites: list[str]) -> None:
        self.few = len(sites) <= _FEW
        self.size = _HUB_SIZE if self.few else max(7.0, math.pi * _RADIUS / len(sites) - 3)
        # Two sites stand left and right of the hub, not above and below it.
        first = math.pi if len(sites) <= 2 else -math.pi / 2
        angles = [first + 2 * math.pi * number / len(sites) for number in range(len(sites))]
        across = [(_RADIUS * math.cos(angle), _RADIUS * math.sin(angle)) for angle in angles]
        above = max([_HUB_SIZE, *(self.size - y for _, y in across)])
        x0, y0 = _WIDTH / 2, _TOP + above
        self.at = {AGGREGATOR_ID: (x0, y0)}
        self.at |= {site: (x0 + x, y0 + y) for site, (x, y) in zip(sites, across, strict=True)}
        self.bottom = y0 + max([_HUB_SIZE, *(self.size + y for _, y in across)])

    def radius(self, node: str) -> float:
        """Return the size of a place."""
        return _HUB_SIZE if node == AGGREGATOR_ID else self.size

    def line(self, source: str, target: str) -> tuple[float, float, float, float]:
        """Return a line from the rim of one place to the rim of another, a little aside of its way back."""
        (x1, y1), (x2, y2) = self.at[source], self.at[target]
        length = math.hypot(x2 - x1, y2 - y1) or 1.0
        dx, dy = (x2 - x1) / length, (y2 - y1) / length
        aside = min(5.0, self.size / 4)
        start, end = self.radius(source), self.radius(target) + 6
        return (
            x1 + dx * start - dy * aside,
            y1 + dy * start + dx * aside,
            x2 - dx * end - dy * aside,
            y2 - dy * end + dx * aside,
        )


def _lines(rows: Iterable[Row], circle: _Circle) -> list[str]:
    """Return a line for each pair of VPCs between which something opens or differs."""
    between: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        source, target = row.source.node, row.target.node
        if source in circle.at and target in circle.at and source != target:
            between.setdefault((source, target), []).append(row)
    drawn = []
    for (source, target), own in between.items():
        wrong = [row for row in own if not row.is_as_intended]
        right = [row for row in own if row.is_as_intended and row.measured == "open"]
        if not wrong and not right:
            continue
        x1, y1, x2, y2 = circle.line(source, target)
        kind = "differs" if wrong else "open"
        drawn.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
        if circle.few:
            ports = ", ".join(str(port) for port in sorted({row.port for row in (wrong or right)}))
            wrong_class = " wrong" if wrong else ""
            x, y = (x1 + x2) / 2, (y1 + y2) / 2 - 8
            drawn.append(f'<text class="port{wrong_class}" x="{x:.1f}" y="{y:.1f}">TCP {ports}</text>')
    return drawn


def _places(report: Report, circle: _Circle) -> list[str]:
    """Return a disc for each VPC, with what its node reaches inside it; red where something inside differs."""
    drawn = []
    for node, (x, y) in circle.at.items():
        inside = [row for row in report.rows if row.source.node == node and row.target.node in (node, "")]
        wrong = any(not row.is_as_intended for row in inside)
        classes = "place hub" if node == AGGREGATOR_ID else "place"
        classes += " wrong-place" if wrong else ""
        radius = circle.radius(node)
        hint = html.escape(f"{node}: " + "; ".join(_inside(inside)))
        drawn.append(
            f'<circle class="{classes}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{hint}</title></circle>'
        )
        if circle.few or node == AGGREGATOR_ID:
            texts = [(node, ""), *((line, "small") for line in _inside(inside))]
            first = y - 8 * (len(texts) - 1) + 4
            for number, (text, kind) in enumerate(texts):
                place = f'x="{x:.1f}" y="{first + 16 * number:.1f}"'
                drawn.append(f'<text class="{kind}" text-anchor="middle" {place}>{html.escape(text)}</text>')
    return drawn


def _inside(rows: Iterable[Row]) -> list[str]:
    opened = [row for row in rows if row.measured == "open"]
    endpoints = sum(row.target.kind == "endpoint" for row in opened)
    shells = any(row.source.kind == "connect" for row in opened)
    return [
        *([f"{endpoints} endpoints"] if endpoints else []),
        *(["SSH by its own"] if shells else []),
    ]


def _text(report: Report, height: int, named: list[str]) -> list[str]:
    below = height - 22 * len(named) - 24
    return [
        f'<text class="title" x="24" y="36">Who reaches whom in {html.escape(report.federation)}</text>',
        f'<text class="small" x="24" y="60">{html.escape(summary(report).partition(". ")[0])}. '
        "Green: open, as intended. Red: differs. No line: tried, and closed.</text>",
        *(
            f'<text class="wrong" x="24" y="{below + 22 * number}">{html.escape(text)}</text>'
            for number, text in enumerate(named)
        ),
    ]


def _arrow(name: str, colour: str) -> str:
    return (
        f'<marker id="to-{name}" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="10" markerHeight="10" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 1 L9 5 L0 9 z" fill="{colour}"/></marker>'
    )
