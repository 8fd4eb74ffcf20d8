"""Federations that are deployed into loopback AWS, and whose nodes live in a network or as machines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "helpers"))

from dealt_eicu import deal_eicu
from desk import CDK
from marks import mark_integration
from twin_desk import TwinDesk

from infra.local.twin.depth import Depth, missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_integration(Path(__file__).parent, items)


@pytest.fixture(scope="session")
def possible() -> Callable[[str], None]:
    """Tell whether this machine can go so deep; where it cannot, the test is not run, and in CI that is a failure."""

    def check(depth: str) -> None:
        reasons = [str(lack) for lack in missing(Depth(depth))]
        if not CDK.exists() and "FEDERATE_CDK" not in os.environ:
            reasons.append(f"needs the pinned CDK command; there is none at {CDK}: make setup")
        if reasons:
            pytest.skip(" ".join(reasons))

    return check


@pytest.fixture(scope="session")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic eICU of 300 stays, dealt to two sites."""
    return deal_eicu(tmp_path_factory.mktemp("eicu"))


@pytest.fixture(scope="module")
def make_desk(
    dealt: Path, possible: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., TwinDesk]]:
    """Make desks, of which nothing is deployed yet; all of them are down at the end."""
    made: list[TwinDesk] = []

    def make(depth: str, **training: object) -> TwinDesk:
        possible(depth)
        desk = TwinDesk(tmp_path_factory.mktemp(f"desk-{depth}"), depth=depth)
        (desk.folder / "sites").symlink_to(dealt)
        desk.write(**{"rounds": 3, **training})
        made.append(desk)
        return desk

    yield make
    for desk in made:
        desk.close()
