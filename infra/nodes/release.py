"""The release: the one file of pure-Python wheels that travels to a node, the same bytes for the same sources.

It holds the application (``fl_app``, and nothing of the operator's side) and a wheel for each further distribution
whose plug-ins ``federation.yaml`` names. A hospital approves it by its digest, so it must not depend on when, where or
by which version of a tool it was made: every file in it is stored, with a fixed time and mode, in the order of names.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from infra.errors import FederateError
from infra.federation import registry
from infra.federation.model import Federation

_APPLICATION, _PACKAGE = "federate", "fl_app"
_EPOCH, _EPOCH_SECONDS = (1980, 1, 1, 0, 0, 0), "315532800"
_TAG = "py3-none-any"
_WHEEL = f"Wheel-Version: 1.0\nGenerator: federate\nRoot-Is-Purelib: true\nTag: {_TAG}\n".encode()
#: What an installation, or a signature that no longer fits, has left in the folder of metadata.
_LEFT_OUT = ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json")
_COMPILED = (".so", ".pyd", ".dll", ".dylib")
_LARGEST_MIB = 256
_INDEX = "index.json"

#: Relative path, with slashes, to content.
Files = dict[str, bytes]


class NotReleased(FederateError):
    """What ``federation.yaml`` names cannot travel to a node as it is installed here."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Release:
    """A release: the SHA-256 of its file, the file, and the names of the wheels in it."""

    digest: str
    path: Path
    wheels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """A distribution: the modules that its wheel must have, and the files of the wheel or of the project behind it."""

    name: str
    modules: tuple[str, ...]
    files: Files
    is_project: bool


def build(federation: Federation, folder: Path) -> Release:
    """Return the release of a federation, made unless it was made from the same sources before.

    Args:
        federation: names the data set, model and aggregation.
        folder: where releases are kept: ``<digest>.zip``, and an index by the digest of the sources.

    Raises:
        NotReleased: a plug-in is not installed, or by two packages; a distribution is compiled, too large, cannot be
            built or lacks the plug-in's module; two hold the same file; or the folder cannot be written.
    """
    try:
        sources = _sources(federation)
        key = _key(sources)
        return _made_before(folder, key) or _store(folder, key, _wheels(sources))
    except OSError as error:
        raise NotReleased(
            f"The release cannot be made: {error.filename or folder}: {error.strerror}.",
            remedy="Make it readable, or free space there, and try again.",
        ) from None


def _sources(federation: Federation) -> list[_Source]:
    training = federation.training
    modules: dict[str, set[str]] = {_APPLICATION: {_PACKAGE}}
    for group, plugin in (
        (registry.DATASETS, training.dataset),
        (registry.MODELS, training.model),
        (registry.AGGREGATIONS, training.aggregation),
    ):
        point = _point(group, plugin.name)
        if point.dist is not None:
            modules.setdefault(re.sub(r"[-_.]+", "-", point.dist.name).lower(), set()).add(point.module)
    return [_source(name, tuple(sorted(needed))) for name, needed in sorted(modules.items())]


def _point(group: str, name: str) -> EntryPoint:
    points = list(entry_points(group=group, name=name))
    if len(points) != 1:
        givers = ", ".join(sorted(point.dist.name for point in points if point.dist)) or "none"
        raise NotReleased(
            f"The packages installed here that give {name} to {group}: {givers}; one is due.",
            remedy="Uninstall all but one, or rename an entry point." if points else "Install the one that gives it.",
        )
    return points[0]


def _source(name: str, modules: tuple[str, ...]) -> _Source:
    # The first with a RECORD: an egg-info that lies in the working folder describes no installation.
    found = next((each for each in Distribution.discover(name=name) if each.read_text("RECORD")), None)
    if found is None:
        raise NotReleased(f"{name} has no RECORD of what it installed.", remedy=f"Install {name} again, with pip.")
    direct = json.loads(found.read_text("direct_url.json") or "{}")
    is_project = bool(direct.get("dir_info", {}).get("editable"))
    if is_project:
        folder = Path(url2pathname(urlsplit(direct["url"]).path))
        if not folder.is_dir():
            raise NotReleased(
                f"{name} is installed from {folder}, which is not there.", remedy="Install it from where it is now."
            )
        paths = dict(_project(folder, only=_PACKAGE if name == _APPLICATION else None))
    else:
        paths = dict(_installed(found))
    mebibytes = sum(path.stat().st_size for path in paths.values()) / 2**20
    if mebibytes > _LARGEST_MIB:
        raise NotReleased(
            f"{name} has {mebibytes:.0f} MiB of files; {_LARGEST_MIB} MiB are allowed in a release.",
            remedy="Data does not travel in it: move it out of the package's folder, to where data.source says.",
        )
    return _Source(name, modules, {inner: path.read_bytes() for inner, path in paths.items()}, is_project)


def _installed(found: Distribution) -> Iterator[tuple[str, Path]]:
    """Yield what an installation put into the site folder; scripts lie outside it."""
    for path in found.files or ():
        if not path.is_absolute() and not {"..", "__pycache__"} & set(path.parts):
            yield path.as_posix(), Path(str(path.locate()))


def _project(folder: Path, only: str | None) -> Iterator[tuple[str, Path]]:
    """Yield the sources in a folder, or what it takes to build one package of it."""
    for root, folders, names in os.walk(folder):
        here = Path(root)
        folders[:] = [name for name in folders if not _is_litter(here / name, folder)]
        if only and here == folder:
            folders[:] = [only]
            names = [name for name in names if name in ("pyproject.toml", "README.md")]
        yield from ((path.relative_to(folder).as_posix(), path) for path in map(here.joinpath, names) if path.is_file())


def _is_litter(path: Path, project: Path) -> bool:
    """Return whether a folder is none of a project's sources: hidden, built, cached or an environment."""
    is_built = path.parent == project and path.name in ("build", "dist")
    is_made = path.name == "__pycache__" or path.suffix == ".egg-info" or (path / "pyvenv.cfg").exists()
    return is_built or is_made or path.name.startswith(".")


def _key(sources: Sequence[_Source]) -> str:
    """Return the digest of all that a release is made from; what makes it is part of that."""
    state = [
        [source.name, source.modules, source.is_project, {name: _sha256(file) for name, file in source.files.items()}]
        for source in sources
    ]
    return _sha256(json.dumps([_sha256(Path(__file__).read_bytes()), state], sort_keys=True).encode())


def _wheels(sources: Sequence[_Source]) -> Files:
    wheels, origin = Files(), dict[str, str]()
    for source in sources:
        files, info = _pure(source)
        for module in source.modules:
            path = module.replace(".", "/")
            if not {f"{path}.py", f"{path}/__init__.py"} & files.keys():
                raise NotReleased(
                    f"The wheel of {source.name} lacks the module {module}, which a plug-in of it names.",
                    remedy="List the module among its packages, or install the package again.",
                )
        for name in files:
            if name in origin:
                raise NotReleased(
                    f"{source.name} and {origin[name]} both hold {name}.",
                    remedy="On a node all lie in one folder: rename one, or leave it out of its package.",
                )
            origin[name] = source.name
        wheels[f"{info.removesuffix('.dist-info')}-{_TAG}.whl"] = _zipped(files | _record(files, info))
    return wheels


def _pure(source: _Source) -> tuple[Files, str]:
    """Return the files of a distribution's wheel, less RECORD, and its folder of metadata."""
    found = _built(source) if source.is_project else source.files
    info = next(name for name in found if name.endswith(".dist-info/METADATA")).partition("/")[0]
    wheel = message_from_bytes(found.get(f"{info}/WHEEL", b""))
    foreign = [tag for tag in wheel.get_all("Tag", []) if not tag.endswith("-none-any")]
    compiled = [name for name in found if name.endswith(_COMPILED)]
    if wheel.get("Root-Is-Purelib", "").lower() != "true" or foreign or compiled:
        raise NotReleased(
            f"{source.name} holds compiled code ({', '.join([*foreign, *compiled][:3]) or 'Root-Is-Purelib: false'}); "
            "a release holds Python only.",
            remedy="Compiled code must be on the machine image; keep it out of the package that names the plug-in.",
        )
    left_out = {f"{info}/{name}" for name in _LEFT_OUT}
    files = {
        name: content
        for name, content in found.items()
        if name not in left_out
        and not re.match(r"[^/]+\.data/", name)  # scripts and the like, which lie outside the site folder
        and (source.name != _APPLICATION or name.startswith((f"{_PACKAGE}/", f"{info}/")))
    }
    return files | {f"{info}/WHEEL": _WHEEL}, info


def _built(source: _Source) -> Files:
    """Build the wheel of a project away from its folder, which stays as it is."""
    with tempfile.TemporaryDirectory(prefix="federate-release-") as temporary:
        project, out = Path(temporary, "project"), Path(temporary, "wheel")
        for name, content in source.files.items():
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        done = subprocess.run(  # noqa: S603 - our own interpreter, a list, no shell
            [sys.executable, "-P", "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(project)],
            cwd=temporary,
            env={**os.environ, "SOURCE_DATE_EPOCH": _EPOCH_SECONDS},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if re.search(r": No module named build$", done.stdout, re.MULTILINE):
            raise NotReleased(
                f"{source.name} is installed from its sources; building its wheel takes the package build.",
                remedy=f"{sys.executable} -m pip install build",
            )
        if done.returncode != 0:
            words = "\n    ".join(done.stdout.splitlines()[-15:])
            raise NotReleased(f"No wheel can be built of {source.name}:\n    {words}")
        (wheel,) = out.glob("*.whl")
        with ZipFile(wheel) as built:
            return {member.filename: built.read(member) for member in built.infolist() if not member.is_dir()}


def _record(files: Files, info: str) -> Files:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow([name, f"sha256={digest}", len(content)])
    rows.writerow([f"{info}/RECORD", "", ""])
    return {f"{info}/RECORD": text.getvalue().encode()}


def _zipped(files: Files) -> bytes:
    """Return a zip of files; stored, since what deflate makes depends on the version of zlib."""
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_STORED) as zipped:
        for name in sorted(files):
            member = ZipInfo(name, _EPOCH)
            member.create_system = 3  # Unix, whose modes these are
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            zipped.writestr(member, files[name])
    return packed.getvalue()


def _made_before(folder: Path, key: str) -> Release | None:
    try:
        entry = _index(folder)[key]
        release = Release(entry["digest"], folder / f"{entry['digest']}.zip", tuple(entry["wheels"]))
        return release if _sha256(release.path.read_bytes()) == release.digest else None
    except (KeyError, TypeError, FileNotFoundError):
        return None


def _store(folder: Path, key: str, wheels: Files) -> Release:
    content = _zipped(wheels)
    release = Release(_sha256(content), folder / f"{_sha256(content)}.zip", tuple(sorted(wheels)))
    folder.mkdir(parents=True, exist_ok=True)
    _replace(release.path, content)
    index = _index(folder) | {key: {"digest": release.digest, "wheels": release.wheels}}
    _replace(folder / _INDEX, json.dumps(index, indent=1).encode())
    return release


def _index(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / _INDEX).read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}  # the index only saves work


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
