"""EC2 Image Builder's component documents, executed: the part of their language that Federate's documents use.

What is not implemented is refused by name, before anything is run.

Source: "Use the AWSTOE component document framework" and "Action modules", EC2 Image Builder User Guide.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from infra.errors import FederateError
from infra.local.twin.machines.tools import ToolFailed

Progress = Callable[[str], None]
_REFERENCE = re.compile(r"\{\{\s*(\S+?)\s*\}\}")
_ACTIONS = {"ExecuteBash": {"commands"}, "S3Download": {"source", "destination"}}
_STEP_KEYS = {"name", "action", "timeoutSeconds", "onFailure", "maxAttempts", "inputs"}
_ON_FAILURE = ("Abort", "Continue", "Ignore")
#: Of the user guide; and 194 asks for a reboot in the middle of a step.
_DEFAULT_SECONDS, _REBOOT = 7200, 194
_TAIL_CHARACTERS = 4000


class BadComponent(FederateError):
    """The text is no component document, or uses what is not implemented here."""

    exit_code = 2


class StepFailed(FederateError):
    """A step of a component failed, and the image with it."""

    def __init__(self, component: str, phase: str, step: str, why: str, said: str) -> None:
        end = said.strip()[-_TAIL_CHARACTERS:]
        super().__init__(
            f"The component {component} failed in phase {phase}, step {step}: {why}." + (f"\n{end}" if end else ""),
        )
        self.component, self.phase, self.step = component, phase, step


class Machine(Protocol):
    """What components are executed on."""

    def run(self, script: str, *, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        """Run a script as root; its output is in ``stdout``."""

    def put(self, content: bytes, path: str) -> None:
        """Write a file."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step; ``inputs`` still hold their references."""

    name: str
    action: str
    inputs: Any
    timeout_seconds: float
    on_failure: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Component:
    """A component document."""

    name: str
    parameters: Mapping[str, str | None]
    phases: Mapping[str, tuple[Step, ...]]

    @classmethod
    def read(cls, text: str) -> Component:
        """Read a document.

        Raises:
            BadComponent: it is none, or uses what is not implemented.
        """
        try:
            given = yaml.safe_load(text)
            name, version = given["name"], given["schemaVersion"]
            phases = {phase["name"]: tuple(map(_step, phase["steps"])) for phase in given["phases"]}
            parameters = {
                key: None if body.get("default") is None else str(body["default"])
                for entry in given.get("parameters", ())
                for key, body in entry.items()
            }
        except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise BadComponent(f"This is not a component document: {error!r}") from None
        if version != 1.0:
            raise BadComponent(f"{name}: schemaVersion {version} is not 1.0.")
        unknown = sorted(set(given) - {"name", "description", "schemaVersion", "parameters", "phases"})
        if unknown or not set(phases) <= {"build", "validate", "test"}:
            raise BadComponent(f"{name}: not implemented: {', '.join([*unknown, *phases])}")
        return cls(str(name), parameters, phases)

    def run(
        self,
        phase: str,
        machine: Machine,
        *,
        values: Mapping[str, str],
        objects: Mapping[str, bytes],
        progress: Progress = lambda _: None,
    ) -> None:
        """Execute a phase; the first step that fails ends it, unless the step says otherwise.

        Args:
            phase: ``build``, ``validate`` or ``test``; a component without it has nothing to do in it.
            machine: where.
            values: of the parameters.
            objects: what buckets hold, by ``s3://bucket/key``.
            progress: told of each step.

        Raises:
            BadComponent: a parameter has no value, or a value has no parameter.
            StepFailed: naming the step, with the end of what it said.
        """
        known = {**{key: value for key, value in self.parameters.items() if value is not None}, **values}
        for wrong, why in (
            (set(values) - set(self.parameters), "has no such parameter"),
            (set(self.parameters) - set(known), "has a parameter without a value"),
        ):
            if wrong:
                raise BadComponent(f"{self.name} {why}: {', '.join(sorted(wrong))}")
        failed: StepFailed | None = None
        for step in self.phases.get(phase, ()):
            progress(f"{self.name}: {step.name}")
            inputs = self._filled(step.inputs, known)
            trouble = self._attempt(phase, step, inputs, machine, objects)
            if trouble is not None and step.on_failure == "Abort":
                raise trouble
            if trouble is not None and step.on_failure == "Continue":
                failed = failed or trouble
        if failed is not None:
            raise failed

    def _filled(self, value: Any, known: Mapping[str, str]) -> Any:
        """Put the parameters' values in place of their names."""
        if isinstance(value, list):
            return [self._filled(item, known) for item in value]
        if isinstance(value, dict):
            return {key: self._filled(item, known) for key, item in value.items()}
        if not isinstance(value, str):
            return value

        def filled(match: re.Match[str]) -> str:
            if match[1] not in known:
                raise BadComponent(f"{self.name}: {match[0]} has no value.")
            return known[match[1]]

        return _REFERENCE.sub(filled, value)

    def _attempt(
        self, phase: str, step: Step, inputs: Any, machine: Machine, objects: Mapping[str, bytes]
    ) -> StepFailed | None:
        trouble: StepFailed | None = None
        for _ in range(step.attempts):
            try:
                why, said = _execute(step, inputs, machine, objects)
            except ToolFailed as error:
                why, said = str(error).rstrip("."), ""
            if not why:
                return None
            trouble = StepFailed(self.name, phase, step.name, why, said)
        return trouble


def _execute(step: Step, inputs: Any, machine: Machine, objects: Mapping[str, bytes]) -> tuple[str, str]:
    """Execute a step once; return why it failed, nothing if it did not, and what it said."""
    if step.action == "S3Download":
        for item in inputs:
            if item["source"] not in objects:
                return f"{item['source']} does not exist", ""
            machine.put(objects[item["source"]], item["destination"])
        return "", ""
    done = machine.run("\n".join(inputs["commands"]), timeout_seconds=step.timeout_seconds)
    if done.returncode == _REBOOT:
        return "it asks for a reboot, which is not implemented here", done.stdout
    return (f"it ended with {done.returncode}" if done.returncode else ""), done.stdout


def _step(given: Mapping[str, Any]) -> Step:
    name, action, inputs = given["name"], given["action"], given["inputs"]
    if action not in _ACTIONS:
        raise BadComponent(f"{name}: the action {action} is not implemented; {', '.join(_ACTIONS)} are.")
    keys = {key for item in (inputs if isinstance(inputs, list) else [inputs]) for key in item}
    on_failure = given.get("onFailure", "Abort")
    wrong = sorted((set(given) - _STEP_KEYS) | (keys - _ACTIONS[action]))
    if wrong or on_failure not in _ON_FAILURE:
        raise BadComponent(f"{name}: not implemented: {', '.join(wrong) or on_failure}")
    seconds, attempts = given.get("timeoutSeconds", _DEFAULT_SECONDS), given.get("maxAttempts", 1)
    return Step(name, action, inputs, float(seconds), on_failure, int(attempts))
