"""A desk with a federation of two sites: one keeps its data when it is destroyed, the other does not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from desk import CDK, FEDERATION, Desk

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.integration)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    if not CDK.exists():
        reason = f"needs the pinned CDK command; there is none at {CDK}: make setup"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    (tmp_path / "federation.yaml").write_text(FEDERATION)
    desk = Desk(tmp_path)
    yield desk
    for process in desk.started:
        if process.poll() is None:
            process.kill()
            process.wait()
    desk.run("local", "down")
