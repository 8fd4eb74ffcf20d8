"""A twin that writes down, and its faults."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "helpers"))

from fake_ground import FakeGround, FakeLinks

from infra.local.twin.faults import Faults


@pytest.fixture
def ground() -> FakeGround:
    return FakeGround()


@pytest.fixture
def links() -> FakeLinks:
    return FakeLinks()


@pytest.fixture
def faults(ground: FakeGround, links: FakeLinks, tmp_path: Path) -> Faults:
    return Faults(ground, tmp_path / "faults.json", links)
