"""The CDK command as a process: what it is given, where it is found, and how it is ended."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from infra.deployment.cdk import CdkCommand
from infra.deployment.tools import MissingTool, find_cdk, tool_environment

#: Stands in for the command: says how it was called, and can be slow.
SCRIPT = """#!/usr/bin/env python3
import json, os, pathlib, signal, sys, time
here = pathlib.Path(__file__).parent
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
names = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL")
print(json.dumps({"arguments": sys.argv[1:], **{name: os.environ.get(name) for name in names}}), flush=True)
if os.environ.get("SLOW"):
    (here / "began").touch()
    time.sleep(60)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "cdk"
    path.write_text(SCRIPT)
    path.chmod(0o755)
    return path


def command(script: Path, **environment: str) -> CdkCommand:
    given = {**os.environ, "FEDERATE_CDK": str(script), **environment}
    return CdkCommand(script.parent / "assembly", script.parent / "logs", given)


def test_a_deployment_uses_the_templates_that_are_there_and_one_profile(script: Path) -> None:
    run = command(script).deploy(
        ["A", "B"], profile="hospital-a", parameters={"fed-A:X": "1"}, concurrency=2, title="sites-hospital-a"
    )
    assert run.exit_code == 0
    assert json.loads(run.said())["arguments"] == [
        *("deploy", "A", "B", "--exclusively", "--app", str(script.parent / "assembly"), "--profile", "hospital-a"),
        *("--no-notices", "--no-version-reporting", "--require-approval", "never", "--progress", "events"),
        *("--concurrency", "2", "--parameters", "fed-A:X=1", "--import-existing-resources"),
    ]
    assert "deploy-sites-hospital-a" in run.log.name


def test_no_credentials_but_the_profiles_reach_the_command(script: Path) -> None:
    own = {"AWS_PROFILE": "me", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    run = command(script, **own).destroy(["A"], profile="hospital-a", concurrency=1, title="x")
    said = json.loads(run.said())
    assert (said["AWS_PROFILE"], said["AWS_ACCESS_KEY_ID"]) == (None, None)
    assert said["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"


@pytest.mark.parametrize("stubborn", [{}, {"STUBBORN": "1"}])
def test_an_interrupted_command_ends_even_if_it_does_not_listen(script: Path, stubborn: dict[str, str]) -> None:
    cdk = command(script, SLOW="1", **stubborn)
    codes: list[int] = []
    work = threading.Thread(target=lambda: codes.append(cdk.diff(["A"], profile="p", title="slow").exit_code))
    work.start()
    deadline = time.monotonic() + 30
    while not (script.parent / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    cdk.interrupt(grace_seconds=0.5)
    work.join(30)
    assert not work.is_alive()
    assert codes != [0]


def test_an_interrupted_command_starts_nothing_more(script: Path) -> None:
    cdk = command(script)
    cdk.interrupt()
    assert cdk.diff(["A"], profile="p", title="late").exit_code == 130


def test_a_command_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match=r"FEDERATE_CDK names .*no-cdk, which does not exist"):
        find_cdk({"FEDERATE_CDK": str(tmp_path / "no-cdk")})


def test_the_pinned_command_is_preferred_to_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "cdk"
    system.write_text("#!/bin/sh\n")
    system.chmod(0o755)
    monkeypatch.setattr("infra.deployment.tools.CHECKOUT", tmp_path / "checkout")
    assert find_cdk({"PATH": str(tmp_path)}) == system
    pinned = tmp_path / "checkout/.venv/cdk/node_modules/.bin/cdk"
    pinned.parent.mkdir(parents=True)
    pinned.touch()
    assert find_cdk({"PATH": str(tmp_path)}) == pinned


def test_a_machine_without_the_command_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.deployment.tools.CHECKOUT", tmp_path)
    with pytest.raises(MissingTool, match="make setup"):
        find_cdk({"PATH": str(tmp_path)})


def test_the_node_of_the_python_environment_comes_first() -> None:
    first, *_ = tool_environment({"PATH": "/usr/bin"})["PATH"].split(os.pathsep)
    assert (Path(first) / "node").exists()


@pytest.mark.parametrize(("version", "is_enough"), [("v18.20.4", False), ("v20.0.0", True), ("v24.1.0", True)])
def test_a_systems_node_is_used_only_if_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_enough: bool
) -> None:
    monkeypatch.setattr("infra.deployment.tools.find_spec", lambda _: None)
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    if is_enough:
        assert tool_environment({"PATH": str(tmp_path)})["PATH"] == str(tmp_path)
    else:
        with pytest.raises(MissingTool, match=r"is Node.js v18.20.4; CDK needs 20 or newer"):
            tool_environment({"PATH": str(tmp_path)})
