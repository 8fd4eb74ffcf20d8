"""A desk with a federation of two sites: one keeps its data when it is destroyed, the other does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from desk import FEDERATION, Desk
from marks import mark_integration
from needs import needs_cdk


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_integration(Path(__file__).parent, items)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    needs_cdk()
    (tmp_path / "federation.yaml").write_text(FEDERATION)
    with closing(Desk(tmp_path)) as desk:
        yield desk
