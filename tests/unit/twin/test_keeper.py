"""What the keeper does where a look fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.errors import FederateError
from infra.local.twin import keeper


class Ground:
    """Looks as it is told, one way after the other, and then tells the keeper to stop."""

    def __init__(self, looks: list[Callable[[], None]], stop: threading.Event) -> None:
        self.looks, self._stop = looks, stop

    def look(self) -> None:
        if not self.looks:
            self._stop.set()
            return
        self.looks.pop(0)()

    def status(self) -> dict[str, Any]:
        return {}

    def operations(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass

    def end_all(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_POLL_SECONDS", 0.001)


def _raises(error: Exception) -> Callable[[], None]:
    def look() -> None:
        raise error

    return look


def test_a_full_disk_ends_no_twin(tmp_path: Path) -> None:
    stop = threading.Event()

    assert keeper.keep(Ground([_raises(OSError(28, "No space left on device"))], stop), tmp_path, stop) == 0


def test_a_network_that_is_half_made_ends_it(tmp_path: Path) -> None:
    stop = threading.Event()

    assert keeper.keep(Ground([_raises(FederateError("refused"))], stop), tmp_path, stop) == 1
