"""The canary: what stands in a hospital's raw data is in no byte that leaves it; and where it does leave, it is found.

Two hospitals and an aggregator, deployed, in the twin's network. Each hospital's raw tables hold sentinels. All that
leaves it is looked at: the plain text of its stream to the aggregator by a man in the middle, the plain text of its
requests to AWS at the endpoints, and every frame that its node sends.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from canary_desk import SITES, CanaryDesk, install_leaks
from dealt_eicu import deal_eicu
from needs import needs_cdk
from safetensors import safe_open
from small_network import needs_namespaces

from fl_app.eicu.variables import CLINICAL_RANGES
from infra.local.twin.capture import frames
from infra.local.twin.capture.encodings import Reading, Sentinel
from infra.local.twin.capture.frames import Packet
from infra.local.twin.capture.search import Search
from infra.local.twin.capture.sentinel import Planted, plant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
ROUNDS = 3
AGGREGATOR = ("10.30.0.10", 8890)
#: A record of TLS 1.3 has 22 bytes around what it says, and requests are often a few hundred bytes long.
TLS_OVERHEAD, HANDSHAKE_BYTES = 1.1, 8192
TCP, UDP = 6, 17
METADATA = ("169.254.169.254", 80)
_REQUEST = re.compile(rb"(?=(?:GET|HEAD|PUT|POST|DELETE) [^ \r\n]+ HTTP/1\.1\r\n)")


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

    def in_requests(self, site: str, which: bytes = b"") -> Search:
        """Search what a site said to AWS's endpoints, all of it or those requests that hold some words."""
        search = Search(self.sentinels(site))
        for name, said in self.desk.requests(site):
            for number, request in enumerate(_REQUEST.split(said) if which else [said]):
                if which in request:
                    search.feed(f"{name}, {number}", request)
        return search


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Planted]]:
    """Each hospital's folder of a synthetic eICU, with sentinels in it."""
    sites = deal_eicu(tmp_path_factory.mktemp("eicu"))
    return sites, {site: plant(sites / site, site) for site in SITES}


def observed(
    folder: Path, planted: tuple[Path, dict[str, Planted]], packages: Path | None = None, **training: object
) -> Iterator[Canary]:
    """Deploy, train under observation, and take everything down in the end."""
    needs_namespaces()
    needs_cdk()
    desk = CanaryDesk(folder, packages=packages)
    shutil.copytree(planted[0], folder / "sites")
    desk.write(rounds=ROUNDS, **training)
    try:
        desk.bring_up()
        with desk.recording():
            run = desk.train()
        yield Canary(desk, planted[1], run)
    finally:
        desk.close()


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
    said = b"\n".join(part for _, part in honest.desk.requests(site))
    keys = [name.rpartition(" ")[2] for name, _ in honest.desk.objects(site) if " results/" in name]
    assert keys
    assert [key for key in keys if key.encode() not in said] == []
    lines = [line for where, line in honest.desk.log(site) if where.endswith("/application")]
    assert lines
    assert b"Logs_20140328.PutLogEvents" in said
    assert any(line[:60] in said for line in lines)


@pytest.mark.parametrize("site", SITES)
def test_a_hospital_sends_to_nobody_else(honest: Canary, site: str) -> None:
    own = ipaddress.ip_network(next(part.cidr for part in honest.desk.federation.participants if part.id == site))

    def is_known(packet: Packet) -> bool:
        """The aggregator, AWS's services in the own VPC and S3, the metadata service, the VPC's resolver."""
        address, port = ipaddress.ip_address(packet.destination[0]), packet.destination[1]
        if packet.protocol == UDP:
            return (address, port) == (own[2], 53)
        is_service = port == 443 and (address in own or address.is_global)
        return packet.protocol == TCP and (packet.destination in (AGGREGATOR, METADATA) or is_service)

    recorded = honest.desk.recorded(site)
    assert recorded.search_frames(Search(honest.sentinels(site), shortest=8), but=is_known) == {}
    assert recorded.summary["frames"] > 100


@pytest.mark.parametrize("site", SITES)
def test_what_is_encrypted_is_no_more_than_what_was_read_in_plain(honest: Canary, site: str) -> None:
    recorded = honest.desk.recorded(site)
    carried, connections = Counter[int](), defaultdict[int, set[object]](set)
    for packet in filter(None, map(frames.packet, frames.read(recorded.folder / "frames.pcap"))):
        carried[packet.destination[1]] += len(packet.payload)
        connections[packet.destination[1]].add((packet.source, packet.destination))
    stream, requests = recorded.summary["leaves"], dict(honest.desk.requests(site))
    assert stream < carried[AGGREGATOR[1]] < stream * TLS_OVERHEAD + HANDSHAKE_BYTES
    assert len(connections[443]) <= len(requests)
    said = sum(map(len, requests.values()))
    assert 10_000 < carried[443] < said * TLS_OVERHEAD + HANDSHAKE_BYTES * len(requests)


@pytest.mark.parametrize("site", SITES)
def test_no_sentinel_of_a_hospital_leaves_it(honest: Canary, site: str) -> None:
    stream = honest.in_stream(site)
    assert stream.findings == ()
    assert stream.unsearched == 0
    as_sent = Search(honest.sentinels(site), shortest=8)
    honest.desk.recorded(site).search_frames(as_sent)
    assert as_sent.findings == ()


@pytest.mark.parametrize("site", SITES)
def test_no_sentinel_of_a_hospital_is_in_what_it_says_to_aws(honest: Canary, site: str) -> None:
    search = honest.in_requests(site)
    assert search.findings == ()
    assert search.unsearched == 0
    assert sum(search.searched.values()) > 10_000


@pytest.mark.parametrize("site", SITES)
def test_negative_control_readings_among_the_weights_are_found_in_the_stream(leaking: Canary, site: str) -> None:
    assert f"{site}: heart rate: float32, little endian" in {f.sentinel for f in leaking.in_stream(site).findings}


@pytest.mark.parametrize("site", SITES)
def test_negative_control_a_row_that_is_printed_is_found_on_its_way_to_the_log(leaking: Canary, site: str) -> None:
    assert [line for _, line in leaking.desk.log(site) if leaking.planted[site].patient.text.encode() in line]
    found = {finding.sentinel for finding in leaking.in_requests(site, b"Logs_20140328.PutLogEvents").findings}
    assert found >= {f"{site}: patient: UTF-8", f"{site}: diagnosis: UTF-8", f"{site}: stay: decimal text"}


@pytest.mark.parametrize("site", SITES)
def test_negative_control_a_row_among_the_results_is_found_on_its_way_to_the_bucket(leaking: Canary, site: str) -> None:
    assert f"s3 {site} results/{leaking.run_of(site)}/last-patient.csv" in dict(leaking.desk.objects(site))
    found = {finding.sentinel for finding in leaking.in_requests(site, b"last-patient.csv").findings}
    assert found >= {f"{site}: patient: UTF-8", f"{site}: diagnosis: UTF-8"}


def test_the_counts_of_the_kernel_are_those_of_the_streams(honest: Canary) -> None:
    flows = json.loads(honest.desk.run("--json", "local", "flows")[0])
    assert {(flow["port"], flow["protocol"]) for flow in flows} == {(AGGREGATOR[1], "tcp")}
    out = {flow["between"][0]: flow["bytes"] for flow in flows if flow["direction"] == "out"}
    assert set(out) == set(SITES)
    for site in SITES:
        sent = honest.desk.recorded(site).summary["leaves"]
        assert sent < out[site] < sent * TLS_OVERHEAD + HANDSHAKE_BYTES * 2
    assert "hospital-a (10.10.0.10)" in honest.desk.run("local", "flows")[0]
