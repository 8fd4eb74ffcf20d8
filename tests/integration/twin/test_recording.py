"""What leaves two sites of a real federation, recorded on the way: namespaces, real processes, real certificates."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from small_network import HUB, NODES, PORT, SITES, needs_namespaces, run_inside

from infra.local.twin.capture.encodings import Text
from infra.local.twin.capture.middle import Direction
from infra.local.twin.capture.record import Recorded
from infra.local.twin.capture.search import Search

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("_root")]
ROUNDS, FEATURES = 3, 4000
MODEL_BYTES = 4 * 2 * FEATURES

INSIDE = """
import json, os, subprocess, sys
from pathlib import Path
import small_network as net
from fl_processes import Federation
from infra.local.twin.capture.record import Crossing, recording
from infra.local.twin.network import flows, namespaces
root, rounds, features = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
links = net.lay_out()
class InNetwork(Federation):
    def environment(self, node):
        return {{**super().environment(node), "FEDERATE_ADDRESS_MAP": ""}}
    def command(self, node):
        where = "eni-hub" if node == "aggregator" else f"eni-{{node}}"
        return ["ip", "netns", "exec", where, *super().command(node)]
def federation(name, rounds):
    made = InNetwork(root / name, net.SITES, rounds=rounds, options={{"features": features}})
    for site in net.SITES:
        for shown, node, role in (("aggregator", "aggregator", "aggregator"), ("site", site, "client")):
            made.authority.issue(root / name / "middle" / site / shown, node, role=role)
    return made
def train(run):
    try:
        run.start_all()
        return {{node: run.exit_code(node, 100) for node in ("aggregator", *net.SITES)}}, {{
            node: run.log(node)[-800:] for node in ("aggregator", *net.SITES)}}
    finally:
        run.end()
found = [Crossing(site, links[site], net.NODES[site], f"vpc-{{site}}", "node", net.HUB) for site in net.SITES]
run = federation("recorded", rounds)
for link in links.values():
    flows.start(link)
options = {{"tls_name": "aggregator.test.federate", "port": net.PORT}}
with recording(found, root / "out", identities=root / "recorded" / "middle", **options):
    during = sorted(namespaces.names())
    codes, logs = train(run)
told = {{"codes": codes, "logs": logs, "flows": flows.report(links.values()), "during": during}}
told["after"] = sorted(namespaces.names())
codes, logs = train(federation("after", 1))  # the ways are as they were
told["codes after"], told["logs after"] = codes, logs
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def _root() -> None:
    needs_namespaces()


@pytest.fixture(scope="module")
def told(_root: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("recording")
    done = run_inside(INSIDE.format(), str(root), str(ROUNDS), str(FEATURES))
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert set(found["codes"].values()) == {0}, found["logs"]
    return {**found, "root": root}


@pytest.mark.parametrize("site", SITES)
def test_the_whole_stream_went_through_the_man_in_the_middle(told: dict[str, Any], site: str) -> None:
    recorded = Recorded(told["root"] / "out" / site)
    assert recorded.summary["connections"] >= 1
    assert recorded.summary["leaves"] >= MODEL_BYTES * ROUNDS
    assert recorded.summary["enters"] >= MODEL_BYTES * ROUNDS
    said = recorded.messages()
    assert said.count(b'"kind":"update"') == ROUNDS
    assert b'"kind":"evaluation"' in said


@pytest.mark.parametrize("site", SITES)
def test_every_frame_was_recorded_and_all_went_to_the_aggregator(told: dict[str, Any], site: str) -> None:
    recorded = Recorded(told["root"] / "out" / site)
    assert recorded.summary["lost"] == 0
    went = recorded.search_frames(Search([Text("model", "not to be found")], shortest=8))
    assert set(went) <= {f"tcp {HUB}:{PORT}", "no IPv4"}
    assert went[f"tcp {HUB}:{PORT}"] > 10
    flows = [flow for flow in told["flows"] if flow["between"][0] == site and flow["direction"] == "out"]
    assert [(flow["source"], flow["destination"], flow["port"]) for flow in flows] == [(NODES[site], HUB, PORT)]
    assert recorded.summary["leaves"] < flows[0]["bytes"] < recorded.summary["leaves"] * 1.2 + 20_000


@pytest.mark.parametrize("site", SITES)
def test_in_the_stream_a_word_is_found_and_in_the_frames_it_is_encrypted(told: dict[str, Any], site: str) -> None:
    recorded = Recorded(told["root"] / "out" / site)
    word = Text("a word that every update has", '"kind":"update"')
    plain, encrypted = Search([word]), Search([word])
    assert recorded.search_stream(plain) >= MODEL_BYTES * ROUNDS
    recorded.search_frames(encrypted)
    assert plain.findings
    assert encrypted.findings == ()
    other = Search([word])
    recorded.search_stream(other, Direction.ENTERS)
    assert other.findings == ()


def test_the_ways_are_put_back_and_nothing_is_left(told: dict[str, Any]) -> None:
    assert {name for name in told["during"] if name not in told["after"]} == {"mid-1", "mid-2"}
    assert set(told["codes after"].values()) == {0}, told["logs after"]
