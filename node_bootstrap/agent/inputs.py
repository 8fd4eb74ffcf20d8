"""What a node is given at each start: run files, the release, and at a site the hospital's own data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from node_bootstrap.agent.account import Item
from node_bootstrap.agent.release import ReleaseError, unpack
from node_bootstrap.contract import DATA_PREFIX, MANIFEST_KEY, Manifest, Unreadable, release_key

_INDEX = "data-index.json"


class InputsError(Exception):
    """What the node was given is not whole, or is not what its account approved; trying again does not help."""


class Bucket(Protocol):
    """The node's bucket, as :class:`node_bootstrap.agent.account.Account` reads it."""

    def read(self, key: str) -> bytes | None:
        """Return an object, or None."""

    def download(self, key: str, path: Path) -> bool:
        """Write an object to a file; return whether there is one."""

    def items(self, prefix: str) -> Iterable[Item]:
        """Return the objects under a prefix."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Folders to run with; ``release`` is the release's digest, ``files`` are the run files' texts."""

    config: Path
    data: Path
    code: Path
    release: str
    files: Mapping[str, str] = field(default_factory=dict)


def fetch(
    bucket: Bucket, root: Path, *, approved: str | None, with_data: bool, say: Callable[[str], None] = lambda _: None
) -> Inputs:
    """Fetch all that a run needs; what is there already is not fetched again.

    Args:
        bucket: the node's own.
        root: folder on the node's root volume.
        approved: the digest that this account's admin has approved, or None.
        with_data: whether the node has data of its own.
        say: told of what takes long.

    Raises:
        InputsError: something is missing or has another digest than it should.
    """
    manifest = _manifest(bucket)
    _check_approval(manifest.release, approved)
    code = _release(bucket, root / "releases", manifest.release, say)
    config = _run_files(root / "config", manifest)
    data = root / "data"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if with_data:
        _data(bucket, data, root / _INDEX, say)
    return Inputs(config, data, code, manifest.release, manifest.files)


def refresh(bucket: Bucket, inputs: Inputs) -> Inputs:
    """Fetch the run files again if there are others by now; the application looks at them while it runs.

    Another release or other data count from the next start on.

    Raises:
        InputsError: they cannot be used.
    """
    manifest = _manifest(bucket)
    if manifest.files == inputs.files:
        return inputs
    _run_files(inputs.config, manifest)
    return replace(inputs, files=manifest.files)


def _manifest(bucket: Bucket) -> Manifest:
    found = bucket.read(MANIFEST_KEY)
    if found is None:
        raise InputsError(f"{MANIFEST_KEY} is not in this node's bucket; `federate supply` puts it there")
    try:
        return Manifest.read(found.decode("utf-8"))
    except (Unreadable, UnicodeDecodeError) as error:
        raise InputsError(f"{error}; `federate supply` writes it anew") from None


def _check_approval(release: str, approved: str | None) -> None:
    if approved is None:
        raise InputsError(f"no release is approved in this account, {release[:12]} is to run; `federate approve` does")
    if release != approved:
        raise InputsError(
            f"the release {release[:12]} is to run, this account's admin approved {approved[:12]}; "
            "`federate approve` shows and approves it"
        )


def _release(bucket: Bucket, folder: Path, digest: str, say: Callable[[str], None]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{digest}.zip"
    try:
        if not archive.exists():
            say(f"fetches the release {digest[:12]}")
            if not bucket.download(release_key(digest), archive):
                raise InputsError(
                    f"{release_key(digest)} is not in this node's bucket; `federate supply` puts it there"
                )
        unpacked = unpack(archive, digest, folder)
    except ReleaseError as error:
        archive.unlink(missing_ok=True)  # or it would be found again
        raise InputsError(str(error)) from None
    for old in folder.glob("*.zip"):
        if old != archive:
            old.unlink()
    return unpacked


def _run_files(folder: Path, manifest: Manifest) -> Path:
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, text in manifest.files.items():
        if "/" in name or name.startswith("."):
            raise InputsError(f"{MANIFEST_KEY} names {name!r}, which is no run file")
        (new / name).write_text(text, "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    return folder


def _data(bucket: Bucket, folder: Path, index: Path, say: Callable[[str], None]) -> None:
    """Make the folder hold what the bucket holds: changed objects are fetched, others' files deleted."""
    before = _read_index(index)
    wanted: dict[Path, Item] = {}
    for item in bucket.items(DATA_PREFIX):
        name = item.key.removeprefix(DATA_PREFIX)
        path = folder / name
        if not name or name.endswith("/"):
            continue  # what a console makes to show a folder
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InputsError(f"the object {item.key} would be written outside the data folder")
        wanted[path] = item
    if not wanted:
        raise InputsError(
            f"there is no data under {DATA_PREFIX} in this node's bucket; `federate supply` puts it there"
        )
    stale = [path for path in folder.rglob("*") if path.is_file() and path not in wanted]
    for path in stale:
        path.unlink()
    changed = {path: item for path, item in wanted.items() if before.get(item.key) != item.tag or not path.exists()}
    if changed:
        say(f"fetches {len(changed)} files of data, {sum(item.size for item in changed.values()) / 1e6:.0f} MB")
    # What is fetched now counts once all of it is there: nobody knows what a crash leaves.
    _write_index(index, [item for path, item in wanted.items() if path not in changed])
    for path, item in changed.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not bucket.download(item.key, path):
            raise InputsError(f"the object {item.key} went away while it was fetched")
    _write_index(index, wanted.values())


def _write_index(path: Path, items: Iterable[Item]) -> None:
    path.write_text(json.dumps({item.key: item.tag for item in items}), "utf-8")


def _read_index(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
