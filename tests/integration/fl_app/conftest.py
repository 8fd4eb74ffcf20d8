from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fl_processes import Federation


@pytest.fixture
def make_federation(tmp_path: Path) -> Iterator[Callable[..., Federation]]:
    made: list[Federation] = []

    def make(*args: Any, **settings: Any) -> Federation:
        federation = Federation(tmp_path / f"federation-{len(made)}", *args, **settings)
        made.append(federation)
        return federation

    yield make
    for federation in made:
        federation.end()
