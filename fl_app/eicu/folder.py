"""A folder that appears whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from fl_app.eicu.errors import EicuDataError, FolderTaken


@contextmanager
def whole_folder(out: Path, *, made_by: str) -> Iterator[Path]:
    """Give a folder beside ``out`` that takes its place once all went well.

    Args:
        out: must be new, empty, or what an earlier run of the same command made.
        made_by: the file by which that is known.

    Raises:
        FolderTaken: ``out`` holds something else.
        EicuDataError: it cannot be written, for instance because the disk is full.
    """
    if out.exists() and not (out / made_by).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise FolderTaken(
            f"{out}: exists, and there is no {made_by} in it: it was not made by this command.",
            remedy="Give a new folder, or empty this one.",
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise _unwritable(out, error) from error
    try:
        yield partial
        partial.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        partial.replace(out)
    except (OSError, pl.exceptions.PolarsError) as error:  # Polars wraps what the system says of a full disk
        raise _unwritable(out, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unwritable(out: Path, error: Exception) -> EicuDataError:
    return EicuDataError(f"{out}: cannot be written: {error}.", remedy="Is there space, and may you write there?")
