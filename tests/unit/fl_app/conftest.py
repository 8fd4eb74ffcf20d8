from __future__ import annotations

import sys
from pathlib import Path

HELPERS = Path(__file__).parents[2] / "helpers"
sys.path[:0] = [str(HELPERS), str(HELPERS / "plugins")]
