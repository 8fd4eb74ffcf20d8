"""What synth makes of a federation of two sites, and a site's kit."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))

from handed_over import DATA, Federated

from infra.deployment.assembly import Assembly
from infra.federation.model import Federation
from infra.handover.kit import Kit
from infra.nodes.release import Release, build
from stacks.nodejs import use_pinned_node
from stacks.plan import PLAN_FILE, DeploymentPlan

os.environ["CDK_VALIDATION"] = "false"
use_pinned_node()


@pytest.fixture(scope="session")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Federated]:
    """Synthesise a federation."""
    from stacks.app import synthesize

    def run(data: dict[str, Any]) -> Federated:
        federation = Federation.model_validate(data)
        folder = synthesize(federation, outdir=tmp_path_factory.mktemp("cdk.out"))
        return Federated(federation, Assembly(folder, DeploymentPlan.read(folder / PLAN_FILE)))

    return run


@pytest.fixture(scope="session")
def herz(synth: Callable[[dict[str, Any]], Federated]) -> Federated:
    return synth(DATA)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The real release."""
    return build(Federation.model_validate(DATA), tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="session")
def kit(herz: Federated, release: Release) -> Kit:
    """The kit of klinik-nord."""
    return herz.kit("klinik-nord", release)
