from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from authority import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()
