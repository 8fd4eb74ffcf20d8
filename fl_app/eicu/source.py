"""Where data is from, in the words that every output repeats."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from fl_app.eicu.errors import EicuDataError, MissingTable
from fl_app.eicu.hospitals import HOSPITALS_FILE
from fl_app.eicu.tables import Tables

SOURCE_FILE = "SOURCE.json"
SYNTHETIC = "synthetic"
EICU = "eicu"

_KNOWN_CHARTINGS = {
    "27dae69d502d4c41da4a8e9ea77f9e8470844f06e46923f0ba12aece24b0a06b": "eicu demo 2.0.1 (charting and lab rebuilt)",
}
"""SHA-256 of a nurseCharting file to what it is: real values whose sampling is not the original's say so."""


def source_of(folder: Path) -> str:
    """Return what the folder's data is.

    ``SOURCE.json`` says it, or a site's ``hospitals.json``; else it is a known copy by its sum, or ``eicu``.

    Raises:
        EicuDataError: the file that says it is malformed.
    """
    for marker in (folder / SOURCE_FILE, folder / HOSPITALS_FILE):
        if marker.is_file():
            return _said(marker)
    if folder.is_file():
        return EICU
    try:
        charting = Tables(folder).table("nurseCharting").path
    except MissingTable:
        return EICU
    with charting.open("rb") as file:
        return _KNOWN_CHARTINGS.get(hashlib.file_digest(file, "sha256").hexdigest(), EICU)


def _said(marker: Path) -> str:
    try:
        return str(json.loads(marker.read_text("utf-8"))["source"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EicuDataError(
            f"{marker}: cannot be used: {error!r}.", remedy='It must say {"source": text}; remove or correct it.'
        ) from error
