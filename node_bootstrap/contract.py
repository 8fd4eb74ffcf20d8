"""What a node and its own account's operator say to each other, and where: parameters, objects, states.

A node reads what is written for it and publishes what it has to say; nobody ever connects to it for that.
"""

from __future__ import annotations

import json
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


def release_key(digest: str) -> str:
    """Return where the release with this SHA-256 lies in the bucket."""
    return f"{RELEASE_PREFIX}{digest}.zip"


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
        if found.get("state") not in ("started", "stopped") or not isinstance(found.get("run"), str):
            raise Unreadable(f"the parameter {DESIRED} says {text!r}; a state, started or stopped, and a run are due")
        return cls(found["state"], found["run"])


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
            return cls(str(found["release"]), files)
        except (KeyError, TypeError, ValueError):
            raise Unreadable(f"{MANIFEST_KEY} lacks release or files") from None


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unreadable(f"{what} is not a JSON object")
    return found
