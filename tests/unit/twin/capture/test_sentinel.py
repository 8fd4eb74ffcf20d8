"""What is planted in a hospital's tables is what the hospital then trains on."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from fl_app.eicu.deal import deal
from fl_app.eicu.features import hourly_features
from fl_app.eicu.options import Options
from fl_app.eicu.site import load_site
from fl_app.eicu.synthetic import synthesize
from fl_app.eicu.tables import Tables
from fl_app.eicu.variables import CLINICAL_RANGES, NUMERIC
from infra.local.twin.capture.search import Search
from infra.local.twin.capture.sentinel import NowhereToPlant, Planted, plant

SITES = ("hospital-a", "hospital-b")


@pytest.fixture(scope="module")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("eicu")
    synthesize(root / "eicu", 300, seed=1)
    deal(root / "eicu", root / "sites", SITES, seed=1)
    return root / "sites"


@pytest.fixture(scope="module")
def planted(dealt: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Planted]]:
    folder = tmp_path_factory.mktemp("planted") / "sites"
    shutil.copytree(dealt, folder)
    return folder, {site: plant(folder / site, site) for site in SITES}


def test_each_hospital_has_sentinels_of_its_own(planted: tuple[Path, dict[str, Planted]]) -> None:
    _, by_site = planted
    values = [
        value
        for found in by_site.values()
        for value in (found.stay.number, found.patient.text, found.diagnosis.text, found.heart_rate.value)
    ]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("site", SITES)
def test_the_tables_hold_them_and_those_before_did_not(
    dealt: Path, planted: tuple[Path, dict[str, Planted]], site: str
) -> None:
    folder, by_site = planted
    for where, expected in ((dealt, 0), (folder, 5)):
        search = Search(by_site[site].sentinels)
        for path in (where / site).glob("*.csv.gz"):
            search.feed(path.name, gzip.decompress(path.read_bytes()))
        assert len({finding.sentinel.split(": ")[1] for finding in search.findings}) == expected
    assert set(by_site[site].rows) >= {"patient", "nurseCharting", "lab", "apachePatientResult"}


@pytest.mark.parametrize("site", SITES)
def test_the_features_have_the_readings_in_the_stay_s_hours(
    planted: tuple[Path, dict[str, Planted]], site: str
) -> None:
    folder, by_site = planted
    found = by_site[site]
    rows = hourly_features(Tables(folder / site)).rows.filter(pl.col("patientunitstayid") == found.stay.number)
    assert rows.height >= 15
    assert set(rows["apacheadmissiondx"]) == {found.diagnosis.text}
    assert (rows["Heart Rate"] == found.heart_rate.value).sum() >= 6
    assert (rows["glucose"] == found.glucose.value).sum() >= 1


@pytest.mark.parametrize("site", SITES)
def test_the_site_trains_on_them(planted: tuple[Path, dict[str, Planted]], site: str) -> None:
    folder, by_site = planted
    train = load_site(folder / site, site, Options.read({})).train
    (place,) = torch.nonzero(train.stays == by_site[site].stay.number).flatten().tolist()
    low, high = CLINICAL_RANGES["Heart Rate"]
    scaled = torch.tensor(2 * (by_site[site].heart_rate.value - low) / (high - low) - 1, dtype=torch.float32)
    assert int((train.values[place, :, NUMERIC.index("Heart Rate")] == scaled).sum()) >= 6


def test_the_same_folder_gives_the_same_sentinels(
    dealt: Path, planted: tuple[Path, dict[str, Planted]], tmp_path: Path
) -> None:
    shutil.copytree(dealt / "hospital-a", tmp_path / "again")
    assert plant(tmp_path / "again", "hospital-a") == planted[1]["hospital-a"]


def test_tables_without_a_stay_of_the_study_are_refused(tmp_path: Path) -> None:
    synthesize(tmp_path / "eicu", 300, seed=1)
    deal(tmp_path / "eicu", tmp_path / "sites", SITES, seed=1)
    path = tmp_path / "sites" / "hospital-a" / "lab.csv.gz"
    with gzip.open(path, "rt") as rows:
        header = rows.readline()
    path.write_bytes(gzip.compress(header.encode()))
    with pytest.raises(NowhereToPlant, match="hospital-a has no stay"):
        plant(tmp_path / "sites" / "hospital-a", "hospital-a")
