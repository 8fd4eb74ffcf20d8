"""The example federation as a dictionary to change, and what loading the changed file says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.errors import InvalidFederation, Problem
from infra.federation.load import load
from infra.federation.model import Federation

CHECKOUT = Path(__file__).parents[3]
EXAMPLE = CHECKOUT / "federation.yaml"

Data = dict[str, Any]


@pytest.fixture
def data() -> Data:
    """The example federation, to be changed."""
    return copy.deepcopy(yaml.safe_load(EXAMPLE.read_text("utf-8")))


@pytest.fixture
def federation(data: Data) -> Federation:
    """The example federation."""
    return Federation.model_validate(data)


@pytest.fixture
def site() -> Callable[[int], Data]:
    """Make the block of one more site: number n in account n, range 10.n/16."""

    def make(number: int) -> Data:
        return {
            "id": f"site-{number}",
            "account": f"{number:012d}",
            "profile": f"site-{number}",
            "cidr": f"10.{number}.0.0/16",
        }

    return make


@pytest.fixture
def problems(tmp_path: Path) -> Callable[[str | Data], dict[str, Problem]]:
    """Load a text or a dictionary; return its errors by their place in the federation, or by line where it has none."""

    def find(content: str | Data) -> dict[str, Problem]:
        file = tmp_path / "federation.yaml"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False), "utf-8")
        try:
            load(file)
        except InvalidFederation as invalid:
            return {_place(problem): problem for problem in invalid.problems}
        return {}

    return find


@pytest.fixture
def notices(tmp_path: Path) -> Callable[[Data], dict[str, Problem]]:
    """Load a dictionary that is in order; return its warnings and notices by their place."""

    def find(content: Data) -> dict[str, Problem]:
        file = tmp_path / "federation.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
        return {_place(problem): problem for problem in load(file).notices}

    return find


def _place(problem: Problem) -> str:
    place, _, path = problem.where.partition("  ")
    return path or place.rpartition("/")[2]
