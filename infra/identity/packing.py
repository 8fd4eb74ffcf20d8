"""The authority's folder as one text, for a secret; and what is known of the secret that holds it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from infra.identity.folder import (
    CERTIFICATE,
    ISSUED,
    KEY,
    NEXT_KEY,
    REVOKED,
    UnusableAuthority,
    alone,
    is_begun,
    put_folder,
    replace_file,
)
from infra.identity.revocation import Issued

_STORED = "stored.json"
_KEPT = (KEY, NEXT_KEY, CERTIFICATE, REVOKED)


def pack(folder: Path, now: datetime | None = None) -> str:
    """Return keys, certificates and lists; of what was issued, only what is still valid, so that it stays small.

    Raises:
        UnusableAuthority: a file cannot be read.
    """
    now = now or datetime.now(UTC)
    try:
        files = {name: (folder / name).read_text("utf-8") for name in _KEPT if (folder / name).exists()}
    except OSError as error:
        raise UnusableAuthority(
            f"{error.filename} cannot be read: {error.strerror}.", remedy="Make it a file that you can read."
        ) from None
    valid = [one for one in Issued.read(folder) if one.not_after > now]
    files[ISSUED] = "".join(
        json.dumps({**asdict(one), "not_after": one.not_after.isoformat()}, sort_keys=True) + "\n" for one in valid
    )
    return json.dumps(files, sort_keys=True)


def unpack(folder: Path, text: str) -> None:
    """Make a folder of it; one that is there already is kept beside it, under a name that says when.

    Raises:
        UnusableAuthority: the text is none that :func:`pack` makes.
    """
    try:
        files = {str(name): str(content).encode() for name, content in json.loads(text).items()}
        missing = {KEY, CERTIFICATE} - set(files)
    except (ValueError, AttributeError):
        files, missing = {}, {KEY, CERTIFICATE}
    if missing or not set(files) <= {*_KEPT, ISSUED}:
        raise UnusableAuthority(
            "What was stored is no authority of this toolkit's.", remedy="See the versions of the secret in AWS."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        if is_begun(folder):
            folder.rename(folder.with_name(f"{folder.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"))
        elif folder.exists():
            shutil.rmtree(folder)
        put_folder(folder, files)


def put_stored(folder: Path, version: str, digest: str) -> None:
    """Remember which version of the secret holds what is here."""
    replace_file(folder / _STORED, json.dumps({"version": version, "sha256": digest}).encode())


def read_stored(folder: Path) -> dict[str, str]:
    """Return the version of the secret that was last stored from here or fetched, and the digest of its text."""
    try:
        found = json.loads((folder / _STORED).read_text("utf-8"))
        return {"version": str(found["version"]), "sha256": str(found["sha256"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
