"""Who may import whom: the arrows of docs/architecture.md, read from the source without importing it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
OURS = ("infra", "stacks", "node_bootstrap", "fl_app")

#: Below the rooms that act: what a federation is, the plan of its stacks, and what a node is told.
_BELOW = (
    "infra.errors",
    "infra.remedies",
    "infra.progress",
    "infra.accounts",
    "infra.federation",
    "node_bootstrap",
    "stacks.plan",
)

#: Room to the rooms that it may import from, besides itself. A module belongs to the room with the longest name.
MAY_IMPORT = {
    "infra.errors": (),
    "infra.progress": ("infra.errors",),
    "infra.remedies": (),
    "infra.accounts": ("infra.errors", "infra.remedies", "infra.federation", "node_bootstrap"),
    "infra.federation": ("infra.errors",),
    "node_bootstrap": (),
    "stacks.plan": ("infra.errors", "infra.federation"),
    "stacks.permissions": ("infra.federation", "node_bootstrap"),
    "stacks.resource_policies": ("infra.federation", "node_bootstrap", "stacks.permissions"),
    "stacks": (
        "infra.errors",
        "infra.federation",
        "node_bootstrap",
        "stacks.plan",
        "stacks.permissions",
        "stacks.resource_policies",
    ),
    "infra.identity": ("infra.errors", "infra.federation"),
    "infra.nodes": (*_BELOW, "infra.identity"),
    "infra.preflight": (*_BELOW, "infra.nodes", "infra.deployment", "infra.images", "stacks.resource_policies"),
    "infra.cost": (*_BELOW,),
    "infra.images": _BELOW,
    "infra.local": _BELOW,
    "infra.deployment": (*_BELOW, "infra.nodes", "infra.identity"),
    "infra.handover": (*_BELOW, "infra.nodes", "infra.identity", "infra.deployment"),
    "infra.doctor": (*_BELOW, "infra.nodes"),
    "infra.cli": ("infra", "stacks", "node_bootstrap"),
    "infra": (),
    "fl_app": (),
}

#: Where the process must stay light, or the machine has nothing more, the packages of others that may be imported.
MAY_USE = {
    "infra.errors": (),
    "infra.remedies": (),
    "infra.federation": ("pydantic", "pydantic_core", "yaml"),
    "stacks.plan": (),
    "stacks.permissions": (),
    "stacks.resource_policies": (),
    "node_bootstrap": ("boto3", "botocore", "cryptography", "yaml"),
}

#: What the operator's side never loads: it runs the application as a process of its own.
HEAVY = {"torch", "fedml", "polars", "numpy", "pandas", "sklearn", "matplotlib", "wandb"}


def room(module: str, rooms: dict[str, tuple[str, ...]]) -> str | None:
    """Return the room that a module belongs to."""
    fitting = [name for name in rooms if module == name or module.startswith(f"{name}.")]
    return max(fitting, key=len, default=None)


def sources() -> Iterator[tuple[str, Path]]:
    """Yield the name and file of every module of ours."""
    for package in OURS:
        for file in sorted((CHECKOUT / package).rglob("*.py")):
            yield ".".join(file.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__"), file


def imports(module: str, text: str) -> set[str]:
    """Return the modules that a module imports, wherever in it the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: -node.level]
                base = ".".join([*package, *([node.module] if node.module else [])])
            # "from stacks import plan" imports stacks.plan where there is one.
            found |= {f"{base}.{alias.name}" if _is_module(f"{base}.{alias.name}") else base for alias in node.names}
    return found


def _is_module(name: str) -> bool:
    path = CHECKOUT.joinpath(*name.split("."))
    return name.split(".")[0] in OURS and (path.with_suffix(".py").exists() or path.is_dir())


def wrong_arrows(module: str, text: str) -> list[str]:
    """Return what a module imports although it may not."""
    own = room(module, MAY_IMPORT)
    light = room(module, MAY_USE)
    wrong = []
    for imported in sorted(imports(module, text)):
        top = imported.split(".")[0]
        if top in OURS:
            target = room(imported, MAY_IMPORT)
            allowed = own is not None and (target == own or room(imported, dict.fromkeys(MAY_IMPORT[own], ())))
        elif light is not None and top not in sys.stdlib_module_names:
            allowed = top in MAY_USE[light]
        else:
            allowed = top not in HEAVY or module.startswith("fl_app")
        if not allowed:
            wrong.append(f"{module} imports {imported}")
    return wrong


def test_no_module_imports_upwards_or_sideways():
    wrong = [arrow for module, file in sources() for arrow in wrong_arrows(module, file.read_text("utf-8"))]
    assert wrong == []


def test_every_folder_of_the_house_has_a_room():
    folders = {
        f"{package}.{folder.name}"
        for package in ("infra",)
        for folder in (CHECKOUT / package).iterdir()
        if folder.is_dir() and any(folder.glob("*.py"))
    }
    assert folders <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("infra.federation.load", "import torch"),
        ("infra.federation.load", "from stacks import plan"),
        ("infra.federation.load", "import boto3"),
        ("infra.federation.checks.network", "from infra.nodes import accounts"),
        ("infra.errors", "from infra.federation.model import Federation"),
        ("infra.identity.authority", "from infra.nodes.accounts import session"),
        ("infra.deployment.phases", "from infra.cli.main import main"),
        ("infra.nodes.release", "import fl_app.eicu"),
        ("infra.deployment.phases", "from stacks.app import build"),
        ("stacks.node", "from infra.deployment.phases import run"),
        ("stacks.plan", "from aws_cdk import App"),
        ("stacks.plan", "from stacks.app import build"),
        ("node_bootstrap.agent.boot", "import pydantic"),
        ("node_bootstrap.agent.boot", "from infra.errors import FederateError"),
        ("fl_app.learning.models", "def late():\n    from infra.federation.load import load_federation"),
        ("fl_app.learning.models", "from node_bootstrap import agent"),
        ("infra.cli.main", "import fl_app"),
        ("infra.cli.main", "if True:\n    import numpy as np"),
    ],
)
def test_negative_control_an_arrow_that_points_the_wrong_way_is_seen(module, text):
    assert wrong_arrows(module, text) != []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("infra.cli.main", "from infra.deployment.phases import run"),
        ("infra.deployment.phases", "from stacks.plan import DeploymentPlan"),
        ("infra.federation.load", "from infra.federation import source"),
        ("stacks.node", "from node_bootstrap.user_data import render"),
        ("fl_app.learning.models", "import torch"),
        ("infra.errors", "from dataclasses import dataclass"),
    ],
)
def test_an_arrow_that_points_down_is_allowed(module, text):
    assert wrong_arrows(module, text) == []
