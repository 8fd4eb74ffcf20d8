"""What an image is made from: archives of this checkout, the same bytes for the same files, named by their digests."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
#: What the install script reads of a checkout. The application is not part of it: that travels as a release.
INSTALLED = ("constraints.txt", "node_bootstrap", "pyproject.toml")
#: What the test component runs on an instance of a new image, and the image does not hold.
TESTED = ("fl_app", "node_bootstrap/image/one_round.py")


@dataclass(frozen=True, slots=True)
class Archive:
    """A tar archive; not compressed, because compressors differ and the digest must not."""

    content: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the archive, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


def archive(of: Sequence[str], checkout: Path = CHECKOUT) -> Archive:
    """Pack files and folders of a checkout; owners, times and all rights but "may be run" are left out."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in files(of, checkout):
            content = file.read_bytes()
            entry = tarfile.TarInfo(file.relative_to(checkout).as_posix())
            entry.size = len(content)
            entry.mode = 0o755 if file.stat().st_mode & 0o111 else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return Archive(packed.getvalue())


def version(checkout: Path = CHECKOUT) -> str:
    """Return the version of Federate that a checkout is."""
    return str(tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def files(of: Sequence[str], checkout: Path = CHECKOUT) -> Iterator[Path]:
    """Yield the files that belong to some files and folders of a checkout, sorted, without what Python leaves there."""
    for top in of:
        path = checkout / top
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)
