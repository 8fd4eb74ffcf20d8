"""The authority's folder: key and certificate, which come into being together, and what was issued and revoked.

While the authority is rotated there is more: certificate.pem holds two certificates, and next-key.pem the key of the
second until it is the one that signs. Which step a rotation has come to follows from these files and from nothing else:
each step ends with one rename.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.errors import FederateError

KEY, CERTIFICATE, NEXT_KEY = "key.pem", "certificate.pem", "next-key.pem"
ISSUED, REVOKED = "issued.jsonl", "revoked.jsonl"


class UnusableAuthority(FederateError):
    """The authority's folder is damaged, open to others, of another federation, or out of date."""

    exit_code = 3


def renewal(folder: Path) -> str:
    """Return what to do where an authority is lost."""
    return (
        f"Restore {folder} from a backup (federate identity fetch, if it was stored). If there is none, move it away: "
        "then a new authority is made, and every node enrols anew (federate identity start-over)."
    )


def read_or_make(folder: Path, make: Callable[[], tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """Return the authority's key and certificate, made if the folder is not there or empty.

    The folder is filled beside its place and renamed, so that it is there with both or not at all; whoever comes
    while another process makes it waits, and reads the other's.

    Args:
        folder: the authority's alone.
        make: returns a new key and its certificate, PEM.

    Raises:
        UnusableAuthority: a file is missing or cannot be read, or others may read the key.
    """
    try:
        if not is_begun(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _alone(folder.with_name(f".{folder.name}.lock")):
                if not is_begun(folder):
                    key, certificate = make()
                    put_folder(folder, {CERTIFICATE: certificate, KEY: key})
        certificate = (folder / CERTIFICATE).read_bytes()
        return _read_key(folder / KEY), certificate
    except OSError as error:
        is_lost = isinstance(error, FileNotFoundError)
        raise UnusableAuthority(
            f"The authority in {folder} cannot be used: {error.filename or folder}: {error.strerror}.",
            remedy=renewal(folder) if is_lost else f"Make {folder} a folder that you can read and write.",
        ) from None


def read_next_key(folder: Path) -> bytes | None:
    """Return the key that is to sign next; None where no rotation has begun.

    Raises:
        UnusableAuthority: others may read it, or it cannot be read.
    """
    try:
        return _read_key(folder / NEXT_KEY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableAuthority(
            f"{folder / NEXT_KEY} cannot be read: {error.strerror}.", remedy="Make it a file that you can read."
        ) from None


def put_next_key(folder: Path, key: bytes) -> None:
    """Keep the key that is to sign next."""
    replace_file(folder / NEXT_KEY, key)


def put_certificates(folder: Path, certificates: bytes) -> None:
    """Keep the certificates of all authorities that are to be trusted."""
    replace_file(folder / CERTIFICATE, certificates)


def take_next_key(folder: Path) -> None:
    """Let the next key sign from now on; the one before is gone."""
    (folder / NEXT_KEY).replace(folder / KEY)
    _sync(folder)


def record(folder: Path, name: str, entry: Mapping[str, object], *, otherwise: str) -> None:
    """Add one line to a list; it is durable when this returns.

    Args:
        folder: the authority's.
        name: ``ISSUED`` or ``REVOKED``.
        entry: the line.
        otherwise: what has not happened where it cannot be written, for the error.

    Raises:
        UnusableAuthority: it cannot be written.
    """
    path = folder / name
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            is_torn = _last_byte(path) not in (b"", b"\n")  # by a crash; what is whole begins on a line of its own
            file.write((b"\n" if is_torn else b"") + json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _sync(folder)
    except OSError as error:
        raise UnusableAuthority(
            f"{path} cannot be written: {error.strerror}; {otherwise}.",
            remedy="It is written there first, always. Free space, or make the file writable, and try again.",
        ) from None


def entries(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the lines of a list; one that a crash has torn was never acted upon, and is left out.

    Raises:
        UnusableAuthority: it cannot be read.
    """
    try:
        lines = (folder / name).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnusableAuthority(
            f"{folder / name} cannot be read: {error.strerror}.", remedy="Make it a file that you can read."
        ) from None
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return [entry for entry in found if isinstance(entry, dict)]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let no other process change the folder meanwhile."""
    with _alone(folder.with_name(f".{folder.name}.lock")):
        yield


def is_begun(folder: Path) -> bool:
    """Say whether there is an authority, whole or not."""
    return folder.is_dir() and any(folder.iterdir())


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def put_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder, with these files or not at all; :func:`alone` must be held."""
    beside = folder.with_name(f".{folder.name}.new")
    if beside.exists():  # from a crash; nothing was ever signed with it
        shutil.rmtree(beside)
    beside.mkdir(mode=0o700)
    for name, content in files.items():
        _write(beside / name, content)
    _sync(beside)
    beside.replace(folder)
    _sync(folder.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in one durable step."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # from a crash
    _write(part, content)
    part.replace(path)
    _sync(path.parent)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_key(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise UnusableAuthority(
                f"{path} may be used by others than its owner: its mode is {mode:04o}; 0600 is allowed.",
                remedy=f"chmod 600 {path}. Whoever could read it can pass for any node: if that may have happened, "
                "move the folder away, so that a new authority is made and every node enrols anew.",
            )
        return file.read()


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return b""
        file.seek(-1, os.SEEK_END)
        return file.read()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
