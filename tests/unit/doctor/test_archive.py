"""The archive: what is in it, what was taken out, what could not be had; and it is the user's alone."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from infra.doctor import Exists, Missing, Piece, of_this_machine, write
from infra.doctor.pieces import document

SECRET = "AKIAIOSFODNN7EXAMPLE"


def contents(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        return {
            member.name.partition("/")[2]: (archive.extractfile(member) or pytest.fail("no file")).read().decode()
            for member in archive.getmembers()
        }


def test_every_piece_is_redacted_and_the_list_of_contents_says_so(tmp_path: Path) -> None:
    pieces = [Piece("nodes/hospital-a/log.txt", "its log", f"key {SECRET}\n"), Piece("here/a.json", "a", "{}\n")]
    summary = write(tmp_path / "doctor.tar.gz", pieces, title="fed")
    found = contents(summary.file)
    assert set(found) == {"README.md", "index.html", "nodes/hospital-a/log.txt", "here/a.json"}
    assert found["nodes/hospital-a/log.txt"] == "key [access key taken out]\n"
    assert "| nodes/hospital-a/log.txt | its log | 27 | 1 × access key |" in found["README.md"]
    assert '<a href="nodes/hospital-a/log.txt">' in found["index.html"]
    assert SECRET not in "".join(found.values())
    assert summary.as_dict()["contents"][0]["taken_out"] == {"access key": 1}


def test_what_could_not_be_had_is_listed_with_its_reason_and_redacted_as_well(tmp_path: Path) -> None:
    missing = Missing("nodes/hospital-b/log.txt", "its log", f"AccessDenied | for {SECRET} <b>")
    found = contents(write(tmp_path / "doctor.tar.gz", [missing], title="fed").file)
    assert (
        "| nodes/hospital-b/log.txt | its log | AccessDenied \\| for [access key taken out] <b> |" in found["README.md"]
    )
    assert "&lt;b&gt;" in found["index.html"]


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    summary = write(tmp_path / "doctor.tar.gz", [], title="fed")
    assert summary.file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.tar.gz").write_text("mine")
    with pytest.raises(Exists, match="is there already"):
        write(tmp_path / "mine.tar.gz", [], title="fed")
    assert (tmp_path / "mine.tar.gz").read_text() == "mine"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Exists, match="cannot be written: No such file"):
        write(tmp_path / "nowhere" / "doctor.tar.gz", [], title="fed")


def test_of_this_machine_logs_are_collected_and_neither_keys_nor_data(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name, text in {
        "logs/20261126T090000-error-1.log": "Traceback: an error of ours",
        "logs/fed/20261126T090000-deploy-hub.log": "cdk said",
        "identity/fed/authority.key": "CANARY-KEY",
        "data/hospital-a/patient.csv": "CANARY-DATA",
        "local/aws.log": "CANARY-LOCAL",
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    (home / "logs" / "1-error-2.log").symlink_to(home / "identity/fed/authority.key")
    file = tmp_path / "federation.yaml"
    file.write_text("name: fed\n")
    given = {"AWS_SECRET_ACCESS_KEY": "CANARY-ENVIRONMENT", "FEDERATE_AWS": "loopback", "HOME": "/root"}
    found = list(of_this_machine(file, home, cdk=None, environment=given))
    texts = {piece.name: piece.text for piece in found if isinstance(piece, Piece)}
    assert texts["federation.yaml"] == "name: fed\n"
    assert texts["here/logs/20261126T090000-error-1.log"] == "Traceback: an error of ours"
    assert texts["here/logs/20261126T090000-deploy-hub.log"] == "cdk said"
    assert texts["here/environment.json"] == document({"AWS_SECRET_ACCESS_KEY": "is set", "FEDERATE_AWS": "loopback"})
    assert '"cdk command": "not installed"' in texts["here/versions.json"]
    assert "CANARY" not in "".join(texts.values())


def test_a_file_that_cannot_be_read_is_missing_and_no_error(tmp_path: Path) -> None:
    found = list(of_this_machine(tmp_path / "none.yaml", tmp_path, cdk=None, environment={}))
    assert isinstance(found[0], Missing)
