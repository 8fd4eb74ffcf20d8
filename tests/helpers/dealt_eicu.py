"""A synthetic eICU, dealt to the two hospitals that most federations of the tests have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SITES = ("hospital-a", "hospital-b")


def deal_eicu(folder: Path, stays: int = 300, sites: Sequence[str] = SITES) -> Path:
    """Write ``eicu`` and ``sites/<site>`` into a folder; return ``sites``."""
    # polars is loaded only where data is really made: a conftest is read for tests that need none.
    from fl_app.eicu.deal import deal
    from fl_app.eicu.synthetic import synthesize

    synthesize(folder / "eicu", stays, seed=1)
    deal(folder / "eicu", folder / "sites", list(sites), seed=1)
    return folder / "sites"
