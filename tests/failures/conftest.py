"""One desk for all injected failures, and the table of what its user saw."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_HELPERS = Path(__file__).parents[1] / "helpers"
sys.path[:0] = [str(_HELPERS), str(_HELPERS / "plugins")]

import failure_table  # noqa: E402
from failure_desk import CDK, FailureDesk  # noqa: E402

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailureDesk]:
    """Return a desk of a module's own, with nothing deployed yet."""
    if not CDK.exists():
        reason = f"needs the pinned CDK command; there is none at {CDK}: make setup"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    made = FailureDesk(tmp_path_factory.mktemp("desk"))
    yield made
    made.close()


@pytest.fixture
def tell(request: pytest.FixtureRequest, desk: FailureDesk) -> failure_table.Tell:
    """Return what adds the test's row to the table."""
    return failure_table.teller(request.node, desk.folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    failure_table.finish(terminalreporter, terminalreporter.config.rootpath)
