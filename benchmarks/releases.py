"""The release that benchmarks read where none is named."""

from __future__ import annotations

import os
from pathlib import Path

HELP = "folder with eICU's tables (default: EICU_DIR, or the demo beside this checkout); none: synthetic"


def release() -> Path | None:
    """Return what EICU_DIR names, or the open demo beside the checkout, or None."""
    named = os.environ.get("EICU_DIR")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "eicu-demo"
    return Path(named) if named else beside if beside.is_dir() else None
