"""A coordinator whose federation trains with one hospital, and another hospital's admin at a place of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from dealt_eicu import deal_eicu
from hand_over_desk import FEDERATION, Admin, HandOverDesk
from marks import mark_integration
from needs import needs_cdk


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_integration(Path(__file__).parent, items)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandOverDesk]:
    """The coordinator's desk: the hub and hospital-a are deployed through the real CDK command, and train."""
    needs_cdk()
    made = HandOverDesk(tmp_path_factory.mktemp("desk"))
    deal_eicu(made.folder)
    made.file.write_text(FEDERATION)
    with closing(made):
        made.run("deploy")
        made.run("start", "--detach")
        made.wait_for("aggregator", "running", round_=2)
        yield made


@pytest.fixture(scope="module")
def admin(desk: HandOverDesk, tmp_path_factory: pytest.TempPathFactory) -> Admin:
    return Admin(tmp_path_factory.mktemp("hospital") / "kit", desk.aws()["AWS_ENDPOINT_URL"])
