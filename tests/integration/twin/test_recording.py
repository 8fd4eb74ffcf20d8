"""What leaves two sites of a real federation, recorded on the way: namespaces, real processes, real certificates."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from recorded_federation import recorded
from small_network import HUB, NODES, PORT, SITES, needs_namespaces

from infra.local.twin.capture.encodings import Text
from infra.local.twin.capture.middle import Direction
from infra.local.twin.capture.record import Recorded
from infra.local.twin.capture.search import Search

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("_root")]
ROUNDS, FEATURES = 3, 4000
MODEL_BYTES = 4 * 2 * FEATURES


@pytest.fixture(scope="module")
def _root() -> None:
    needs_namespaces()


@pytest.fixture(scope="module")
def told(_root: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("recording")
    return {**recorded(root, again=True, rounds=ROUNDS, options={"features": FEATURES}), "root": root}


@pytest.mark.parametrize("site", SITES)
def test_the_whole_stream_went_through_the_man_in_the_middle(told: dict[str, Any], site: str) -> None:
    seen = Recorded(told["root"] / "out" / site)
    assert seen.summary["connections"] >= 1
    assert seen.summary["leaves"] >= MODEL_BYTES * ROUNDS
    assert seen.summary["enters"] >= MODEL_BYTES * ROUNDS
    said = seen.messages()
    assert said.count(b'"kind":"update"') == ROUNDS
    assert b'"kind":"evaluation"' in said


@pytest.mark.parametrize("site", SITES)
def test_every_frame_was_recorded_and_all_went_to_the_aggregator(told: dict[str, Any], site: str) -> None:
    seen = Recorded(told["root"] / "out" / site)
    assert seen.summary["lost"] == 0
    went = seen.search_frames(Search([Text("model", "not to be found")], shortest=8))
    assert set(went) <= {f"tcp {HUB}:{PORT}", "no IPv4"}
    assert went[f"tcp {HUB}:{PORT}"] > 10
    flows = [flow for flow in told["flows"] if flow["between"][0] == site and flow["direction"] == "out"]
    assert [(flow["source"], flow["destination"], flow["port"]) for flow in flows] == [(NODES[site], HUB, PORT)]
    assert seen.summary["leaves"] < flows[0]["bytes"] < seen.summary["leaves"] * 1.2 + 20_000


@pytest.mark.parametrize("site", SITES)
def test_in_the_stream_a_word_is_found_and_in_the_frames_it_is_encrypted(told: dict[str, Any], site: str) -> None:
    seen = Recorded(told["root"] / "out" / site)
    word = Text("a word that every update has", '"kind":"update"')
    plain, encrypted = Search([word]), Search([word])
    assert seen.search_stream(plain) >= MODEL_BYTES * ROUNDS
    seen.search_frames(encrypted)
    assert plain.findings
    assert encrypted.findings == ()
    other = Search([word])
    seen.search_stream(other, Direction.ENTERS)
    assert other.findings == ()


def test_the_ways_are_put_back_and_nothing_is_left(told: dict[str, Any]) -> None:
    assert {name for name in told["during"] if name not in told["after"]} == {"mid-1", "mid-2"}
    assert set(told["codes after"].values()) == {0}, told["logs after"]
