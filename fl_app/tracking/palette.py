"""Colours of the figure and the report: one meaning each, told apart by people who see few of them.

In the picture file they are plain colours. In the report each is a CSS variable, so that the same figure follows the
reader's light or dark setting. Lines differ in dashes and bars in labels as well: colour is never the only difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fl_app.tracking.results import FEDERATED, LOCAL_PREFIX, POOLED


@dataclass(frozen=True, slots=True)
class Colour:
    """A named colour as ``#rrggbb`` on a light and on a dark ground."""

    name: str
    light: str
    dark: str


INK = Colour("ink", "#18212d", "#e8ecf2")
MUTED = Colour("muted", "#566172", "#a3afbf")
GRID = Colour("grid", "#dde2e9", "#333d4b")
GROUND = Colour("ground", "#ffffff", "#12171e")
PANEL = Colour("panel", "#f4f6f9", "#1a212b")
FEDERATION = Colour("federation", "#1a5fb4", "#7ab1ff")
TOGETHER = Colour("together", "#8390a2", "#8c98a9")
CAUTION = Colour("caution", "#8a5200", "#ffc46b")
CAUTION_GROUND = Colour("caution-ground", "#fff4dc", "#33270f")
SITES = (
    Colour("site-1", "#cf5c0c", "#ff9b5a"),
    Colour("site-2", "#0c8468", "#45cba6"),
    Colour("site-3", "#a0429a", "#dd8ad6"),
    Colour("site-4", "#9a7b00", "#d9bb4a"),
    Colour("site-5", "#b82e42", "#ff8391"),
    Colour("site-6", "#3f7f9e", "#86c5e2"),
)
ALL = (INK, MUTED, GRID, GROUND, PANEL, FEDERATION, TOGETHER, CAUTION, CAUTION_GROUND, *SITES)

#: Dash patterns of the sites' lines, in points on and off; the federation's is solid.
DASHES: tuple[tuple[float, ...], ...] = ((5, 2), (2, 1.5), (6, 2, 1.5, 2), (1, 1.5), (8, 2), (4, 1.5, 1, 1.5, 1, 1.5))


def site_colour(site: str, sites: Sequence[str]) -> Colour:
    """Return a site's colour, by its place among the sites; beyond the sixth there are none left, and all are muted."""
    place = list(sites).index(site) if site in sites else len(SITES)
    return SITES[place] if len(sites) <= len(SITES) and place < len(SITES) else TOGETHER


def model_colour(model: str, sites: Sequence[str]) -> Colour:
    """Return the colour of a model of the comparison."""
    if model == FEDERATED:
        return FEDERATION
    return TOGETHER if model == POOLED else site_colour(model.removeprefix(LOCAL_PREFIX), sites)


def css() -> str:
    """Return the colours as CSS variables, with their dark forms for readers who ask for dark and not for paper."""
    light = " ".join(f"--{colour.name}: {colour.light};" for colour in ALL)
    dark = " ".join(f"--{colour.name}: {colour.dark};" for colour in ALL)
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def themed(svg: str) -> str:
    """Return the drawing with each plain colour replaced by its CSS variable."""
    for colour in ALL:
        svg = svg.replace(colour.light, f"var(--{colour.name})")
    return svg
