"""The example federation, changed at will, and what synth makes of it."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.federation.digest import digest
from infra.federation.model import Federation
from stacks.nodejs import use_pinned_node
from stacks.plan import PLAN_FILE, DeploymentPlan

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

os.environ["CDK_VALIDATION"] = "false"  # what it would find, cfn-lint finds in tests/policies
use_pinned_node()

EXAMPLE = Path(__file__).parents[3] / "federation.yaml"

Data = dict[str, Any]
Template = dict[str, Any]


@dataclass(frozen=True)
class Assembly:
    """A folder of synthesised templates."""

    folder: Path

    @cached_property
    def bytes(self) -> dict[str, bytes]:
        """Templates by stack id, as written."""
        return {
            path.name.removesuffix(".template.json"): path.read_bytes()
            for path in sorted(self.folder.glob("*.template.json"))
        }

    @cached_property
    def templates(self) -> dict[str, Template]:
        """Templates by stack id."""
        return {name: json.loads(content) for name, content in self.bytes.items()}

    @cached_property
    def plan(self) -> DeploymentPlan:
        return DeploymentPlan.read(self.folder / PLAN_FILE)

    @cached_property
    def dependencies(self) -> dict[str, set[str]]:
        """Stack id → ids of the stacks that CDK deploys first."""
        artifacts = json.loads((self.folder / "manifest.json").read_text("utf-8"))["artifacts"]
        return {
            name: {other for other in artifact.get("dependencies", []) if not other.endswith(".assets")}
            for name, artifact in artifacts.items()
            if artifact["type"] == "aws:cloudformation:stack"
        }


Synth = Callable[[Data], Assembly]


@pytest.fixture
def data() -> Data:
    """The example federation, to be changed."""
    return copy.deepcopy(yaml.safe_load(EXAMPLE.read_text("utf-8")))


@pytest.fixture(scope="session")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Synth:
    """Synthesise a federation; the same one only once."""
    from stacks.app import synthesize

    made: dict[str, Assembly] = {}

    def run(data: Data) -> Assembly:
        federation = Federation.model_validate(data)
        key = digest(federation)
        if key not in made:
            made[key] = Assembly(synthesize(federation, outdir=tmp_path_factory.mktemp("cdk.out")))
        return made[key]

    return run


@pytest.fixture
def example(synth: Synth, data: Data) -> Assembly:
    """What synth makes of the example."""
    return synth(data)


@pytest.fixture
def elsewhere(data: Data) -> Data:
    """The example with hospital-b in another Region."""
    data["participants"][1]["region"] = "eu-central-1"
    data["images"]["eu-central-1"] = "ami-0fed0000000000002"
    return data


@pytest.fixture
def alone(data: Data) -> Data:
    """The example in one account."""
    data["single_account"] = True
    for participant in data["participants"]:
        participant["account"] = data["aggregator"]["account"]
    return data


def _of_type(template: Template, kind: str) -> dict[str, Any]:
    return {name: r["Properties"] for name, r in template["Resources"].items() if r["Type"] == kind}


@pytest.fixture
def of_type() -> Callable[[Template, str], dict[str, Any]]:
    """Return the properties of a template's resources of one type, by logical id."""
    return _of_type
