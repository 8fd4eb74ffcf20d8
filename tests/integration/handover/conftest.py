"""A coordinator whose federation trains with one hospital, and another hospital's admin at a place of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from desk import CDK
from hand_over_desk import FEDERATION, Admin, HandOverDesk
from identity_desk import SITES

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandOverDesk]:
    """The coordinator's desk: the hub and hospital-a are deployed through the real CDK command, and train."""
    if not CDK.exists():
        reason = f"needs the pinned CDK command; there is none at {CDK}: make setup"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from fl_app.eicu.deal import deal
    from fl_app.eicu.synthetic import synthesize

    made = HandOverDesk(tmp_path_factory.mktemp("desk"))
    synthesize(made.folder / "eicu", 300, seed=1)
    deal(made.folder / "eicu", made.folder / "sites", list(SITES), seed=1)
    made.file.write_text(FEDERATION)
    try:
        made.run("deploy")
        made.run("start", "--detach")
        made.wait_for("aggregator", "running", round_=2)
        yield made
    finally:
        for process in made.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        made.run("local", "down")


@pytest.fixture(scope="module")
def admin(desk: HandOverDesk, tmp_path_factory: pytest.TempPathFactory) -> Admin:
    return Admin(tmp_path_factory.mktemp("hospital") / "kit", desk.aws()["AWS_ENDPOINT_URL"])
