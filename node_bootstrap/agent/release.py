"""Unpacking a release: the one file of pure-Python wheels that a node runs, if it is the one that was approved."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import stat
import zlib
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

#: Bytes that a release may have, packed or unpacked.
LIMIT = 512 * 2**20

_DIGEST = re.compile(r"[0-9a-f]{64}")
_OURS = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\.new")
_ENCRYPTED = 0x1
_CACHE = "__pycache__"


class ReleaseError(Exception):
    """A release is not the approved one, is damaged, or holds what does not belong in one."""


def unpack(archive: Path, digest: str, folder: Path, *, limit: int = LIMIT) -> Path:
    """Unpack the wheels of a release side by side, and return the folder that belongs on PYTHONPATH.

    A folder that is there is used again if it holds what the release holds, and replaced otherwise, as after a crash.
    Other releases in ``folder`` are removed: call it when nothing runs from them.

    Args:
        archive: the release.
        digest: SHA-256 of the approved release, 64 lower-case hexadecimal digits.
        folder: where releases are unpacked; this one goes into ``folder/<digest>``.
        limit: bytes that the release may have, packed or unpacked.

    Raises:
        ReleaseError: the digest is another, the release is refused, or it cannot be read or written.
    """
    if not _DIGEST.fullmatch(digest):
        raise ReleaseError(f"{digest[:80]!r} is not a digest: 64 lower-case hexadecimal digits are due")
    target, beside = folder / digest, folder / f".{digest}.new"
    try:
        # What was verified is what is unpacked, whatever becomes of the file meanwhile.
        files = _contents(_verified(archive, digest, limit), archive, limit)
        if not _holds(target, files):
            _remove(beside)
            for name, content in files.items():
                path = beside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            _remove(target)
            beside.rename(target)
        for other in folder.iterdir():
            if other != target and _OURS.fullmatch(other.name):
                _remove(other)
    except OSError as error:
        where = error.filename or folder
        raise ReleaseError(f"the release cannot be unpacked into {folder}: {where}: {error.strerror}") from None
    return target


def _verified(archive: Path, digest: str, limit: int) -> bytes:
    with archive.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ReleaseError(f"{archive} has more than {limit} bytes, which is the most that a release may have")
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ReleaseError(f"{archive} has the SHA-256 {found}; the approved release has {digest}: it is not unpacked")
    return content


def _contents(release: bytes, archive: Path, limit: int) -> dict[str, bytes]:
    """Return the files of all wheels, by their relative path."""
    files: dict[str, bytes] = {}
    origin: dict[str, str] = {}
    left = limit
    for wheel, packed in _members(release, f"{archive}", limit):
        if "/" in wheel or not wheel.endswith(".whl"):
            raise ReleaseError(f"{archive} holds {wheel!r}; a release holds wheels and nothing else")
        inside = dict(_members(packed, f"{wheel} in {archive}", left))
        left -= sum(map(len, inside.values()))
        _refuse_compiled(wheel, inside)
        for name in inside:
            if name in origin:
                raise ReleaseError(f"{wheel} and {origin[name]} in {archive} both hold {name}")
            origin[name] = wheel
        files |= inside
    if not files:
        raise ReleaseError(f"{archive} holds no wheel")
    for name in files:
        above = next((str(path) for path in PurePosixPath(name).parents if str(path) in files), None)
        if above:
            raise ReleaseError(f"{archive} holds {above} as a file and as the folder of {name}")
    return files


def _members(packed: bytes, what: str, limit: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file of a zip; nothing larger than it says, and no more than the limit."""
    try:
        with ZipFile(io.BytesIO(packed)) as zipped:
            members = zipped.infolist()
            seen: set[str] = set()
            for member in members:
                _refuse_unsafe(member, what)
                if member.filename in seen:
                    raise ReleaseError(f"{what} holds {member.filename} twice")
                seen.add(member.filename)
            if sum(member.file_size for member in members) > limit:
                raise ReleaseError(f"{what} is larger than {limit} bytes unpacked, which is the most that is left")
            for member in members:
                if not member.is_dir():
                    with zipped.open(member) as file:
                        yield member.filename, file.read(member.file_size + 1)
    except (BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise ReleaseError(f"{what} is damaged: {error}") from None


def _refuse_unsafe(member: ZipInfo, what: str) -> None:
    name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
    parts = name.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or set(name) & set("\\:\0"):
        raise ReleaseError(f"{what} holds {name!r}, which is not a plain relative path")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ReleaseError(f"{what} holds {name}, which is a link or a device; files are allowed")
    if member.flag_bits & _ENCRYPTED or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ReleaseError(f"{what} holds {name} encrypted or compressed otherwise than by deflate")


def _refuse_compiled(wheel: str, inside: dict[str, bytes]) -> None:
    notes = [name for name in inside if re.fullmatch(r"[^/]+\.dist-info/WHEEL", name)]
    pure = message_from_bytes(inside[notes[0]]).get("Root-Is-Purelib", "") if len(notes) == 1 else "nothing"
    if pure.strip().lower() != "true":
        raise ReleaseError(
            f"{wheel} is not a pure-Python wheel (Root-Is-Purelib: {pure}); what is compiled must be on the image"
        )


def _holds(target: Path, files: dict[str, bytes]) -> bool:
    """Return whether a folder holds these files and, besides what Python caches there, nothing else."""
    if target.is_symlink() or not target.is_dir():
        return False
    there = {
        str(path.relative_to(target)): path
        for path in target.rglob("*")
        if path.is_symlink() or not (path.is_dir() or path.parent.name == _CACHE)
    }
    return there.keys() == files.keys() and all(
        not path.is_symlink() and path.stat().st_size == len(files[name]) and path.read_bytes() == files[name]
        for name, path in there.items()
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
