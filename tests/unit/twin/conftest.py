"""Instances as loopback AWS would show them, and a folder for their bodies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fake_node import FACTS

from infra.local.twin.deployed import Instance


@pytest.fixture
def instance() -> Instance:
    """The instance of hospital-a."""
    return Instance("i-a", "111111111111", "us-east-1", FACTS, "vol-a", "profile-a")
