"""The authority's folder: key and certificate, which come into being together, and the list of what was issued."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.errors import FederateError

_KEY, _CERTIFICATE, _ISSUED = "key.pem", "certificate.pem", "issued.jsonl"


class UnusableAuthority(FederateError):
    """The authority's folder is damaged, open to others, of another federation, or out of date."""

    exit_code = 3


def renewal(folder: Path) -> str:
    """Return what to do where an authority is lost."""
    return f"Restore {folder} from a backup, or move it away: then a new authority is made, and every node enrols anew."


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
        if not _is_begun(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _alone(folder.with_name(f".{folder.name}.lock")):
                if not _is_begun(folder):
                    _put(folder, *make())
        certificate = (folder / _CERTIFICATE).read_bytes()
        return _read_key(folder / _KEY), certificate
    except OSError as error:
        is_lost = isinstance(error, FileNotFoundError)
        raise UnusableAuthority(
            f"The authority in {folder} cannot be used: {error.filename or folder}: {error.strerror}.",
            remedy=renewal(folder) if is_lost else f"Make {folder} a folder that you can read and write.",
        ) from None


def record_issued(folder: Path, entry: dict[str, str]) -> None:
    """Add one line to the list of issued certificates; it is durable when this returns.

    Raises:
        UnusableAuthority: it cannot be written.
    """
    path = folder / _ISSUED
    try:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            is_torn = _last_byte(path) not in (b"", b"\n")  # by a crash; what is whole begins on a line of its own
            file.write((b"\n" if is_torn else b"") + json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _sync(folder)
    except OSError as error:
        raise UnusableAuthority(
            f"{path} cannot be written: {error.strerror}; the certificate of {entry.get('node')} was not given out.",
            remedy="Every certificate is listed there first. Free space, or make the file writable, and try again.",
        ) from None


def _is_begun(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _put(folder: Path, key: bytes, certificate: bytes) -> None:
    beside = folder.with_name(f".{folder.name}.new")
    if beside.exists():  # from a crash; nothing was ever signed with it
        shutil.rmtree(beside)
    beside.mkdir(mode=0o700)
    for name, content in ((_CERTIFICATE, certificate), (_KEY, key)):
        with os.fdopen(os.open(beside / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    _sync(beside)
    beside.replace(folder)
    _sync(folder.parent)


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
