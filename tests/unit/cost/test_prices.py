"""The price table of the package, and one of the user's own."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from infra.cost import BadPrices, Prices
from infra.federation import catalog


def test_the_table_has_a_date_and_a_page_of_awss_for_each_price() -> None:
    table = Prices.read()
    date.fromisoformat(table.date)
    entries = [*table.everywhere.values(), *(price for things in table.regions.values() for price in things.values())]
    assert len(entries) > 20
    assert {price.page.split("/")[2] for price in entries} == {"aws.amazon.com"}
    assert table.left_out


def test_the_table_has_only_types_and_regions_that_there_are() -> None:
    table = Prices.read()
    types = {
        thing.removeprefix("instance/") for things in table.regions.values() for thing in things if "instance/" in thing
    }
    assert types <= set(catalog.instance_types())
    assert set(table.regions) <= set(catalog.regions())


def test_what_is_free_is_listed_and_what_is_not_listed_is_none() -> None:
    table = Prices.read()
    free = {thing for things in table.regions.values() for thing, price in things.items() if not price.usd}
    assert free == {"transfer/same-zone"}
    assert table.of("us-east-1", "instance/p5.48xlarge") is None
    assert table.of("eu-central-1", "kms-key") is not None


def test_a_table_of_ones_own_stands_over_the_packages(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    entry = {"volume/gp3": {"price": "0.0952", "unit": "GB-month"}}
    own.write_text(json.dumps({"date": "2026-12-01", "regions": {"eu-central-1": entry}}))
    table = Prices.read(own)
    found = table.of("eu-central-1", "volume/gp3")
    assert found is not None
    assert found.usd == Decimal("0.0952")
    assert table.of("us-east-1", "volume/gp3") == Prices.read().of("us-east-1", "volume/gp3")
    assert table.date == f"{Prices.read().date}, and own.json of 2026-12-01"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"date": "x", "regions": {"r": {"a": {"price": "much", "unit": "hour"}}}}',
        '{"date": "x", "regions": {"r": {"a": {"price": "-1", "unit": "hour"}}}}',
        '{"date": "x", "regions": {"r": {"a": {"price": "NaN", "unit": "hour"}}}}',
        '{"date": "x", "regions": {"r": {"a": {"unit": "hour"}}}}',
    ],
)
def test_a_file_that_is_no_table_is_refused_with_its_form(tmp_path: Path, text: str) -> None:
    own = tmp_path / "own.json"
    own.write_text(text)
    with pytest.raises(BadPrices, match="Its form: "):
        Prices.read(own)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPrices, match="cannot be read"):
        Prices.read(tmp_path / "none.json")
