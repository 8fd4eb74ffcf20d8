from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from authority import Authority
from wire_place import Place


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def place(tmp_path: Path, authority: Authority) -> Iterator[Place]:
    """A hub that a test starts, and whoever connects to it."""
    root = tmp_path / "place"
    root.mkdir()
    made = Place(root, authority)
    yield made
    made.close()
