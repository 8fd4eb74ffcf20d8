"""Synth runs when something changed that the templates are made from, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_cloud import federation

from infra.deployment import assembly
from infra.deployment.assembly import SynthFailed, synthesize

APP = """
import json, os, pathlib, sys
out = pathlib.Path(os.environ["CDK_OUTDIR"])
counter = pathlib.Path("runs")
counter.write_text(str(int(counter.read_text()) + 1 if counter.exists() else 1))
if pathlib.Path(os.environ["FEDERATE_FILE"]).read_text() == "bad":
    print("federation.yaml:1  name: is missing.", file=sys.stderr)
    sys.exit(2)
(out / "A.template.json").write_text("{}")
(out / "federate-plan.json").write_text(json.dumps({"federation": "fed", "digest": "0", "stacks": []}))
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with an app that counts its runs."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/one.py").write_text("a = 1")
    for folder in ("infra/federation", "node_bootstrap"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("cdk.json", "infra/__init__.py", "infra/errors.py", "federation.yaml"):
        (tmp_path / file).write_text("")
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.setattr(assembly, "CHECKOUT", tmp_path)
    return tmp_path


def runs(checkout: Path) -> int:
    synthesize(checkout / "federation.yaml", federation(), home=checkout / "home")
    return int((checkout / "runs").read_text())


def test_the_second_time_the_templates_are_taken_as_they_are(checkout: Path) -> None:
    assert (runs(checkout), runs(checkout)) == (1, 1)


@pytest.mark.parametrize("changed", ["federation.yaml", "stacks/one.py", "infra/errors.py", "stacks/new.py"])
def test_a_change_of_the_federation_or_of_the_sources_makes_them_anew(checkout: Path, changed: str) -> None:
    assert runs(checkout) == 1
    (checkout / changed).write_text("# changed")
    assert runs(checkout) == 2


def test_another_version_of_cdk_makes_them_anew(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs(checkout) == 1
    monkeypatch.setattr(assembly, "version", lambda _: "99")
    assert runs(checkout) == 2


def test_templates_that_somebody_touched_are_made_anew(checkout: Path) -> None:
    assert runs(checkout) == 1
    (checkout / "home/synth/fed/A.template.json").write_text('{"Resources": {}}')
    assert runs(checkout) == 2
    assert (checkout / "home/synth/fed/A.template.json").read_text() == "{}"


def test_an_interrupted_synth_leaves_nothing_that_is_taken_for_whole(checkout: Path) -> None:
    half = checkout / "home/synth/fed"
    half.mkdir(parents=True)
    (half / "federate-plan.json").write_text("{}")
    assert runs(checkout) == 1


def test_what_the_app_says_is_the_error_and_the_old_templates_stay(checkout: Path) -> None:
    assert runs(checkout) == 1
    (checkout / "federation.yaml").write_text("bad")
    with pytest.raises(SynthFailed, match=r"federation.yaml:1  name: is missing.\n.*fed.log"):
        runs(checkout)
    assert (checkout / "home/synth/fed/A.template.json").exists()
