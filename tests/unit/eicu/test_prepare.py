"""Features prepared once: a cache that is keyed by content and cannot lie."""

import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from fl_app.eicu import prepare as module
from fl_app.eicu.errors import EicuDataError, FolderTaken
from fl_app.eicu.features import hourly_features
from fl_app.eicu.prepare import prepare
from fl_app.eicu.tables import Tables
from fl_app.eicu.variables import VARIABLES


@pytest.fixture
def source(synthetic: Path, tmp_path: Path) -> Path:
    shutil.copytree(synthetic, tmp_path / "source")
    return tmp_path / "source"


def test_the_file_holds_the_features_that_training_sees(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out" / "hourly.parquet")
    assert rows.columns == ["patientunitstayid", "hour", "hospitalid", *VARIABLES]
    assert rows.equals(hourly_features(Tables(source)).rows)


def test_parts_that_went_by_way_of_the_disk_make_the_same_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fl_app.eicu import features

    prepare(source, tmp_path / "at-once")
    monkeypatch.setattr(features, "STAYS_PER_BUCKET", 50)
    monkeypatch.setattr(
        module,
        "feature_parts",
        lambda tables, variant, scratch: features.feature_parts(tables, variant, scratch=scratch, in_memory=1000),
    )
    prepare(source, tmp_path / "in-parts")
    both = [pl.read_parquet(tmp_path / name / "hourly.parquet") for name in ("at-once", "in-parts")]
    assert both[0].equals(both[1])
    assert sorted(path.name for path in (tmp_path / "in-parts").iterdir()) == [
        "hourly.parquet", "manifest.json", "stays.parquet",
    ]  # fmt: skip


def test_a_second_run_does_nothing_even_if_the_files_were_touched(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out")
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    os.utime(source / "lab.csv.gz")
    assert prepare(source, tmp_path / "out").reused
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == made


def test_a_changed_value_with_the_old_size_and_time_is_noticed(source: Path, tmp_path: Path) -> None:
    (source / "lab.csv.gz").unlink()
    text = pl.read_csv(tmp_path / "source" / "patient.csv.gz", infer_schema=False)["patientunitstayid"][0]
    lab = source / "lab.csv"
    lab.write_text(f"patientunitstayid,labresultoffset,labname,labresult\n{text},60,pH,7.31\n")
    prepare(source, tmp_path / "out")
    before = lab.stat()
    lab.write_text(lab.read_text().replace("7.31", "7.13"))
    os.utime(lab, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert lab.stat().st_size == before.st_size
    assert not prepare(source, tmp_path / "out").reused


@pytest.mark.parametrize("change", ["variant", "rules", "code", "output", "manifest"])
def test_whatever_else_changes_is_noticed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    out = tmp_path / "out"
    prepare(source, out)
    variant = "clinical" if change == "variant" else "benchmark"
    if change == "rules":
        monkeypatch.setattr(module, "RULES_VERSION", module.RULES_VERSION + 1)
    if change == "code":
        monkeypatch.setattr(module, "code_digest", lambda: "of other code")
    if change == "output":
        with (out / "hourly.parquet").open("r+b") as file:
            file.seek(100)
            file.write(b"\0" * 8)
    if change == "manifest":
        (out / "manifest.json").write_text("{")
    assert not prepare(source, out, variant).reused
    assert prepare(source, out, variant).reused


def test_a_file_that_changes_while_it_is_read_is_not_called_by_its_old_content(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = module.with_rows

    def meddling(*arguments: object) -> object:
        lab = pl.read_csv(source / "lab.csv.gz", infer_schema=False)
        lab.reverse().write_csv(source / "lab.csv.gz", compression="gzip")
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "with_rows", meddling)
    with pytest.raises(EicuDataError, match=r"lab\.csv\.gz: was changed while it was read"):
        prepare(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_manifest_says_what_it_was_made_from(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["source"] == "synthetic"
    assert set(manifest["inputs"]) == {"patient.csv.gz", "nurseCharting.csv.gz", "lab.csv.gz"}
    assert manifest["cohort"][-1]["left"] == manifest["stays"] == len(pl.read_parquet(tmp_path / "out/stays.parquet"))


def test_a_folder_of_somebody_else_is_not_touched(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderTaken):
        prepare(source, source)
    assert (source / "lab.csv.gz").is_file()


def test_a_full_disk_is_said_and_leaves_what_was_there(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(source, tmp_path / "out")
    before = (tmp_path / "out" / "manifest.json").read_text()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(EicuDataError, match="No space left on device"):
        prepare(source, tmp_path / "out", "clinical")
    assert (tmp_path / "out" / "manifest.json").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
