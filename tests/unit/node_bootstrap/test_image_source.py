"""What an image is made from: the same bytes for the same files, and nothing that is only this machine's."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from node_bootstrap.image import source


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    made = tmp_path / "checkout"
    (made / "node_bootstrap/image").mkdir(parents=True)
    (made / "constraints.txt").write_text("torch==1\n")
    (made / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (made / "node_bootstrap/image/install.sh").write_text("#!/bin/sh\n")
    (made / "node_bootstrap/image/install.sh").chmod(0o755)
    return made


def names(archive: source.Archive) -> dict[str, int]:
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as tar:
        return {entry.name: entry.mode for entry in tar}


def test_times_owners_and_left_over_bytecode_change_nothing(checkout: Path) -> None:
    before = source.archive(source.INSTALLED, checkout)
    (checkout / "constraints.txt").touch()
    (checkout / "constraints.txt").chmod(0o600)
    (checkout / "node_bootstrap/__pycache__").mkdir()
    (checkout / "node_bootstrap/__pycache__/x.pyc").write_bytes(b"x")
    assert source.archive(source.INSTALLED, checkout).content == before.content


def test_another_content_or_a_script_that_cannot_be_run_is_another_digest(checkout: Path) -> None:
    first = source.archive(source.INSTALLED, checkout).digest
    (checkout / "node_bootstrap/image/install.sh").chmod(0o644)
    second = source.archive(source.INSTALLED, checkout).digest
    (checkout / "constraints.txt").write_text("torch==2\n")
    assert len({first, second, source.archive(source.INSTALLED, checkout).digest}) == 3


def test_it_holds_the_files_by_their_own_paths(checkout: Path) -> None:
    assert names(source.archive(source.INSTALLED, checkout)) == {
        "constraints.txt": 0o644,
        "node_bootstrap/image/install.sh": 0o755,
        "pyproject.toml": 0o644,
    }
    assert source.version(checkout) == "1.2.3"


def test_the_image_holds_no_application_and_its_test_brings_it_along() -> None:
    installed, tested = names(source.archive(source.INSTALLED)), names(source.archive(source.TESTED))
    assert not [name for name in installed if name.startswith(("fl_app", "infra", "stacks", "tests"))]
    assert "fl_app/__main__.py" in tested
    assert "node_bootstrap/image/one_round.py" in tested
