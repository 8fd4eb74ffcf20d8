"""What all commands share: which federation, which AWS, and in which form a script wants the answer."""

from __future__ import annotations

import json as json_
import os
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import typer

from infra.errors import FederateError
from infra.federation.load import load
from infra.federation.model import Federation
from infra.local.home import home


class NoHome(FederateError):
    """There is no place for the toolkit's local state."""

    exit_code = 4


class Aws(StrEnum):
    """Which AWS the commands reach."""

    REAL = "real"
    LOOPBACK = "loopback"


@dataclass(frozen=True)
class Context:
    """The global options, and what the command is for.

    Args:
        file: the federation's.
        aws: which AWS.
        json: whether a script reads the answer.
        makes_nodes: whether the command makes nodes, or the templates for it. Then each needs a machine image; what
            looks at nodes, or deletes them, must not fail because none is pinned (any more).
    """

    file: Path
    aws: Aws
    json: bool
    makes_nodes: bool = False

    @cached_property
    def federation(self) -> Federation:
        """The federation of the file; its warnings and notices are shown once."""
        loaded = load(self.file, without_images=not self.makes_nodes)
        for notice in loaded.notices:
            print(notice, file=sys.stderr)
        return loaded.federation

    @cached_property
    def home(self) -> Path:
        """Folder of the toolkit's local state, the user's alone: keys, and copies of patients' data, lie below it.

        Raises:
            NoHome: it cannot be made or written.
        """
        folder = home()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise NoHome(
                f"The folder of local state, {folder}, cannot be made: {error.strerror}.",
                remedy="FEDERATE_HOME names another.",
            ) from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise NoHome(
                f"The folder of local state, {folder}, is not writable.", remedy="FEDERATE_HOME names another."
            )
        return folder

    def reach_aws(self, federation: Federation | None = None) -> None:
        """Point every AWS client of this process, and of its children, at the AWS that was asked for.

        Args:
            federation: whose accounts there are on loopback; the one of the file if left out.
        """
        _ = self.home
        if self.aws is Aws.LOOPBACK:
            from infra.local import ensure_up
            from infra.local.twin.depth import parse

            depth = os.environ.get("FEDERATE_DEPTH")
            os.environ.update(ensure_up(federation or self.federation, parse(depth) if depth else None))

    def say(self, doing: str) -> None:
        """Tell a person what takes a while; standard output stays the result's."""
        print(doing, file=sys.stderr, flush=True)

    def answer(self, document: Any, text: str) -> None:
        """Print a command's result: the document for a script, the text for a person."""
        print(json_.dumps(document, indent=1, default=str) if self.json else text)


def context(ctx: typer.Context, *, makes_nodes: bool = False) -> Context:
    """Return the global options of a command; for ``makes_nodes`` see :class:`Context`."""
    found = ctx.find_object(Context)
    if found is None:
        raise RuntimeError("the command was not started by the federate command")
    return replace(found, makes_nodes=makes_nodes)
