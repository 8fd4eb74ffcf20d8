"""A federation of two sites that trains on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from dealt_eicu import deal_eicu
from identity_desk import IdentityDesk
from marks import mark_integration
from needs import needs_cdk


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_integration(Path(__file__).parent, items)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityDesk]:
    """A desk whose federation is deployed through the real CDK command, with three nodes that are ready."""
    needs_cdk()
    made = IdentityDesk(tmp_path_factory.mktemp("desk"))
    deal_eicu(made.folder)
    made.write(rounds=3)
    with closing(made):
        made.run("deploy")
        yield made
