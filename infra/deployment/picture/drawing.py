"""Draws the accounts: the sites on the left, the hub on the right, and the one stream of each site."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence

from infra.deployment.picture.reading import ANYWHERE, Card

_WIDTH = 1080
_SITE = (20, 440)
_HUB = (640, 420)
_GAP = 24
_LINE = 19
_HEAD = 34
#: More sites than this are not drawn one by one: they are alike.
_MOST = 6
_STYLE = """
  text { font: 13px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1b2733; }
  .title { font-size: 15px; font-weight: 600; }
  .small { font-size: 12px; fill: #51606e; }
  .card { fill: #f4f6fa; stroke: #8a94a6; stroke-width: 1.5; }
  .hub { fill: #eaf1fb; }
  .stream { stroke: #1a5fb4; stroke-width: 2; fill: none; marker-end: url(#to); }
  .way { font-size: 12px; fill: #1a5fb4; text-anchor: middle; paint-order: stroke; stroke: #fff; stroke-width: 4px; }
""".strip("\n")


def as_svg(federation: str, cards: Sequence[Card]) -> str:
    """Return the picture.

    Args:
        federation: its name.
        cards: the hub's first.
    """
    hub, *sites = cards
    shown = sites[:_MOST]
    texts = [_lines(card, hub, _SITE[1]) for card in shown]
    tops: list[float] = []
    y = _GAP + 30.0
    for lines in texts:
        tops.append(y)
        y += _height(lines) + _GAP
    if len(sites) > len(shown):
        y += _HEAD
    hub_lines = _lines(hub, hub, _HUB[1])
    hub_height = _height(hub_lines)
    height = max(y, hub_height + 2 * _GAP + 30)
    hub_top = (height - hub_height) / 2 + 10
    title = f"{federation}: {len(sites)} {'site' if len(sites) == 1 else 'sites'} and the aggregator"
    body = [f'<text class="title" x="20" y="30">{html.escape(title)}</text>']
    for card, lines, top in zip(shown, texts, tops, strict=True):
        body += _card(card, lines, _SITE, top)
    if len(sites) > len(shown):
        body.append(f'<text x="{_SITE[0] + 16}" y="{y - 12}">and {len(sites) - len(shown)} more, each alike</text>')
    body += _card(hub, hub_lines, _HUB, hub_top)
    for number, (card, lines, top) in enumerate(zip(shown, texts, tops, strict=True)):
        body += _stream(card, top + _height(lines) / 2, hub_top + hub_height * (number + 1) / (len(shown) + 1))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img">',
            f"<title>The accounts of {html.escape(federation)}, and what each admits and dials</title>",
            f"<style>\n{_STYLE}\n</style>",
            '<defs><marker id="to" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0L10 5L0 10z" fill="#1a5fb4"/></marker></defs>',
            f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _lines(card: Card, hub: Card, width: int) -> list[str]:
    """Return what a card says below its title."""
    said = [
        f"VPC {card.vpc}, {card.place}; {'NAT gateway to the internet' if card.internet else 'no internet'}",
        f"node: {card.machine}",
        f"admits: {'; '.join(card.admits)}",
        f"dials: {', '.join(card.dials) or 'nobody'}; by endpoints its account's {', '.join(card.endpoints)}",
        f"keeps: {', '.join(card.keeps)}",
    ]
    if card is hub and card.accepts:
        does = "role accepts a peering, and does" if card.accepts == 1 else "roles accept a peering each, and do"
        said.append(f"{card.accepts} {does} nothing else")
    return [line for text in said for line in textwrap.wrap(text, width // 7, subsequent_indent="   ")]


def _height(lines: Sequence[str]) -> float:
    return _HEAD + _LINE * len(lines) + 10


def _card(card: Card, lines: Sequence[str], box: tuple[int, int], top: float) -> list[str]:
    x, width = box
    kind = "card hub" if box is _HUB else "card"
    title = html.escape(f"{card.node} · account {card.account}")
    drawn = [
        f'<rect class="{kind}" x="{x}" y="{top:.0f}" width="{width}" height="{_height(lines):.0f}" rx="10"/>',
        f'<text class="title" x="{x + 16}" y="{top + 24:.0f}">{title}</text>',
    ]
    for number, line in enumerate(lines):
        left = x + (26 if line.startswith(" ") else 16)
        y = top + _HEAD + _LINE * (number + 0.7)
        drawn.append(f'<text class="small" x="{left}" y="{y:.0f}">{html.escape(line.strip())}</text>')
    return drawn


def _stream(card: Card, start: float, end: float) -> list[str]:
    left, right = _SITE[0] + _SITE[1], _HUB[0] - 2
    middle = (left + right) / 2
    ports = sorted({address.rpartition(":")[2] for address in card.dials if not address.startswith(ANYWHERE)})
    way = f"M{left} {start:.0f} C{middle:.0f} {start:.0f} {middle:.0f} {end:.0f} {right} {end:.0f}"
    text = html.escape(f"peering, TCP {', '.join(ports)}")
    return [
        f'<path class="stream" d="{way}"/>',
        f'<text class="way" x="{middle:.0f}" y="{(start + end) / 2 - 8:.0f}">{text}</text>',
    ]
