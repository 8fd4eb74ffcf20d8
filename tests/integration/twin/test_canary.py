"""The canary: what stands in a hospital's raw data is in no byte that leaves it; and where it does leave, it is found.

Two hospitals and an aggregator, deployed, in the twin's network. Each hospital's raw tables hold sentinels. All that
leaves it is looked at: the plain text of its stream to the aggregator by a man in the middle, the plain text of its
requests to AWS at the endpoints, and every frame that its node sends.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from canary_desk import SITES, CanaryDesk, install_leaks
from desk import CDK
from safetensors import safe_open
from small_network import needs_namespaces

from fl_app.eicu.deal import deal
from fl_app.eicu.synthetic import synthesize
from fl_app.eicu.variables import CLINICAL_RANGES
from infra.local.twin.capture.encodings import Reading, Sentinel
from infra.local.twin.capture.search import Search
from infra.local.twin.capture.sentinel import Planted, plant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
ROUNDS = 3
AGGREGATOR = ("10.30.0.10", 8890)
METADATA = ("169.254.169.254", 80)


@dataclass
class Canary:
    """A federation that has trained under observation."""

    desk: CanaryDesk
    planted: dict[str, Planted]
    run: str

    def sentinels(self, site: str) -> tuple[Sentinel, ...]:
        """Return a site's sentinels, and its heart rate as the model sees it."""
        found = self.planted[site]
        low, high = CLINICAL_RANGES["Heart Rate"]
        scaled = 2 * (found.heart_rate.value - low) / (high - low) - 1
        return (*found.sentinels, Reading(f"{site}: scaled heart rate", round(scaled, 7), found.heart_rate.times))

    def run_of(self, site: str) -> str:
        """Return the name of a node's run."""
        return str(self.desk.says(site)["run"])

    def in_stream(self, site: str) -> Search:
        search = Search(self.sentinels(site))
        self.desk.recorded(site).search_stream(search)
        return search

    def at_endpoints(self) -> Search:
        search = Search([sentinel for site in SITES for sentinel in self.sentinels(site)])
        self.desk.search_endpoints(search)
        return search


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Planted]]:
    """Each hospital's folder of a synthetic eICU, with sentinels in it."""
    root = tmp_path_factory.mktemp("eicu")
    synthesize(root / "eicu", 300, seed=1)
    deal(root / "eicu", root / "sites", SITES, seed=1)
    return root / "sites", {site: plant(root / "sites" / site, site) for site in SITES}


def observed(
    folder: Path, planted: tuple[Path, dict[str, Planted]], packages: Path | None = None, **training: object
) -> Iterator[Canary]:
    """Deploy, train under observation, and take everything down in the end."""
    needs_namespaces()
    if not CDK.exists():
        reason = f"needs the pinned CDK command; there is none at {CDK}: make setup"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    desk = CanaryDesk(folder, packages=packages)
    shutil.copytree(planted[0], folder / "sites")
    desk.write(rounds=ROUNDS, **training)
    try:
        desk.bring_up()
        with desk.recording():
            run = desk.train()
        yield Canary(desk, planted[1], run)
    finally:
        for process in desk.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        desk.run("local", "down")


@pytest.fixture(scope="module")
def honest(planted: tuple[Path, dict[str, Planted]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    yield from observed(tmp_path_factory.mktemp("honest"), planted)


@pytest.fixture(scope="module")
def leaking(planted: tuple[Path, dict[str, Planted]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    packages = install_leaks(tmp_path_factory.mktemp("packages") / "installed")
    folder = tmp_path_factory.mktemp("leaking")
    yield from observed(folder, planted, packages, dataset="{name: leaking_eicu}", aggregation="{name: leaking_fedavg}")


def model_bytes(canary: Canary) -> int:
    """Return the size of the model's tensors."""
    found = dict(canary.desk.objects("aggregator"))
    path = canary.desk.folder / "model.safetensors"
    path.write_bytes(found[f"s3 aggregator results/{canary.run}/model.safetensors"])
    with safe_open(path, "pt") as tensors:
        return sum(tensors.get_tensor(name).nbytes for name in tensors.keys())  # noqa: SIM118 - it is no dictionary


@pytest.mark.parametrize("site", SITES)
def test_the_whole_stream_of_a_hospital_is_seen(honest: Canary, site: str) -> None:
    recorded = honest.desk.recorded(site)
    assert recorded.summary["connections"] >= 1
    assert recorded.summary["lost"] == 0
    size = recorded.search_stream(Search(honest.sentinels(site)))
    assert size >= model_bytes(honest) * ROUNDS
    assert recorded.messages().count(b'"kind":"update"') == ROUNDS


@pytest.mark.parametrize("site", SITES)
def test_the_uploads_and_the_log_of_a_hospital_are_seen(honest: Canary, site: str) -> None:
    said = honest.desk.said_to_endpoints()
    keys = [name.rpartition(" ")[2] for name, _ in honest.desk.objects(site) if " results/" in name]
    assert keys
    assert [key for key in keys if key.encode() not in said] == []
    lines = [line for where, line in honest.desk.log(site) if where.endswith("/application")]
    assert lines
    assert b"Logs_20140328.PutLogEvents" in said
    assert any(line[:60] in said for line in lines)


@pytest.mark.parametrize("site", SITES)
def test_a_hospital_sends_to_nobody_else(honest: Canary, site: str) -> None:
    went = honest.desk.recorded(site).search_frames(Search(honest.sentinels(site), shortest=8), but=_is_known)
    assert went == {}


def _is_known(packet: object) -> bool:
    from infra.local.twin.capture.frames import Packet

    assert isinstance(packet, Packet)
    tcp = packet.protocol == 6
    return (tcp and packet.destination in (AGGREGATOR, METADATA)) or packet.destination[1] == (443 if tcp else 53)


@pytest.mark.parametrize("site", SITES)
def test_no_sentinel_of_a_hospital_leaves_it(honest: Canary, site: str) -> None:
    recorded = honest.desk.recorded(site)
    stream = honest.in_stream(site)
    assert stream.findings == ()
    assert stream.unsearched == 0
    frames = Search(honest.sentinels(site), shortest=8)
    recorded.search_frames(frames)
    assert frames.findings == ()


def test_no_sentinel_is_in_what_is_said_to_aws(honest: Canary) -> None:
    search = honest.at_endpoints()
    assert search.findings == ()
    assert sum(search.searched.values()) > 10_000


@pytest.mark.parametrize("site", SITES)
def test_negative_control_readings_among_the_weights_are_found_in_the_stream(leaking: Canary, site: str) -> None:
    assert f"{site}: heart rate: float32, little endian" in {f.sentinel for f in leaking.in_stream(site).findings}


@pytest.mark.parametrize("site", SITES)
def test_negative_control_a_row_that_is_printed_is_found_on_its_way_to_the_log(leaking: Canary, site: str) -> None:
    assert [line for _, line in leaking.desk.log(site) if leaking.planted[site].patient.text.encode() in line]
    found = {finding.sentinel for finding in _requests(leaking, b"Logs_20140328.PutLogEvents").findings}
    assert found >= {f"{site}: patient: UTF-8", f"{site}: diagnosis: UTF-8", f"{site}: stay: decimal text"}


@pytest.mark.parametrize("site", SITES)
def test_negative_control_a_row_among_the_results_is_found_on_its_way_to_the_bucket(leaking: Canary, site: str) -> None:
    assert f"s3 {site} results/{leaking.run_of(site)}/last-patient.csv" in dict(leaking.desk.objects(site))
    found = {finding.sentinel for finding in _requests(leaking, b"last-patient.csv").findings}
    assert found >= {f"{site}: patient: UTF-8", f"{site}: diagnosis: UTF-8"}


def _requests(canary: Canary, which: bytes) -> Search:
    """Search those requests to endpoints that hold some words."""
    search = Search([sentinel for site in SITES for sentinel in canary.sentinels(site)])
    for path in canary.desk.watched.iterdir():
        for number, request in enumerate(path.read_bytes().split(b" HTTP/1.1\r\n")):
            if which in request:
                search.feed(f"{path.name}, request {number}", request)
    return search
