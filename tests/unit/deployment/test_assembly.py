"""Synth runs when something changed that the templates are made from, and only then."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

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


UNPINNED = """
name: fed
region: us-east-1
aggregator: {account: "333333333333", profile: aggregator, cidr: 10.30.0.0/16}
participants:
  - {id: hospital-a, account: "111111111111", profile: hospital-a, cidr: 10.10.0.0/16}
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


@pytest.fixture
def app() -> ModuleType:
    """``app.py``, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("app", Path(__file__).parents[3] / "app.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize(("variables", "code", "made"), [({}, 2, 0), ({"FEDERATE_WITHOUT_IMAGES": "1"}, 0, 1)])
def test_the_app_makes_stacks_without_images_only_for_who_asks_for_it(
    app: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    code: int,
    made: int,
) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(UNPINNED)
    monkeypatch.setattr(os, "environ", {**os.environ, "FEDERATE_FILE": str(file), **variables})
    synths: list[object] = []
    fake = SimpleNamespace(synthesize=lambda federation, **_: synths.append(federation))
    monkeypatch.setitem(sys.modules, "stacks.app", fake)
    monkeypatch.setattr(app, "use_pinned_node", lambda: None)
    assert app.main() == code
    assert len(synths) == made
    assert ("there is no machine image for" in capsys.readouterr().err) == (not made)


def test_synth_leaves_it_to_the_command_whether_nodes_need_images(checkout: Path) -> None:
    (checkout / "app.py").write_text(f"{APP}\n(out / 'asked').write_text(os.environ['FEDERATE_WITHOUT_IMAGES'])\n")
    assert runs(checkout) == 1
    assert (checkout / "home/synth/fed/asked").read_text() == "1"


def test_what_the_app_says_is_the_error_and_the_old_templates_stay(checkout: Path) -> None:
    assert runs(checkout) == 1
    (checkout / "federation.yaml").write_text("bad")
    with pytest.raises(SynthFailed, match=r"federation.yaml:1  name: is missing.\n.*fed.log"):
        runs(checkout)
    assert (checkout / "home/synth/fed/A.template.json").exists()
