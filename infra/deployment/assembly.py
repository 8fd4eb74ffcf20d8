"""Synth: the federation's templates and plan in ``.federate/synth/<federation>``, made by ``app.py``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from infra.errors import FederateError
from infra.federation.images import lock_file
from infra.federation.model import Federation
from stacks.plan import PLAN_FILE, DeploymentPlan, StackPlan

CHECKOUT = Path(__file__).parents[2]
#: What a template is made from: the app, and everything of ours that it imports.
_SOURCES = (
    "app.py",
    "cdk.json",
    "infra/__init__.py",
    "infra/errors.py",
    "infra/federation",
    "stacks",
    "node_bootstrap",
)
_PACKAGES = ("aws-cdk-lib", "constructs", "jsii", "pydantic", "PyYAML")
_STAMP = "federate-inputs.json"


class SynthFailed(FederateError):
    """``app.py`` did not make the templates."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Assembly:
    """Synthesised templates and how they are deployed."""

    folder: Path
    plan: DeploymentPlan

    def resources(self, stack: StackPlan) -> list[Mapping[str, Any]]:
        """Return the resources of a stack's template, each with its ``Type`` and ``Properties``."""
        template = json.loads((self.folder / f"{stack.id}.template.json").read_text("utf-8"))
        return list(template.get("Resources", {}).values())


def synthesize(file: Path, federation: Federation, *, home: Path) -> Assembly:
    """Make templates and plan, or take those that are there if nothing that they are made from has changed.

    Args:
        file: the federation's file.
        federation: what is in it.
        home: folder of the toolkit's local state.

    Raises:
        SynthFailed: with what CDK says.
    """
    folder = home / "synth" / federation.name
    inputs = _inputs(file)
    if _is_current(folder, inputs):
        return Assembly(folder, DeploymentPlan.read(folder / PLAN_FILE))
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    _run_app(file, new)
    (new / _STAMP).write_text(json.dumps({"inputs": inputs, "outputs": _outputs(new)}, indent=1) + "\n", "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    return Assembly(folder, DeploymentPlan.read(folder / PLAN_FILE))


def _run_app(file: Path, folder: Path) -> None:
    # A node's image is a parameter. Whoever makes nodes has refused a federation without; who deletes them needs none.
    environment = {**os.environ, "FEDERATE_FILE": str(file.absolute()), "CDK_OUTDIR": str(folder)}
    environment["FEDERATE_WITHOUT_IMAGES"] = "1"
    environment.pop("CDK_CONTEXT_JSON", None)
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    said = (done.stderr or done.stdout).strip()
    if done.returncode == 0:
        return
    log = folder.with_name(f"{folder.name.removesuffix('.new')}.log")
    log.write_text(done.stdout + done.stderr, "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    is_ours = done.returncode == SynthFailed.exit_code and "Traceback" not in said
    words = said if is_ours else "\n".join(said.splitlines()[-3:])
    raise SynthFailed(f"Synth failed:\n{words}", remedy=f"All that was said is in {log}.")


def _is_current(folder: Path, inputs: str) -> bool:
    """Say whether the folder was made from these inputs and is as it was made."""
    try:
        stamp = json.loads((folder / _STAMP).read_text("utf-8"))
        return bool(stamp["inputs"] == inputs and stamp["outputs"] == _outputs(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _inputs(file: Path) -> str:
    """Return one digest of all that decides the templates: file, lock, sources, packages, Python, CDK's switches."""
    total = hashlib.sha256()
    for name in _PACKAGES:
        total.update(f"{name}={version(name)}\n".encode())
    switches = {name: value for name, value in sorted(os.environ.items()) if name.startswith("CDK_")}
    total.update(f"{sys.version}\n{json.dumps(switches)}\n{file.absolute()}\n".encode())
    lock = lock_file(file)
    is_readable = lock.is_file() and os.access(lock, os.R_OK)  # one that is not is told where the file is loaded
    for path in (file, *((lock,) if is_readable else ()), *_files()):
        total.update(f"{path}\n{_digest(path)}\n".encode())
    return total.hexdigest()


def _files() -> Iterator[Path]:
    for source in _SOURCES:
        path = CHECKOUT / source
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc")
        else:
            yield path


def _outputs(folder: Path) -> dict[str, str]:
    """Return the digest of each file in the folder; the locks that a running CDK command leaves there do not count."""
    return {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _STAMP and path.suffix != ".lock"
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
