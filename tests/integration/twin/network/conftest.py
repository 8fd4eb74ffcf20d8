"""Worlds of their own for tests, as root and as a user without rights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "helpers"))

from marks import mark_integration
from twin_world import As, in_world, world_or_skip

T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_integration(Path(__file__).parent, items)


@pytest.fixture
def who() -> As:
    """Whose the world is; a test that is to run as a user as well is parametrised with it."""
    return "root"


@pytest.fixture
def world(who: As) -> Callable[[Callable[[], T]], T]:
    """Run a function in a world that is gone afterwards."""
    world_or_skip(who)
    return lambda function: in_world(function, who)
