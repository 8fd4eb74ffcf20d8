"""A fake cloud, a fake CDK command, and a board that nobody sees."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fake_cloud import FakeCdk, FakeCloud, small_plan

from infra.deployment.board import COLUMNS, Board
from infra.deployment.condition import Stacks
from infra.progress import LiveTable
from stacks.plan import DeploymentPlan


@pytest.fixture
def plan() -> DeploymentPlan:
    return small_plan()


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
def cdk(cloud: FakeCloud, tmp_path: Path) -> FakeCdk:
    return FakeCdk(cloud, tmp_path)


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def board(cloud: FakeCloud, shown: io.StringIO) -> Iterator[Board]:
    with Board(LiveTable("test", COLUMNS, console=Console(file=shown, width=1000)), Stacks(cloud)) as board:
        yield board
