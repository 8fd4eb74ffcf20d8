"""What a node and its own account's operator say to each other, and where: parameters, objects, states.

A node reads what is written for it and publishes what it has to say; nobody ever connects to it for that.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

# Parameters, below the node's prefix in its own account's parameter store.
DESIRED = "desired"
APPROVED_RELEASE = "approved-release"
CERTIFICATE = "certificate"
AUTHORITY = "authority"
STATE = "state"
REQUEST = "csr"

# Objects in the node's own bucket.
RUN_PREFIX = "run/"
RELEASE_PREFIX = "releases/"
DATA_PREFIX = "data/"
RESULTS_PREFIX = "results/"  # then the name of the start, as in Desired
#: Written last: names the release, and the run files with their digests.
MANIFEST_KEY = f"{RUN_PREFIX}manifest.json"

#: A run's name stands in an object's key, and in a folder's name on the operator's side.
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_QUOTED_CHARACTERS = 80


def release_key(digest: str) -> str:
    """Return where the release with this SHA-256 lies in the bucket."""
    return f"{RELEASE_PREFIX}{digest}.zip"


def is_run_name(text: str) -> bool:
    """Say whether a text can name a start: letters, digits, and what a single folder's name may hold besides."""
    return _RUN.fullmatch(text) is not None


class NodeState(StrEnum):
    """What a node says of itself."""

    BOOTING = "booting"
    READY = "ready"
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class Unreadable(ValueError):
    """A parameter or object does not hold what the contract says."""


@dataclass(frozen=True, slots=True)
class Desired:
    """What the operator wants of a node. ``run`` names one start: what has ended is not begun again under its name."""

    state: Literal["started", "stopped"]
    run: str = ""

    def text(self) -> str:
        """Return the parameter's value."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str | None) -> Desired:
        """Read the parameter; a node of which nothing was ever wanted is stopped.

        Raises:
            Unreadable: it says something else.
        """
        if text is None:
            return cls("stopped")
        found = _object(text, DESIRED)
        state, run = found.get("state"), found.get("run")
        is_run = isinstance(run, str) and (is_run_name(run) or (state == "stopped" and not run))
        if state not in ("started", "stopped") or not is_run:
            said = text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…"
            raise Unreadable(f"the parameter {DESIRED} says {said!r}; a state, started or stopped, and a run are due")
        return cls(state, str(run))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a node is to run.

    Args:
        release: SHA-256 of the release.
        files: run file to SHA-256.
    """

    release: str
    files: dict[str, str]

    def text(self) -> str:
        """Return the object's content."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, text: str) -> Manifest:
        """Read the object.

        Raises:
            Unreadable: it is not a manifest.
        """
        found = _object(text, MANIFEST_KEY)
        try:
            files = {str(name): str(digest) for name, digest in dict(found["files"]).items()}
            release = str(found["release"])
        except (KeyError, TypeError, ValueError):
            raise Unreadable(f"{MANIFEST_KEY} lacks release or files") from None
        if not _DIGEST.fullmatch(release):
            raise Unreadable(f"{MANIFEST_KEY} names {release[:_QUOTED_CHARACTERS]!r}, which is no release's digest")
        return cls(release, files)


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unreadable(f"{what} is not a JSON object")
    return found
