"""What a node and its operator say to each other is read whole, or refused with what was found."""

from __future__ import annotations

import json

import pytest

from node_bootstrap.contract import Desired, Manifest, Unreadable, is_run_name

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    "desired", [Desired("started", "20261125T160045Z-3a6e"), Desired("stopped", "r"), Desired("stopped")]
)
def test_what_is_wanted_comes_through_as_it_was_said(desired: Desired) -> None:
    assert Desired.read(desired.text()) == desired


def test_a_node_of_which_nothing_was_ever_wanted_is_stopped() -> None:
    assert Desired.read(None) == Desired("stopped", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "started",
        "[]",
        '"started"',
        "{}",
        '{"state": "started"}',
        '{"state": "started", "run": ""}',  # it would never be over
        '{"state": "started", "run": null}',
        '{"state": "started", "run": 7}',
        '{"state": "started", "run": "../../other"}',  # a run's name stands in keys and paths
        '{"state": "started", "run": "a/b"}',
        '{"state": "started", "run": ".."}',
        '{"state": "stopped", "run": "a b"}',
        '{"state": ["started"], "run": "r"}',
        '{"state": "paused", "run": "r"}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Unreadable, match="desired"):
        Desired.read(text)


def test_of_a_long_text_the_error_tells_the_beginning() -> None:
    with pytest.raises(Unreadable) as error:
        Desired.read(json.dumps({"state": "x" * 4000, "run": "r"}))
    assert "xxxx" in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("name", "good"), [("a", True), ("a" * 80, True), ("a" * 81, False), ("", False), ("-a", False)]
)
def test_a_runs_name_is_one_of_a_single_folder(name: str, good: bool) -> None:
    assert is_run_name(name) is good


def test_a_manifest_comes_through_as_it_was_written() -> None:
    manifest = Manifest(DIGEST, {"fedml_config.yaml": "cd" * 32})
    assert Manifest.read(manifest.text()) == manifest
    assert manifest.text() == Manifest(DIGEST, dict(manifest.files)).text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        json.dumps({"release": DIGEST}),
        json.dumps({"release": DIGEST, "files": "fedml_config.yaml"}),
        json.dumps({"release": DIGEST, "files": 3}),
        json.dumps({"files": {}}),
        json.dumps({"release": "../../etc/passwd", "files": {}}),
        json.dumps({"release": DIGEST.upper(), "files": {}}),
    ],
)
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(Unreadable, match=r"run/manifest\.json"):
        Manifest.read(text)
