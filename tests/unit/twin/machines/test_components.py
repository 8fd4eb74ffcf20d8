"""Component documents are executed as Image Builder's guide says, and what is not implemented is refused by name."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from infra.local.twin.machines.components import BadComponent, Component, StepFailed
from infra.local.twin.machines.tools import ToolFailed
from node_bootstrap.image import documents

URI = "s3://bucket/file.tar"


class Machine:
    """Runs scripts with this machine's own bash, and keeps files in memory."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.files: dict[str, bytes] = {}

    def run(self, script: str, *, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        self.ran.append(script)
        if script == "hang":
            raise ToolFailed(f"It did not end within {timeout_seconds:g} seconds.")
        return subprocess.run(
            ["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )

    def put(self, content: bytes, path: str) -> None:
        self.files[path] = content


def bash(name: str, *commands: str, **other: Any) -> dict[str, Any]:
    return {"name": name, "action": "ExecuteBash", "inputs": {"commands": list(commands)}, **other}


def component(*steps: dict[str, Any], phase: str = "build", **other: Any) -> Component:
    document = {"name": "c", "schemaVersion": 1.0, "phases": [{"name": phase, "steps": list(steps)}], **other}
    return Component.read(yaml.safe_dump(document))


def run(made: Component, phase: str = "build", **values: str) -> Machine:
    machine = Machine()
    made.run(phase, machine, values=values, objects={URI: b"content"})
    return machine


def test_a_steps_commands_are_one_script() -> None:
    machine = run(component(bash("S", "x=1", '[ "$x" = 1 ]')))
    assert machine.ran == ['x=1\n[ "$x" = 1 ]']


def test_parameters_are_put_in_place_of_their_names_and_have_defaults() -> None:
    parameters = [{"A": {"type": "string"}}, {"B": {"type": "string", "default": "two"}}]
    machine = run(component(bash("S", "echo {{ A }} {{B}}"), parameters=parameters), A="one")
    assert machine.ran == ["echo one two"]


@pytest.mark.parametrize(("parameters", "values"), [([], {}), ([{"A": {"type": "string"}}], {}), ([], {"A": "1"})])
def test_a_parameter_without_a_value_and_a_value_without_a_parameter_are_refused(
    parameters: Any, values: dict[str, str]
) -> None:
    with pytest.raises(BadComponent, match="A"):
        run(component(bash("S", "echo {{ A }}"), parameters=parameters), **values)


def test_the_first_failure_ends_the_phase_and_is_told_with_its_step_and_its_words() -> None:
    with pytest.raises(StepFailed) as caught:
        run(component(bash("First", "echo torch is missing >&2; exit 3"), bash("Second", "true")))
    assert (caught.value.component, caught.value.phase, caught.value.step) == ("c", "build", "First")
    assert str(caught.value) == (
        "The component c failed in phase build, step First: it ended with 3.\ntorch is missing"
    )


def test_a_step_may_be_tried_again(tmp_path: Any) -> None:
    flag = tmp_path / "flag"
    machine = run(component(bash("S", f"[ -e {flag} ] || {{ touch {flag}; exit 1; }}", maxAttempts=2)))
    assert len(machine.ran) == 2


def test_a_failure_may_be_passed_over_or_told_at_the_end() -> None:
    assert len(run(component(bash("A", "false", onFailure="Ignore"), bash("B", "true"))).ran) == 2
    machine = Machine()
    with pytest.raises(StepFailed, match="step A"):
        component(bash("A", "false", onFailure="Continue"), bash("B", "true")).run(
            "build", machine, values={}, objects={}
        )
    assert machine.ran == ["false", "true"]


def test_what_does_not_end_in_time_and_what_asks_for_a_reboot_fail() -> None:
    with pytest.raises(StepFailed, match="step S: It did not end within 9 seconds"):
        run(component(bash("S", "hang", timeoutSeconds=9)))
    with pytest.raises(StepFailed, match="asks for a reboot"):
        run(component(bash("S", "exit 194")))


def test_a_download_brings_a_file_that_is_there() -> None:
    step = {"name": "Get", "action": "S3Download", "inputs": [{"source": URI, "destination": "/opt/file"}]}
    assert run(component(step)).files == {"/opt/file": b"content"}
    step["inputs"] = [{"source": "s3://bucket/other", "destination": "/opt/file"}]
    with pytest.raises(StepFailed, match="s3://bucket/other does not exist"):
        run(component(step))


def test_a_phase_that_a_component_lacks_has_nothing_to_do() -> None:
    assert run(component(bash("S", "false"), phase="test"), "build").ran == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schemaVersion": 2.0}, "schemaVersion 2.0"),
        ({"constants": []}, "constants"),
        ({"phases": [{"name": "build", "steps": [bash("S", "true") | {"action": "Reboot"}]}]}, "Reboot"),
        ({"phases": [{"name": "build", "steps": [bash("S", "true", loop={})]}]}, "loop"),
        ({"phases": [{"name": "build", "steps": [bash("S", "true", onFailure="Perhaps")]}]}, "Perhaps"),
        ({"phases": [{"name": "container-host-test", "steps": []}]}, "container-host-test"),
        ({"phases": 3}, "not a component document"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    document = {"name": "c", "schemaVersion": 1.0, "phases": []}
    with pytest.raises(BadComponent, match=named):
        Component.read(yaml.safe_dump({**document, **change}))


@pytest.mark.parametrize("name", documents.NAMES)
def test_our_own_documents_use_what_is_implemented_alone_and_every_script_stops_at_its_first_failure(name: str) -> None:
    found = Component.read(documents.document(name))
    assert list(found.phases) == [name]
    for step in found.phases[name]:
        assert step.on_failure == "Abort"
        if step.action == "ExecuteBash":
            assert step.inputs["commands"][0].startswith("set -euo pipefail\n"), step.name


@pytest.mark.parametrize(("name", "step"), [("build", "CheckSource"), ("test", "CheckTest")])
def test_what_is_downloaded_is_unpacked_only_once_its_digest_is_right(name: str, step: str) -> None:
    steps = {one.name: one for one in Component.read(documents.document(name)).phases[name]}
    lines = steps[step].inputs["commands"][0].splitlines()
    assert "sha256sum --check --strict" in lines[1]
    assert lines[-1].startswith("tar ")
