"""A dealt release: each site's rows and nobody else's, all of them, whole or not at all."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from fl_app.eicu import deal as module
from fl_app.eicu.deal import deal
from fl_app.eicu.errors import EicuDataError, EmptyTable, FolderTaken, MissingTable, UnreadableTable
from fl_app.eicu.hospitals import SiteHospitals

SITES = ("hospital-a", "hospital-b")
TABLES = ("patient", "nurseCharting", "lab", "apachePatientResult", "apacheApsVar", "diagnosis", "hospital")


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(folder / f"{name}.csv.gz", infer_schema=False)


def test_every_row_of_every_table_is_at_exactly_one_site(synthetic: Path, dealt: Path) -> None:
    for name in TABLES:
        parts = [table(dealt / site, name) for site in SITES]
        key = parts[0].columns[0]
        together = pl.concat(parts).sort(pl.col(key).cast(pl.Int64))
        assert together.equals(table(synthetic, name).sort(pl.col(key).cast(pl.Int64))), name


@pytest.mark.parametrize("column", ["patientunitstayid", "uniquepid", "hospitalid"])
def test_no_stay_patient_or_hospital_is_at_two_sites_or_in_train_and_test(dealt: Path, column: str) -> None:
    sides = []
    for site in SITES:
        patients = table(dealt / site, "patient")
        split = SiteHospitals.read(dealt / site, site)
        for hospitals in (split.train, split.test):
            mine = patients.filter(pl.col("hospitalid").cast(pl.Int64).is_in(hospitals))
            sides.append(set(mine[column].to_list()))
            assert sides[-1]
    assert sum(map(len, sides)) == len(set().union(*sides))


def test_a_site_s_charting_is_of_its_own_stays_only(dealt: Path) -> None:
    for site in SITES:
        stays = set(table(dealt / site, "patient")["patientunitstayid"])
        for name in ("nurseCharting", "lab", "apachePatientResult", "apacheApsVar"):
            assert set(table(dealt / site, name)["patientunitstayid"]) <= stays


def test_rows_of_another_site_would_be_noticed(dealt: Path, tmp_path: Path) -> None:
    """The negative control of the test above: with one foreign row it fails."""
    foreign = table(dealt / SITES[1], "lab").head(1)
    mixed = pl.concat([table(dealt / SITES[0], "lab"), foreign])
    assert not set(mixed["patientunitstayid"]) <= set(table(dealt / SITES[0], "patient")["patientunitstayid"])


def test_the_same_seed_deals_the_same_bytes(synthetic: Path, dealt: Path, tmp_path: Path) -> None:
    deal(synthetic, tmp_path / "again", list(SITES), seed=1)
    for path in sorted(dealt.rglob("*.*")):
        assert (tmp_path / "again" / path.relative_to(dealt)).read_bytes() == path.read_bytes()


def test_the_source_is_said_everywhere(dealt: Path) -> None:
    assert json.loads((dealt / "deal.json").read_text())["source"] == "synthetic"
    assert SiteHospitals.read(dealt / SITES[0], SITES[0]).source == "synthetic"


def test_a_folder_of_somebody_else_is_not_touched(synthetic: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FolderTaken, match="not made by this command"):
        deal(synthetic, tmp_path, list(SITES), seed=1)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_earlier_deal_is_replaced(synthetic: Path, tmp_path: Path) -> None:
    deal(synthetic, tmp_path / "sites", ["old-a", "old-b"], seed=1)
    deal(synthetic, tmp_path / "sites", list(SITES), seed=1)
    assert sorted(path.name for path in (tmp_path / "sites").iterdir()) == ["deal.json", *SITES]


def test_a_deal_that_fails_halfway_leaves_what_was_there_and_nothing_half_made(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal(synthetic, tmp_path / "sites", list(SITES), seed=1)
    before = {path: path.read_bytes() for path in (tmp_path / "sites").rglob("*.*")}
    packed = (synthetic / "lab.csv.gz").read_bytes()
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in synthetic.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "lab.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UnreadableTable, match="lab"):
        deal(broken, tmp_path / "sites", list(SITES), seed=1)
    assert {path: path.read_bytes() for path in (tmp_path / "sites").rglob("*.*")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "sites"]


def test_a_full_disk_is_said_and_leaves_nothing(
    synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_deal_table", full)
    with pytest.raises(EicuDataError, match="No space left on device"):
        deal(synthetic, tmp_path / "sites", list(SITES), seed=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["lab", "nurseCharting", "patient"])
def test_a_needed_table_that_is_missing_or_empty_is_refused(synthetic: Path, tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in synthetic.iterdir():
        if path.name != f"{name}.csv.gz":
            (source / path.name).symlink_to(path)
    with pytest.raises(MissingTable, match=f"no table {name}"):
        deal(source, tmp_path / "sites", list(SITES), seed=1)
    header = gzip.decompress((synthetic / f"{name}.csv.gz").read_bytes()).split(b"\n")[0]
    (source / f"{name}.csv").write_bytes(header + b"\n")
    with pytest.raises(EmptyTable, match=f"{name}.csv: the table has a header but no rows"):
        deal(source, tmp_path / "sites", list(SITES), seed=1)
