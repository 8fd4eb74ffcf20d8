"""The digest of a site's data: of names and contents, of nothing else, and the same wherever the folder lies."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fl_app.rounds.manifest import data_digest


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


FILES = {"patient.csv.gz": b"rows", "below/lab.csv.gz": b"more rows"}


def test_it_is_the_sha_256_of_lines_as_sha256sum_writes_them(tmp_path: Path) -> None:
    lines = [f"{hashlib.sha256(FILES[name]).hexdigest()}  {name}\n" for name in ("below/lab.csv.gz", "patient.csv.gz")]
    assert data_digest(write(tmp_path, FILES)) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_same_files_elsewhere_and_hidden_ones_beside_them_change_nothing(tmp_path: Path) -> None:
    expected = data_digest(write(tmp_path / "a", FILES))
    assert data_digest(write(tmp_path / "b", {**FILES, ".index.json": b"{}"})) == expected


@pytest.mark.parametrize(
    "files",
    [
        {**FILES, "patient.csv.gz": b"other"},
        {"patients.csv.gz": b"rows", "below/lab.csv.gz": b"more rows"},
        {**FILES, "empty": b""},
        {},
    ],
)
def test_another_content_name_or_file_is_another_digest(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "b").mkdir()
    assert data_digest(write(tmp_path / "a", FILES)) != data_digest(write(tmp_path / "b", files))
