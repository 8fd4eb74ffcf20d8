"""Download the open eICU demo from PhysioNet: what is there is kept, what broke off is continued, all is checked."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from fl_app.eicu.errors import EicuDataError
from fl_app.eicu.prepare import digest_of

DEMO_URL = "https://physionet.org/files/eicu-crd-demo/2.0.1/"
SUMS_FILE = "SHA256SUMS.txt"
TABLES = ("patient", "hospital", "nurseCharting", "lab", "apachePatientResult", "apacheApsVar", "diagnosis")
_TIMEOUT = 60
_PIECE = 1 << 20
_LICENSE = "LICENSE.txt"


class DownloadFailed(EicuDataError):
    """The demo could not be fetched, or is not what its publisher's sums say."""


def fetch_demo(out: Path, url: str = DEMO_URL, say: Callable[[str], None] = print) -> list[Path]:
    """Download the demo's tables and its licence into a folder.

    A file appears under its name only once its SHA-256 sum is the published one; until then it is ``<name>.part``, and
    the next run continues it. A file that is there with the right sum is not downloaded again.

    Args:
        out: where to; made if need be.
        url: the release's folder, which has ``SHA256SUMS.txt``.
        say: told of each file.

    Returns:
        The files, in the order of :data:`TABLES`, then the licence.

    Raises:
        DownloadFailed: the server cannot be reached or refuses, a sum is wrong, or the disk is full.
    """
    if not url.startswith(("https://", "http://")):
        raise DownloadFailed(f"{url}: is no web address.", remedy=f"Leave --url out for {DEMO_URL}.")
    base = url.rstrip("/") + "/"
    try:
        out.mkdir(parents=True, exist_ok=True)
        sums = _sums(base)
        names = [*(f"{table}.csv.gz" for table in TABLES), _LICENSE]
        missing = [name for name in names if name not in sums]
        if missing:
            raise DownloadFailed(
                f"{base}{SUMS_FILE}: has no sum for {', '.join(missing)}.", remedy="Is this the demo, version 2.0.1?"
            )
        return [_fetch(base, name, sums[name], out / name, say) for name in names]
    except (OSError, http.client.HTTPException) as error:
        raise DownloadFailed(
            f"{base}: {error}.", remedy="Run the same command again: it continues where it stopped."
        ) from error


def _sums(base: str) -> dict[str, str]:
    with _open(base + SUMS_FILE, 0) as response:
        text = response.read(_PIECE).decode("utf-8", "replace")
    return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})[ *]+(?:\./)?(\S+)$", text, re.MULTILINE)}


def _fetch(base: str, name: str, digest: str, path: Path, say: Callable[[str], None]) -> Path:
    if path.is_file() and digest_of(path) == digest:
        say(f"{name}: there already")
        return path
    part = path.with_name(f"{name}.part")
    begun = part.stat().st_size if part.is_file() else 0
    if not (begun and digest_of(part) == digest):
        _download(base + name, part, begun)
    if digest_of(part) != digest:
        part.unlink()
        raise DownloadFailed(
            f"{base}{name}: what came does not have the published SHA-256 sum {digest[:12]}…, and was removed.",
            remedy="Run the same command again; if it stays so, something between here and the server changes files.",
        )
    part.replace(path)
    say(f"{name}: {path.stat().st_size} bytes, sum as published")
    return path


def _download(url: str, part: Path, begun: int) -> None:
    """Download to a file, from where it ends; from the start if the server cannot continue."""
    came = 0
    with _open(url, begun) as response:
        expected = response.headers.get("Content-Length")
        continues = response.status == http.HTTPStatus.PARTIAL_CONTENT
        with part.open("ab" if continues else "wb") as file:
            while piece := response.read(_PIECE):
                file.write(piece)
                came += len(piece)
    if expected is not None and came < int(expected):
        raise OSError(f"{url}: broke off after {came} of {expected} bytes")


def _open(url: str, begun: int) -> http.client.HTTPResponse:
    headers = {"Range": f"bytes={begun}-"} if begun else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the caller has checked the scheme
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if begun and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _open(url, 0)
        raise
    return response
