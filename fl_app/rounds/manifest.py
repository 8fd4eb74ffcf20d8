"""The digest by which a model says which data it was made from."""

from __future__ import annotations

import hashlib
from pathlib import Path


def data_digest(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of all files of a folder, in the order of their names.

    It tells that two runs had the same data, and nothing of what is in them.
    """
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") for part in parts):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            whole.update(f"{content}  {'/'.join(parts)}\n".encode())
    return whole.hexdigest()
