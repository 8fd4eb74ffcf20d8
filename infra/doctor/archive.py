"""The archive: every piece redacted, with a list of what is in it, what was taken out and what could not be had."""

from __future__ import annotations

import html
import io
import os
import tarfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from infra.doctor.pieces import Missing, Piece
from infra.doctor.redact import redact
from infra.errors import FederateError

_INTRODUCTION = (
    "Collected by federate doctor. It holds no key, no credential and no patient's data: nothing of the kind is read, "
    "and whatever has the form of a secret or of a table's row was taken out of each file. Account ids are in it. "
    "Look through it before you hand it on."
)


class Exists(FederateError):
    """The file is there already, or cannot be written."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive: its size, and how many of what were taken out of it."""

    name: str
    about: str
    size: int
    taken: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return {"name": self.name, "about": self.about, "bytes": self.size, "taken_out": self.taken}


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written: ``size`` of the archive in bytes, its members, and what could not be had."""

    file: Path
    size: int
    members: tuple[Member, ...]
    missing: tuple[Missing, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return {
            "file": str(self.file),
            "bytes": self.size,
            "contents": [
                {"name": one.name, "about": one.about, "bytes": one.size, "taken_out": one.taken}
                for one in self.members
            ],
            "not_collected": [{"name": one.name, "about": one.about, "why": one.why} for one in self.missing],
        }


def write(path: Path, found: Sequence[Piece | Missing], *, title: str, lines: Sequence[str] = ()) -> Summary:
    """Write the archive, readable by its owner alone.

    Args:
        path: where to; ``.tar.gz``.
        found: what was collected.
        title: of the list of contents.
        lines: what stands above it: how the nodes are.

    Raises:
        Exists: there is such a file, or it cannot be written.
    """
    pieces = [one for one in found if isinstance(one, Piece)]
    missing = tuple(
        Missing(one.name, one.about, redact(one.why, home=Path.home())[0]) for one in found if isinstance(one, Missing)
    )
    texts, members = {}, []
    for piece in pieces:
        text, taken = redact(piece.text, public=piece.public, home=Path.home())
        texts[piece.name] = text
        members.append(Member(piece.name, piece.about, len(text.encode()), dict(taken)))
    told = [redact(line, home=Path.home())[0] for line in lines]
    readme = _readme(title, told, members, missing)
    contents = {"README.md": readme, "index.html": _index(title, told, members, missing), **texts}
    folder = PurePosixPath(path.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz") or "doctor")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in contents.items():
                _add(archive, f"{folder / name}", text.encode())
    except FileExistsError:
        raise Exists(f"{path} is there already.", remedy="Name another file: -o FILE.") from None
    except OSError as error:
        raise Exists(f"{path} cannot be written: {error.strerror}.", remedy="Name another file: -o FILE.") from None
    return Summary(path, path.stat().st_size, tuple(members), missing)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
    archive.addfile(entry, io.BytesIO(content))


def _readme(title: str, lines: Sequence[str], members: Sequence[Member], missing: Sequence[Missing]) -> str:
    rows = [f"| {one.name} | {one.about} | {one.size} | {_in_words(one.taken)} |" for one in members]
    gone = [f"| {one.name} | {one.about} | {_cell(one.why)} |" for one in missing]
    parts = [f"# {title}", "", _INTRODUCTION, "", *(f"- {line}" for line in lines), ""]
    parts += ["| file | what | bytes | taken out |", "|---|---|---|---|", *rows, ""]
    if gone:
        parts += ["## Could not be collected", "", "| file | what | why |", "|---|---|---|", *gone, ""]
    return "\n".join(parts)


def _index(title: str, lines: Sequence[str], members: Sequence[Member], missing: Sequence[Missing]) -> str:
    e = html.escape
    rows = "".join(
        f'<tr><td><a href="{e(one.name)}">{e(one.name)}</a><td>{e(one.about)}<td>{one.size}'
        f"<td>{e(_in_words(one.taken))}"
        for one in members
    )
    gone = "".join(f"<tr><td>{e(one.name)}<td>{e(one.about)}<td>{e(one.why)}" for one in missing)
    return (
        f'<!doctype html><meta charset="utf-8"><title>{e(title)}</title>'
        "<style>body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto}td,th{text-align:left;padding:.2em .8em "
        ".2em 0;vertical-align:top}</style>"
        f"<h1>{e(title)}</h1><p>{e(_INTRODUCTION)}</p><ul>{''.join(f'<li>{e(line)}' for line in lines)}</ul>"
        f"<table><tr><th>file<th>what<th>bytes<th>taken out{rows}</table>"
        + (f"<h2>Could not be collected</h2><table><tr><th>file<th>what<th>why{gone}</table>" if gone else "")
        + "\n"
    )


def _in_words(taken: dict[str, int]) -> str:
    return ", ".join(f"{count} × {kind}" for kind, count in Counter(taken).most_common())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
