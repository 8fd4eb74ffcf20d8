"""Sites by region and by the lists of a federation.yaml."""

import json
from pathlib import Path

import polars as pl
import pytest

from fl_app.eicu.__main__ import main
from fl_app.eicu.deal import deal
from fl_app.eicu.errors import EicuDataError, UnusableSplit
from fl_app.eicu.federation_file import sites_of
from fl_app.eicu.partition import Unit
from fl_app.eicu.regions import hospitals_by_region
from fl_app.eicu.tables import Tables


def hospitals(folder: Path, *regions: str) -> Tables:
    rows = [f"{number},{region}" for number, region in enumerate(regions, 1)]
    (folder / "hospital.csv").write_text("\n".join(["hospitalID,Region", *rows]) + "\n")
    return Tables(folder)


UNITS = [Unit((number,), 5, 1) for number in range(1, 6)]


def test_hospitals_go_where_their_region_goes_and_those_without_one_nowhere(tmp_path: Path) -> None:
    tables = hospitals(tmp_path, "South", "West", "", "Midwest", "South")
    assert hospitals_by_region(tables, UNITS, {"a": ["south"], "b": ["West", "Midwest"]}) == {"a": [1, 5], "b": [2, 4]}
    assert hospitals_by_region(tables, UNITS, {"a": ["South"]}) == {"a": [1, 5]}


@pytest.mark.parametrize(("regions", "site"), [(["South", "West", "West"], "b"), (["West", "South", ""], "b")])
def test_hospitals_that_share_a_patient_go_where_most_of_them_belong(
    tmp_path: Path, regions: list[str], site: str
) -> None:
    found = hospitals_by_region(hospitals(tmp_path, *regions), [Unit((1, 2, 3), 9, 1)], {"a": ["South"], "b": ["West"]})
    assert found[site] == [1, 2, 3]


def test_a_region_that_is_not_there_or_named_twice_is_refused(tmp_path: Path) -> None:
    tables = hospitals(tmp_path, "South", "West")
    with pytest.raises(UnusableSplit, match=r"(?s)no hospital is in the region 'North'.*Regions there: South, West"):
        hospitals_by_region(tables, UNITS, {"a": ["North"]})
    with pytest.raises(UnusableSplit, match="the region south is named for a and for b"):
        hospitals_by_region(tables, UNITS, {"a": ["South"], "b": ["south"]})


def test_a_release_dealt_by_region_and_the_rest_by_seed(synthetic: Path, tmp_path: Path) -> None:
    arguments = ["deal", "--source", str(synthetic), "--out", str(tmp_path / "sites"), "--sites", "south,rest"]
    assert main([*arguments, "--region", "south=South"]) == 0
    table = pl.read_csv(synthetic / "hospital.csv.gz")
    dealt = json.loads((tmp_path / "sites" / "deal.json").read_text())["sites"]
    region = dict(table.select("hospitalid", "region").iter_rows())
    assert {region[one] for one in dealt["south"]["hospitals"]} == {"South"}
    assert {region[one] for one in dealt["rest"]["hospitals"]} == {"Midwest", "West", "Northeast"}


def test_only_a_split_by_region_needs_the_hospital_table(synthetic: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in synthetic.iterdir():
        if path.name != "hospital.csv.gz":
            (source / path.name).symlink_to(path)
    deal(source, tmp_path / "by-seed", ["a", "b"], seed=0)
    with pytest.raises(EicuDataError, match="no table hospital"):
        deal(source, tmp_path / "by-region", ["a", "b"], seed=0, regions={"a": ["South"]})


def test_a_site_cannot_have_a_list_and_a_region(synthetic: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableSplit, match="a is to get hospitals and regions"):
        deal(synthetic, tmp_path / "sites", ["a", "b"], 0, assigned={"a": [1]}, regions={"a": ["South"]})


FEDERATION = """
name: eicu
participants:
  - id: north
    data: {hospitals: [%s]}
  - id: south
  - id: west
    data: {source: data/west}
"""


def test_the_lists_of_a_federation_file_are_honoured(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = pl.read_csv(synthetic / "patient.csv.gz")["hospitalid"].unique().sort().to_list()[:3]
    file = tmp_path / "federation.yaml"
    file.write_text(FEDERATION % ", ".join(map(str, ids)))
    assert sites_of(file) == (["north", "south", "west"], {"north": ids})
    arguments = ["deal", "--source", str(synthetic), "--out", str(tmp_path / "sites"), "--federation", str(file)]
    assert main([*arguments, "--json"]) == 0
    sites = json.loads(capsys.readouterr().out)["sites"]
    assert sorted([*sites["north"]["train_hospitals"], *sites["north"]["test_hospitals"]]) == ids
    assert list(sites) == ["north", "south", "west"]


@pytest.mark.parametrize(
    "text",
    ["", "a: [", "participants: []", "participants: [{}]", "participants: [{id: a}, {id: a}]",
     "participants: [{id: ../a}]",
     "participants: [{id: a, data: {hospitals: [x]}}]", "participants: [{id: a, data: {hospitals: 7}}]"],
)  # fmt: skip
def test_a_federation_file_without_sites_is_refused_and_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "federation.yaml").write_text(text)
    with pytest.raises(UnusableSplit, match=r"federation\.yaml: its "):
        sites_of(tmp_path / "federation.yaml")
    with pytest.raises(UnusableSplit, match=r"nowhere\.yaml: its sites cannot be read"):
        sites_of(tmp_path / "nowhere.yaml")
