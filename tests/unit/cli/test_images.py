"""``federate image lock`` writes nothing that was not shown and confirmed; what cannot be is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fake_images import FakeImages, ami

from infra.cli.context import Context
from infra.cli.main import main
from infra.federation.images import LOCK_FILE

ID, NEXT = "ami-0123456789abcdef0", "ami-0123456789abcdef1"
TAGS = {"federate:image-of": "fed", "federate:kind": "gpu", "federate:version": "0.1.0"}
FEDERATION = """
name: fed
region: us-east-1
image_pipeline: true
aggregator: {account: "333333333333", profile: aggregator, cidr: 10.30.0.0/16}
participants:
  - {id: hospital-a, account: "111111111111", profile: hospital-a, cidr: 10.10.0.0/16}
"""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The images of us-east-1."""
    made = [ami(ID, tags=TAGS)]
    monkeypatch.setattr("infra.accounts.AwsAccounts", lambda: FakeImages({"us-east-1": made}))
    monkeypatch.setattr(Context, "reach_aws", lambda *_: None)
    return made


@pytest.fixture
def file(tmp_path: Path, known: Any) -> Path:
    del known
    path = tmp_path / "federation.yaml"
    path.write_text(FEDERATION)
    return path


def run(file: Path, *words: str) -> int:
    return main(["-f", str(file), "--aws", "loopback", "image", *words])


def test_without_a_confirmation_what_changes_is_shown_and_nothing_is_written(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(file, "lock") == 2
    told = capsys.readouterr()
    assert f"none → {ID}" in told.out
    assert "Add --yes" in told.err
    assert not file.with_name(LOCK_FILE).exists()


def test_the_newest_image_is_pinned_and_a_newer_one_only_when_asked_again(
    file: Path, known: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(file, "lock", "--yes") == 0
    first = file.with_name(LOCK_FILE).read_text()
    assert json.loads(first)["images"]["us-east-1"]["x86_64/gpu"]["image"] == ID
    assert run(file, "lock") == 0
    assert "nothing changes" in capsys.readouterr().out
    known.append(ami(NEXT, tags=TAGS, CreationDate="2026-12-01T00:00:00.000Z"))
    assert run(file, "show") == 0
    shown = capsys.readouterr().out
    assert ID in shown
    assert NEXT not in shown
    assert file.with_name(LOCK_FILE).read_text() == first


def test_an_image_of_ones_own_is_pinned_beside_the_others(file: Path, known: list[Any]) -> None:
    assert run(file, "lock", "--yes") == 0
    known.append(ami(NEXT, OwnerId="444444444444"))
    assert run(file, "lock", "--ami", NEXT, "--kind", "gpu", "--yes") == 0
    assert json.loads(file.with_name(LOCK_FILE).read_text())["images"]["us-east-1"]["x86_64/gpu"]["owner"] == (
        "444444444444"
    )


def test_an_image_that_no_node_could_boot_from_is_refused(
    file: Path, known: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    known.append(ami(NEXT, Architecture="arm64"))
    assert run(file, "lock", "--ami", NEXT, "--kind", "gpu", "--yes") == 2
    told = capsys.readouterr().err
    assert "is arm64/gpu in us-east-1, and no node is" in told
    assert "x86_64/gpu in us-east-1" in told


def test_a_pipeline_that_has_made_nothing_yet_is_said_with_the_nodes_that_wait(
    file: Path, known: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    known.clear()
    assert run(file, "lock", "--yes") == 4
    assert "no image of x86_64/gpu in us-east-1, for aggregator, hospital-a" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--kind", "gpu"], ["--region", "us-east-1"], ["--ami", ID, "--kind", "tpu"], ["--ami", "ami-x"]]
)
def test_options_that_make_no_sense_are_refused(file: Path, words: list[str]) -> None:
    assert run(file, "lock", "--yes", *words) == 2
    assert not file.with_name(LOCK_FILE).exists()


@pytest.mark.parametrize("region", ["nonexistent", "eu-central-1", ""])
def test_a_region_without_nodes_is_refused_with_those_that_have_some(
    file: Path, capsys: pytest.CaptureFixture[str], region: str
) -> None:
    assert run(file, "lock", "--yes", "--ami", ID, "--region", region) == 2
    told = capsys.readouterr().err
    assert f"--region is {region!r}" in told
    assert "Its nodes stand in us-east-1." in told
    assert not file.with_name(LOCK_FILE).exists()
    assert run(file, "lock", "--yes", "--ami", ID, "--region", "us-east-1") == 0


def test_on_loopback_aws_no_image_is_built_and_that_is_said(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(file, "build") == 4
    assert "records the image pipeline" in capsys.readouterr().err


def test_a_federation_without_a_pipeline_is_told_how_to_ask_for_one() -> None:
    from fake_cloud import small_plan

    from infra.deployment.instances import NoPipeline, pipeline_stack

    with pytest.raises(NoPipeline, match="image_pipeline: true"):
        pipeline_stack(small_plan())


def test_the_first_image_is_pinned_where_no_node_has_one_yet(
    file: Path, known: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del known
    file.write_text(FEDERATION.replace("image_pipeline: true\n", ""))
    # As on loopback AWS, which has accounts for every node of the federation.
    monkeypatch.setattr(Context, "reach_aws", lambda here, federation=None: federation or here.federation)
    assert run(file, "show") == 0
    assert "none" in capsys.readouterr().out
    assert run(file, "lock", "--ami", ID, "--kind", "gpu", "--yes") == 0
    assert run(file, "show") == 0
    assert ID in capsys.readouterr().out
