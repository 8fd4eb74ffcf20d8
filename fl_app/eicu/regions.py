"""Sites by region: the hospitals of named regions, as the hospital table has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from fl_app.eicu.errors import UnusableSplit
from fl_app.eicu.partition import Unit
from fl_app.eicu.tables import Kind, Tables

HOSPITAL = "hospital"
_COLUMNS = {"hospitalid": Kind.ID, "region": Kind.TEXT}


def hospitals_by_region(
    tables: Tables, units: Sequence[Unit], regions: Mapping[str, Sequence[str]]
) -> dict[str, list[int]]:
    """Return each site's hospitals.

    Hospitals that share a patient go together: to the site that most of them belong to by their region, of equals to
    that of the smaller hospitalid. A hospital without a region, or of one that no site names, belongs to nobody here.

    Args:
        tables: the release; ``hospital`` is read.
        units: hospitals that share a patient are one.
        regions: site to regions, in any letter case.

    Raises:
        EicuDataError: the hospital table is missing or broken.
        UnusableSplit: there is no such region, or two sites name it.
    """
    table = tables.table(HOSPITAL)
    table.require_rows()
    found = table.collect(table.scan(_COLUMNS).drop_nulls())
    region_of = dict(found.with_columns(pl.col("region").str.to_lowercase()).iter_rows())
    owner: dict[str, str] = {}
    for site, names in regions.items():
        for name in names:
            if name.lower() not in region_of.values():
                raise UnusableSplit(
                    f"{table.where}: no hospital is in the region {name!r}, which {site} is to get.",
                    remedy=f"Regions there: {', '.join(sorted(found['region'].unique()))}.",
                )
            if owner.setdefault(name.lower(), site) != site:
                raise UnusableSplit(
                    f"the region {name} is named for {owner[name.lower()]} and for {site}.",
                    remedy="A region belongs to one site; remove it from the other.",
                )
    dealt: dict[str, list[int]] = {site: [] for site in regions}
    for unit in units:
        sites = [owner[region_of[one]] for one in unit.hospitals if region_of.get(one) in owner]
        if sites:
            dealt[Counter(sites).most_common(1)[0][0]].extend(unit.hospitals)
    return dealt
