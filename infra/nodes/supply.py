"""What a node is given: the release, its run files, and at a site its own data, each in its own account's bucket."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.accounts import explained
from infra.errors import FederateError
from infra.federation.model import Federation
from infra.federation.run_config import run_files
from infra.nodes.release import Release
from infra.nodes.remote import Remote
from node_bootstrap import contract
from node_bootstrap.contract import Manifest, release_key

_SHA256 = "sha256"


class NotApproved(FederateError):
    """A node's account has approved another release than the one that is to run."""

    exit_code = 3


class NotOurs(FederateError):
    """An existing bucket holds data that Federate did not bring, where a folder is to become all that is there."""

    exit_code = 4


class NotADigest(FederateError):
    """What was given is not the digest of a release."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Supplied:
    """What was brought to a node: bytes uploaded, and how many objects of data it has."""

    node: str
    uploaded: int
    data_objects: int


def supply(
    remote: Remote,
    federation: Federation,
    release: Release,
    data: Path | None,
    *,
    approve: bool,
    say: Callable[[str], None] = lambda _: None,
) -> Supplied:
    """Bring a node what it is to run; what is there already is not sent again.

    Args:
        remote: the node.
        federation: its run files are written from it.
        release: what runs.
        data: the site's own folder, which becomes exactly what is under ``data/``; None leaves that as it is.
        approve: approve the release if the account has approved none yet.
        say: told of what takes long.

    Raises:
        NotApproved: the account has approved another release.
        NotOurs: the data would take the place of what somebody else put into the account's own bucket.
        AwsRefused: AWS refuses.
    """
    check_approval(remote, release, approve=approve)
    with explained(remote.where, profile=remote.node.profile, region=remote.node.region):
        uploaded = _put_release(remote, release, say)
        sent, objects = _data(remote, data, say) if data else (0, 0)
        _put_run_files(remote, federation, release)
    return Supplied(remote.node.id, uploaded + sent, objects)


def check_approval(remote: Remote, release: Release, *, approve: bool) -> None:
    """Make sure that the node's account has approved this release.

    Raises:
        NotApproved: it has approved another, or none and may not be asked now.
    """
    remote.refuse_unless_deployed()
    approved = remote.parameters().get(contract.APPROVED_RELEASE)
    if approved == release.digest:
        return
    if approved is None and approve:
        remote.put(contract.APPROVED_RELEASE, release.digest)
        return
    found = f"has approved {approved[:12]}" if approved else "has approved none"
    raise NotApproved(
        f"{remote.where}: the release {release.digest[:12]} is to run, this account {found}.",
        remedy=f"Its admin approves it with: federate approve --only {remote.node.id}",
    )


def approve(remote: Remote, digest: str) -> None:
    """Let a node run the release with this digest, and no other.

    Raises:
        NotADigest: it is none.
    """
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise NotADigest(
            f"{digest!r} is no digest of a release.", remedy="It is 64 hexadecimal digits; federate supply tells it."
        )
    remote.refuse_unless_deployed()
    remote.put(contract.APPROVED_RELEASE, digest)


def _put_run_files(remote: Remote, federation: Federation, release: Release) -> None:
    """Write the run files and which release they are for."""
    manifest = Manifest(release=release.digest, files=run_files(federation, remote.node))
    remote.client("s3").put_object(
        Bucket=remote.bucket, Key=remote.key(contract.MANIFEST_KEY), Body=manifest.text().encode()
    )


def _data(remote: Remote, folder: Path, say: Callable[[str], None]) -> tuple[int, int]:
    """Make what is under ``data/`` the folder's content; return bytes sent and the number of objects."""
    below = remote.key(contract.DATA_PREFIX)
    wanted = {f"{below}{path.relative_to(folder).as_posix()}": path for path in _files(folder)}
    s3 = remote.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=remote.bucket, Prefix=below)
    there = {item["Key"]: int(item["Size"]) for page in pages for item in page.get("Contents", [])}
    if remote.node.spec.bucket is not None:
        _refuse_if_not_ours(remote, list(there))
    sent = sum(_put_once(remote, key, path, there.get(key), say) for key, path in wanted.items())
    for key in there.keys() - wanted.keys():
        s3.delete_object(Bucket=remote.bucket, Key=key)
    return sent, len(wanted)


def _refuse_if_not_ours(remote: Remote, keys: list[str]) -> None:
    s3 = remote.client("s3")
    others = [key for key in keys if _tagged_digest(s3, remote.bucket, key) is None]
    if others:
        found = others[0] + (f" and {len(others) - 1} more" if len(others) > 1 else "")
        raise NotOurs(
            f"{remote.where}: {found} in the bucket {remote.bucket} was not brought by Federate; it is left as it is.",
            remedy=f"To use it, leave data out of the block of {remote.node.id}; or name another bucket_prefix.",
        )


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _put_release(remote: Remote, release: Release, say: Callable[[str], None]) -> int:
    """Upload the release whatever is there: it is small, and what its object says of itself proves nothing."""
    key = remote.key(release_key(release.digest))
    size = release.path.stat().st_size
    say(f"uploads {key}, {size / 1e6:.1f} MB")
    remote.client("s3").upload_file(str(release.path), remote.bucket, key)
    return size


def _put_once(remote: Remote, key: str, path: Path, size_there: int | None, say: Callable[[str], None]) -> int:
    """Upload a file unless the object has its size and is tagged with its digest; return the bytes sent.

    The digest is a tag and not the object's metadata, because nobody but the node reads an object of data: that takes
    s3:GetObject, and a tag does not.
    """
    s3 = remote.client("s3")
    size, digest = path.stat().st_size, _digest(path)
    if size_there == size and _tagged_digest(s3, remote.bucket, key) == digest:
        return 0
    say(f"uploads {key}, {size / 1e6:.1f} MB")
    s3.upload_file(str(path), remote.bucket, key, ExtraArgs={"Tagging": f"{_SHA256}={digest}"})
    return size


def _tagged_digest(s3: Any, bucket: str, key: str) -> str | None:
    """Return the digest that we wrote beside an object, or None if there is none."""
    try:
        tags = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey", "NotFound"):
            return None
        raise
    return next((str(tag["Value"]) for tag in tags if tag["Key"] == _SHA256), None)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
