"""Write a synthetic release, chunk by chunk: any size, in the memory of one chunk per processor."""

from __future__ import annotations

import gzip
import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl

from fl_app.eicu.folder import whole_folder
from fl_app.eicu.source import SOURCE_FILE, SYNTHETIC
from fl_app.eicu.synthetic.apache import apache_results, apache_variables
from fl_app.eicu.synthetic.charting import charting, laboratory
from fl_app.eicu.synthetic.diagnoses import diagnoses
from fl_app.eicu.synthetic.population import Hospitals, hospitals, stays
from fl_app.eicu.variables import RULES_VERSION

STAYS_PER_CHUNK = 500
_IDS_PER_CHUNK = 10_000_000
_GZIP_LEVEL = 1


def synthesize(out: Path, number: int, seed: int) -> int:
    """Write a synthetic eICU as CSV.gz, marked as such by ``SOURCE.json``.

    The same number and seed give the same bytes. The folder appears whole or not at all; an earlier synthetic one is
    replaced.

    Args:
        out: where to; must be new, empty, or an earlier synthetic release.
        number: how many unit stays.
        seed: of everything random.

    Returns:
        The number of nurseCharting rows.

    Raises:
        EicuDataError: ``out`` is something else, or cannot be written.
    """
    places = hospitals(number, np.random.default_rng([seed, 0]))
    rows = 0
    with whole_folder(out, made_by=SOURCE_FILE) as folder:
        about = {"source": SYNTHETIC, "stays": number, "seed": seed, "rules": RULES_VERSION}
        (folder / SOURCE_FILE).write_text(json.dumps(about, indent=1) + "\n", "utf-8")
        (folder / "hospital.csv.gz").write_bytes(_packed(places.table, header=True))
        with ExitStack() as stack:
            files = {}
            for chunk, tables in enumerate(_chunks(number, seed, places)):
                for name, (packed, height) in tables.items():
                    if chunk == 0:
                        files[name] = stack.enter_context((folder / f"{name}.csv.gz").open("wb"))
                    files[name].write(packed)
                    rows += height if name == "nurseCharting" else 0
    return rows


def _chunks(number: int, seed: int, places: Hospitals) -> Iterator[dict[str, tuple[bytes, int]]]:
    """Make chunks side by side and hand them out in order; never more of them ahead than there are processors."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[dict[str, tuple[bytes, int]]]] = deque()
        for chunk in range(-(-number // STAYS_PER_CHUNK)):
            ahead.append(pool.submit(_chunk, chunk, number, seed, places))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _chunk(chunk: int, number: int, seed: int, places: Hospitals) -> dict[str, tuple[bytes, int]]:
    """Return every table's rows of a chunk, packed; a gzip file may be several such members one after the other."""
    rng = np.random.default_rng([seed, 1, chunk])
    first = chunk * STAYS_PER_CHUNK
    some = stays(first, min(STAYS_PER_CHUNK, number - first), places, rng)
    id_ = 1 + chunk * _IDS_PER_CHUNK
    tables = {
        "patient": some.table,
        "nurseCharting": charting(some, places, id_, rng),
        "lab": laboratory(some, places, id_, rng),
        "apachePatientResult": apache_results(some, id_),
        "apacheApsVar": apache_variables(some, id_, rng),
        "diagnosis": diagnoses(some, id_, rng),
    }
    return {name: (_packed(table, header=chunk == 0), table.height) for name, table in tables.items()}


def _packed(table: pl.DataFrame, *, header: bool) -> bytes:
    return gzip.compress(table.write_csv(include_header=header).encode(), _GZIP_LEVEL, mtime=0)
