"""The machine image's components, executed for real on this machine: in the root that the twin's nodes boot from.

The root is Debian's and has no GPU; the components are those of the pipeline, byte for byte.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local.twin.machines import base, tools
from infra.local.twin.machines.components import Component, StepFailed
from infra.local.twin.machines.offline import Root
from node_bootstrap.image import documents, source

_TEST = "s3://rehearsal/test.tar"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What was executed: the base's folder, and the seconds that each component took in it."""

    root: Path
    seconds: Mapping[str, float]


def rehearse(
    progress: Callable[[str], None],
    *,
    cache: Path | None = None,
    read: Callable[[str], str] = documents.document,
    prepare: str = "",
) -> Rehearsed:
    """Execute all components: build where the base is not there yet, then validate and test, which change nothing.

    Args:
        progress: told of each step.
        cache: where bases are kept; the user's own if left out.
        read: returns a component's document by its name.
        prepare: a script that is run first, over the base; for tests.

    Raises:
        StepFailed: naming component, phase and step.
        CannotHaveMachines: not root, or a program is missing.
    """
    tools.require("systemd-nspawn", "unshare", "mount")
    root = base.ensure(cache or base.cache_folder(), progress)
    took: dict[str, float] = {}
    tests = source.archive(source.TESTED)
    with _over(root) as machine:
        if prepare:
            done = machine.run(prepare, timeout_seconds=300)
            if done.returncode:
                raise StepFailed("rehearsal", "none", "prepare", f"it ended with {done.returncode}", done.stdout)
        for name, values in {
            "validate": {"SourceDigest": source.archive(source.INSTALLED).digest},
            "test": {"TestUri": _TEST, "TestDigest": tests.digest, "Kind": "cpu"},
        }.items():
            began = time.monotonic()
            component = Component.read(read(name))
            component.run(name, machine, values=values, objects={_TEST: tests.content}, progress=progress)
            took[name] = time.monotonic() - began
    return Rehearsed(root, took)


@contextlib.contextmanager
def _over(root: Path) -> Iterator[Root]:
    """Give a root over a base that nobody deletes meanwhile; what changes in it is gone afterwards."""
    held = base.hold(root)
    try:
        # beside the base: what changes must be on a file system that can lie over another one
        with tempfile.TemporaryDirectory(prefix="rehearsal-", dir=root.parent) as changes:
            yield Root(root, changes=Path(changes))
    finally:
        os.close(held)
