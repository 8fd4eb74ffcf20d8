"""``federate image share`` changes nothing that was not shown and confirmed; others say when it is needed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from fake_images import FakeImages, ami

from infra.cli import sites
from infra.cli.context import Aws, Context
from infra.cli.image_sharing import warn_of_image
from infra.cli.main import main
from infra.federation.derive import nodes
from infra.handover.others import Comparison

IMAGE, GONE = "ami-0123456789abcdef0", "999999999999"
FEDERATION = f"""
name: fed
region: us-east-1
images: {{us-east-1: {IMAGE}}}
aggregator: {{account: "333333333333", profile: aggregator, cidr: 10.30.0.0/16}}
participants:
  - {{id: hospital-a, account: "111111111111", profile: hospital-a, cidr: 10.10.0.0/16}}
  - {{id: hospital-c, account: "444444444444", operated_by: site, cidr: 10.12.0.0/16}}
"""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> FakeImages:
    """An image that was shared with hospital-a and with one that has left."""
    launch = [{"UserId": "111111111111"}, {"UserId": GONE}]
    made = FakeImages({"us-east-1": [ami(IMAGE)]}, launch={IMAGE: launch})
    monkeypatch.setattr("infra.accounts.AwsAccounts", lambda: made)
    monkeypatch.setattr(Context, "reach_aws", lambda *_: None)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "federation.yaml"
    path.write_text(FEDERATION)
    return path


def share(file: Path, *words: str) -> int:
    return main(["-f", str(file), "--aws", "loopback", *words])


def test_without_a_confirmation_what_changes_is_shown_and_nothing_is_done(
    file: Path, known: FakeImages, capsys: pytest.CaptureFixture[str]
) -> None:
    assert share(file, "image", "share") == 2
    told = capsys.readouterr()
    assert "is let launch it   444444444444 (hospital-c)" in told.out
    assert "Add --yes" in told.err
    assert known.changed == []


def test_the_site_that_has_joined_since_gets_it_and_the_second_time_nothing_changes(
    file: Path, known: FakeImages, capsys: pytest.CaptureFixture[str]
) -> None:
    assert share(file, "image", "share", "--yes") == 0
    assert known.changed == [(IMAGE, {"Add": [{"UserId": "444444444444"}]})]
    capsys.readouterr()
    assert share(file, "image", "share") == 0
    told = capsys.readouterr().out
    assert "Nothing changes" in told
    assert f"{GONE}, of no node; --revoke takes that away" in told
    assert len(known.changed) == 1


def test_what_belongs_to_no_site_is_taken_away_when_that_is_asked_for(
    file: Path, known: FakeImages, capsys: pytest.CaptureFixture[str]
) -> None:
    assert share(file, "--json", "image", "share", "--revoke", "--yes") == 0
    assert known.changed == [(IMAGE, {"Add": [{"UserId": "444444444444"}], "Remove": [{"UserId": GONE}]})]
    (told,) = json.loads(capsys.readouterr().out)["images"]
    assert (told["lacking"], told["of_no_node"]) == (["444444444444"], [GONE])


def test_a_federation_without_a_pinned_image_is_told_to_pin_one(
    file: Path, known: FakeImages, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FEDERATION.replace(f"images: {{us-east-1: {IMAGE}}}", "image_pipeline: true"))
    assert share(file, "image", "share", "--yes") == 4
    assert "federate image lock" in capsys.readouterr().err
    assert known.changed == []


@pytest.mark.parametrize(("site", "warnings"), [("hospital-a", 0), ("hospital-c", 1)])
def test_a_kit_for_a_site_that_may_not_launch_its_image_says_so(
    file: Path, known: FakeImages, capsys: pytest.CaptureFixture[str], site: str, warnings: int
) -> None:
    here = Context(file, Aws.LOOPBACK, False)
    warn_of_image(here, next(node for node in nodes(here.federation) if node.id == site))
    told = capsys.readouterr()
    assert (told.out + told.err).count("federate image share lets it") == warnings
    assert known.changed == []


@pytest.mark.parametrize(("account", "is_needed"), [("555555555555", True), ("333333333333", False)])
def test_a_new_sites_next_step_is_to_share_the_image_with_its_account(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    account: str,
    is_needed: bool,
) -> None:
    monkeypatch.setenv("FEDERATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sites, "_proven", lambda *_: Comparison((), (), (), ()))
    assert main(["-f", str(file), "add-site", "hospital-d", "--account", account, "--dry-run"]) == 0
    assert ("Next: federate image share, then" in capsys.readouterr().out) is is_needed
