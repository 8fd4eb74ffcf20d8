"""Sentinels in raw eICU data, and the stream that leaves a hospital: of an honest plug-in, and of one that leaks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from canary_desk import install_leaks
from dealt_eicu import deal_eicu
from recorded_federation import recorded
from small_network import SITES, needs_namespaces

from infra.local.twin.capture.record import Recorded
from infra.local.twin.capture.search import Search
from infra.local.twin.capture.sentinel import Planted, plant

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("_root")]
ROUNDS = 2
#: Two classes over 22,100 inputs, and two constants, as float32.
MODEL_BYTES = 4 * (2 * 22_100 + 2)
Train = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def _root() -> None:
    needs_namespaces()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Planted]]:
    sites = deal_eicu(tmp_path_factory.mktemp("eicu"), sites=SITES)
    return sites, {site: plant(sites / site, site) for site in SITES}


@pytest.fixture(scope="module")
def train(planted: tuple[Path, dict[str, Planted]], tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train with (data set and aggregation that are honest or leak, compression); return the folder of records."""
    packages = install_leaks(tmp_path_factory.mktemp("packages") / "installed")

    @cache
    def run(manner: str, compression: str) -> Path:
        names = {"honest": ("eicu", "fedavg"), "leaking": ("leaking_eicu", "leaking_fedavg")}[manner]
        chosen: dict[str, Any] = {
            key: {"name": name, "options": {}}
            for key, name in zip(("dataset", "aggregation", "model"), (*names, "logistic_regression"), strict=True)
        }
        root = tmp_path_factory.mktemp(f"{manner}-{compression}")
        settings = {**chosen, "rounds": ROUNDS, "optimizer": "sgd", "compression": compression}
        recorded(root, data=planted[0], packages=packages, **settings)
        return root / "out"

    return run


def found(train: Train, planted: Planted, site: str, manner: str, compression: str) -> Search:
    search = Search(planted.sentinels)
    size = Recorded(train(manner, compression) / site).search_stream(search)
    if compression == "none":
        assert size >= MODEL_BYTES * ROUNDS
    return search


@pytest.mark.parametrize("compression", ["none", "zstd", "float16"])
@pytest.mark.parametrize("site", SITES)
def test_no_sentinel_is_in_the_stream(
    train: Train, planted: tuple[Path, dict[str, Planted]], site: str, compression: str
) -> None:
    search = found(train, planted[1][site], site, "honest", compression)
    assert search.findings == ()
    assert search.unsearched == 0


@pytest.mark.parametrize(
    ("compression", "encoding"),
    [("none", "float32, little endian"), ("zstd", "float32, little endian"), ("float16", "float16 6 times")],
)
@pytest.mark.parametrize("site", SITES)
def test_negative_control_readings_among_the_weights_are_found(
    train: Train, planted: tuple[Path, dict[str, Planted]], site: str, compression: str, encoding: str
) -> None:
    search = found(train, planted[1][site], site, "leaking", compression)
    assert [finding for finding in search.findings if f"{site}: heart rate: {encoding}" in finding.sentinel]
