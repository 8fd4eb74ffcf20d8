"""A node knows who it is from one file, or does not start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_node import FACTS, facts

from node_bootstrap.agent.__main__ import main
from node_bootstrap.agent.facts import Facts, FactsError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "node.json"


def test_the_facts_of_user_data_are_read_and_further_ones_are_left(file: Path) -> None:
    file.write_text(json.dumps({**FACTS, "of a later version": "x"}))
    assert Facts.read(file) == facts()
    assert facts().uri == "federate://fed/client/hospital-a"
    assert facts(role="aggregator", node="aggregator").uri == "federate://fed/aggregator/aggregator"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "does not hold a node's facts"),
        ("[]", "does not hold a node's facts"),
        (json.dumps({**FACTS, "role": "server"}), "role is not what it should be"),
        (json.dumps({**FACTS, "bucket": ""}), "bucket is not what it should be"),
        (json.dumps({**FACTS, "bucket": 7}), "bucket is not what it should be"),
        (json.dumps({name: value for name, value in FACTS.items() if name != "region"}), "'region'"),
    ],
)
def test_what_is_missing_or_wrong_is_named(file: Path, content: str, told: str) -> None:
    file.write_text(content)
    with pytest.raises(FactsError, match=told):
        Facts.read(file)


def test_without_its_facts_the_agent_says_so_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)  # they are the test run's own
    places = ["--root", str(tmp_path / "root"), "--state", str(tmp_path / "state")]
    assert main(["--facts", str(tmp_path / "nowhere.json"), *places]) == 2
    assert "nowhere.json does not hold a node's facts (federation, node, role," in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


def test_a_prefix_of_the_bucket_is_read_where_user_data_names_one(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    path.write_text(json.dumps({**FACTS, "bucket_prefix": "federate/"}))
    assert Facts.read(path) == facts(bucket_prefix="federate/")
    path.write_text(json.dumps({**FACTS, "bucket_prefix": ""}))
    with pytest.raises(FactsError, match="bucket_prefix is not what it should be"):
        Facts.read(path)
