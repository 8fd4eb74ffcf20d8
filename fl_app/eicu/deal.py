"""Deal a release to sites: each site's folder gets the rows of its own stays, and nobody else's."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import polars as pl

from fl_app.eicu.cohort import read_patients, select_cohort
from fl_app.eicu.errors import UnusableSplit
from fl_app.eicu.folder import whole_folder
from fl_app.eicu.hospitals import SiteHospitals
from fl_app.eicu.partition import assert_disjoint, deal_to_sites, train_and_test, units_of
from fl_app.eicu.regions import hospitals_by_region
from fl_app.eicu.source import source_of
from fl_app.eicu.tables import Table, Tables

DEAL_FILE = "deal.json"
NEEDED = ("patient", "nurseCharting", "lab")
OPTIONAL = ("hospital", "apachePatientResult", "apacheApsVar", "diagnosis")
_GZIP_LEVEL = 1  # four times faster than the default for a sixth more bytes


@dataclass(frozen=True, slots=True)
class Share:
    """What one site gets."""

    site: str
    hospitals: SiteHospitals
    patients: pl.DataFrame

    @property
    def all_hospitals(self) -> tuple[int, ...]:
        """Return the site's hospitals, train and test."""
        return tuple(sorted((*self.hospitals.train, *self.hospitals.test)))


def plan(
    tables: Tables,
    sites: Sequence[str],
    seed: int,
    *,
    assigned: Mapping[str, Sequence[int]],
    test_share: float,
    source: str,
    regions: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Share]:
    """Decide which hospitals each site gets, and which of them test; see :func:`deal`.

    Raises:
        EicuDataError: the patient table cannot be used, or no such split exists.
    """
    patients = read_patients(tables)
    units = units_of(patients, select_cohort(patients).stays)
    both = sorted(set(assigned) & set(regions))
    if both:
        raise UnusableSplit(f"{both[0]} is to get hospitals and regions.", remedy="Name one or the other.")
    by_region = hospitals_by_region(tables, units, regions) if regions else {}
    shares = []
    for site, mine in deal_to_sites(units, sites, seed, {**assigned, **by_region}).items():
        train, test = train_and_test(mine, test_share, seed, site)
        stays = patients.filter(pl.col("hospitalid").is_in([*train, *test]))
        in_test = pl.col("hospitalid").is_in(test)
        assert_disjoint({f"{site} train": stays.filter(~in_test), f"{site} test": stays.filter(in_test)})
        shares.append(Share(site, SiteHospitals(train, test, source), stays))
    assert_disjoint({share.site: share.patients for share in shares})
    return shares


def deal(
    source: Path,
    out: Path,
    sites: Sequence[str],
    seed: int,
    *,
    assigned: Mapping[str, Sequence[int]] | None = None,
    test_share: float = 0.25,
    regions: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Share]:
    """Write one folder per site under ``out``: its tables as CSV.gz, and ``hospitals.json``.

    The folder appears whole or not at all; one that an earlier deal made is replaced.

    Args:
        source: the release.
        out: where to; must be new, empty, or an earlier deal's.
        sites: the sites' names.
        seed: decides which hospitals go where.
        assigned: hospitals per site where they are given; the other sites share the rest.
        test_share: how much of each site is held out, by hospital.
        regions: regions per site where they are given, see :mod:`fl_app.eicu.regions`.

    Raises:
        EicuDataError: the source cannot be read or split, or ``out`` cannot be written.
    """
    tables = Tables(source)
    found = [tables.table(name) for name in NEEDED]
    for table in found:
        table.require_rows()
    found += [tables.table(name) for name in OPTIONAL if tables.has(name)]
    shares = plan(
        tables,
        sites,
        seed,
        assigned=assigned or {},
        test_share=test_share,
        source=source_of(source),
        regions=regions,
    )
    with whole_folder(out, made_by=DEAL_FILE) as folder:
        for share in shares:
            (folder / share.site).mkdir()
            share.hospitals.write(folder / share.site)
        for table in found:
            _deal_table(table, shares, folder)
        summary = {
            "seed": seed,
            "source": shares[0].hospitals.source,
            "sites": {
                share.site: {"stays": share.patients.height, "hospitals": share.all_hospitals} for share in shares
            },
        }
        (folder / DEAL_FILE).write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    return shares


def _deal_table(table: Table, shares: Sequence[Share], folder: Path) -> None:
    """Write each site's rows of a table, all columns as they are, in the source's order."""
    raw, by_lower_case = table.raw()
    key = "hospitalid" if table.name == "hospital" else "patientunitstayid"
    if key not in by_lower_case:
        return
    column = by_lower_case[key]
    mine = {
        share.site: pl.Series(
            share.all_hospitals if key == "hospitalid" else share.patients["patientunitstayid"], dtype=pl.Int64
        )
        for share in shares
    }
    id_ = pl.col(column).cast(pl.String).str.strip_chars().str.strip_suffix(".0").cast(pl.Int64)
    header = raw.head(0).collect()
    with ExitStack() as stack:
        workers = stack.enter_context(ThreadPoolExecutor(len(shares)))
        files = {
            share.site: stack.enter_context(_gzip(folder / share.site / f"{table.name}.csv.gz")) for share in shares
        }
        for file in files.values():
            file.write(header.write_csv().encode())

        def write(site: str, batch: pl.DataFrame) -> None:
            rows = batch.filter(pl.col("federate_id").is_in(mine[site].implode())).drop("federate_id")
            text = io.BytesIO()
            rows.write_csv(text, include_header=False)
            files[site].write(text.getbuffer())

        for batch in table.batches(raw.with_columns(federate_id=id_), in_order=True):
            for done in [workers.submit(write, site, batch) for site in files]:
                done.result()


@contextmanager
def _gzip(path: Path) -> Iterator[gzip.GzipFile]:
    """Open a gzip file whose bytes do not depend on the time or the path."""
    with path.open("wb") as plain, gzip.GzipFile("", "wb", _GZIP_LEVEL, plain, mtime=0) as file:
        yield file
