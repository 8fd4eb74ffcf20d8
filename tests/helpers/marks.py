"""The mark of tests that start real processes or loopback AWS, for all of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest


def mark_integration(folder: Path, items: Iterable[pytest.Item]) -> None:
    """Mark the tests below a folder; what its conftest is handed are those of the whole session."""
    for item in items:
        if item.path.is_relative_to(folder):
            item.add_marker(pytest.mark.integration)
