"""What this machine needs to deploy: the CDK command, Node.js, space, and a release that can be built."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.deployment.tools import find_cdk, tool_environment
from infra.errors import FederateError, Problem, Severity
from infra.federation.model import Federation
from infra.nodes.release import build

WHERE = "this machine"
#: Templates, logs, and a release with its copy that is built beside it.
_NEEDED_MIB, _COMFORTABLE_MIB = 256, 1024


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the operator sits: the federation, and the folder of the toolkit's local state."""

    federation: Federation
    home: Path


@dataclass(frozen=True, slots=True)
class LocalCheck:
    """One question to this machine."""

    id: str
    asks: str
    look: Callable[[Desk], Iterator[Problem]]


def _problem(error: FederateError) -> Problem:
    return Problem(WHERE, str(error.args[0] if error.args else error), "", error.remedy)


def cdk(_: Desk) -> Iterator[Problem]:
    """Find that the CDK command is missing."""
    try:
        find_cdk(os.environ)
    except FederateError as error:
        yield _problem(error)


def node_js(_: Desk) -> Iterator[Problem]:
    """Find that Node.js is missing or too old."""
    try:
        tool_environment(os.environ)
    except FederateError as error:
        yield _problem(error)


def space(desk: Desk) -> Iterator[Problem]:
    """Find disks that are nearly full: that of the local state, and that of temporary files."""
    for folder in dict.fromkeys((desk.home, Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free // 2**20
        if free < _COMFORTABLE_MIB:
            yield Problem(
                WHERE,
                f"{free} MiB are free below {folder}.",
                f"At least {_NEEDED_MIB} MiB for templates, logs and a release; dealt data takes more.",
                "Free space there; FEDERATE_HOME and TMPDIR name other places.",
                Severity.ERROR if free < _NEEDED_MIB else Severity.WARNING,
            )


def release(desk: Desk) -> Iterator[Problem]:
    """Find that what nodes are to run cannot be packed."""
    try:
        build(desk.federation, desk.home / "releases")
    except FederateError as error:
        yield _problem(error)


CHECKS = (
    LocalCheck("cdk", "Is the CDK command here?", cdk),
    LocalCheck("node", "Is a Node.js here that the CDK command runs on?", node_js),
    LocalCheck("disk", "Is there space for templates, logs and a release?", space),
    LocalCheck("release", "Can the release be built from what is installed here?", release),
)
