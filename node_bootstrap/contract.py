"""What a node and its own account's operator say to each other, and where: parameters, objects, states.

A node reads what is written for it and publishes what it has to say; nobody ever connects to it for that.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

# Parameters, below the node's prefix in its own account's parameter store.
DESIRED = "desired"
APPROVED_RELEASE = "approved-release"
CERTIFICATE = "certificate"
#: One certificate of an authority, or several, one after the other: all that the node is to trust now.
AUTHORITY = "authority"
#: Names one rotation: the node makes a new key for each name that it has not seen yet.
ROTATE = "rotate"
#: At the aggregator only: serial numbers of revoked certificates, a JSON list; it goes on in ``revoked-2`` and so on.
REVOKED = "revoked"
STATE = "state"
REQUEST = "csr"
#: The public keys by which the node's SSH server is known, one a line as OpenSSH writes them: ``ssh-ed25519 AAAA…``.
HOST_KEYS = "ssh-host-keys"

# Objects in the node's own bucket.
RUN_PREFIX = "run/"
RELEASE_PREFIX = "releases/"
DATA_PREFIX = "data/"
RESULTS_PREFIX = "results/"  # then the name of the start, as in Desired
#: Names the release and holds the run files: one object, so that a node never finds a part of what was written.
MANIFEST_KEY = f"{RUN_PREFIX}manifest.json"

#: A run's name stands in an object's key, and in a folder's name on the operator's side.
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SERIAL = re.compile(r"[0-9a-f]{1,40}")  # RFC 5280, 4.1.2.2: no more than 20 octets
_SERIALS_PER_PARAMETER = 90  # of 43 bytes each; a parameter holds 4096
_QUOTED_CHARACTERS = 80
#: How much of an authority's SHA-256 names it where a node tells what it trusts.
_AUTHORITY_NAME_CHARACTERS = 16


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


#: The reason by which a node that is stopped says that it is so for good.
CANCELLED = "the run was cancelled"


class Unreadable(ValueError):
    """A parameter or object does not hold what the contract says."""


@dataclass(frozen=True, slots=True)
class Desired:
    """What the operator wants of a node. ``run`` names one start: what has ended is not begun again under its name.

    ``cancelled`` is ``stopped`` for good: what was learned so far is given up.
    """

    state: Literal["started", "stopped", "cancelled"]
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
        if state not in ("started", "stopped", "cancelled") or not is_run:
            said = text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…"
            raise Unreadable(
                f"the parameter {DESIRED} says {said!r}; a state (started, stopped or cancelled) and a run are due"
            )
        return cls(state, str(run))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a node is to run.

    Args:
        release: SHA-256 of the release.
        files: run file to its text.
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
            files = {str(name): str(text) for name, text in dict(found["files"]).items()}
            release = str(found["release"])
        except (KeyError, TypeError, ValueError):
            raise Unreadable(f"{MANIFEST_KEY} lacks release or files") from None
        if not _DIGEST.fullmatch(release):
            raise Unreadable(f"{MANIFEST_KEY} names {release[:_QUOTED_CHARACTERS]!r}, which is no release's digest")
        return cls(release, files)


@dataclass(frozen=True, slots=True)
class Held:
    """What a node says of its identity, in its state, once it is in use.

    Args:
        serial: of its certificate.
        trusts: the authorities that it trusts, each as :func:`authority_name` names it.
        rotation: the rotation that its key was made for; empty for its first key.
        revoked: how many certificates it refuses because they are revoked; the aggregator's only.
        problem: why it has not taken what it was given last; empty where it has.
    """

    serial: str
    trusts: tuple[str, ...]
    rotation: str = ""
    revoked: int = 0
    problem: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as it stands in the state."""
        return {**asdict(self), "trusts": list(self.trusts)}

    @classmethod
    def read(cls, state: str | None) -> Held | None:
        """Read it from a node's state; None where the node says nothing of it."""
        try:
            found = json.loads(state or "")["identity"]
            trusts = tuple(str(name) for name in found["trusts"])
            problem = str(found["problem"])
            return cls(str(found["serial"]), trusts, str(found["rotation"]), int(found["revoked"]), problem)
        except (ValueError, KeyError, TypeError):
            return None


def authority_name(der: bytes) -> str:
    """Return the short name of an authority, by its certificate."""
    return hashlib.sha256(der).hexdigest()[:_AUTHORITY_NAME_CHARACTERS]


def revoked_parameters(serials: Iterable[str]) -> dict[str, str]:
    """Return the parameters that name these serial numbers: ``revoked``, and further ones where one cannot hold all."""
    names = sorted(set(serials))
    parts = [names[start : start + _SERIALS_PER_PARAMETER] for start in range(0, len(names), _SERIALS_PER_PARAMETER)]
    return {
        f"{REVOKED}-{number}" if number > 1 else REVOKED: json.dumps(part, separators=(",", ":"))
        for number, part in enumerate(parts or [[]], start=1)
    }


def read_revoked(told: Mapping[str, str]) -> tuple[str, ...] | None:
    """Read them; None where nobody ever said anything.

    Raises:
        Unreadable: one is no list of serial numbers.
    """
    texts = {name: text for name, text in told.items() if name == REVOKED or name.startswith(f"{REVOKED}-")}
    found: set[str] = set()
    for name, text in texts.items():
        try:
            part = json.loads(text)
        except ValueError:
            part = None
        if not isinstance(part, list) or not all(isinstance(one, str) and _SERIAL.fullmatch(one) for one in part):
            raise Unreadable(f"the parameter {name} is not a list of serial numbers")
        found.update(part)
    return tuple(sorted(found)) if texts else None


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unreadable(f"{what} is not a JSON object")
    return found
