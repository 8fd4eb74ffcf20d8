"""Which of 25 conditions are diagnosed during a stay, from all of its hours.

The conditions are categories of AHRQ's Clinical Classifications Software for ICD-9-CM (single level, 2015), which is in
the public domain; ``phenotypes.json`` holds their codes. The benchmark's published lists are these very categories.

Source: Sheikhalishahi et al., PLOS ONE 2020, and the code published with it; Healthcare Cost and Utilization Project,
https://hcup-us.ahrq.gov/toolssoftware/ccs/ccs.jsp.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import polars as pl

from fl_app.eicu.tables import Kind, Tables
from fl_app.eicu.tasks.mortality import MINUTES_PER_DAY
from fl_app.eicu.tasks.task import Samples, one_per_stay

DIAGNOSIS = "diagnosis"
_COLUMNS = {"patientunitstayid": Kind.ID, "diagnosisoffset": Kind.MINUTE, "icd9code": Kind.TEXT}


@cache
def phenotypes() -> dict[str, frozenset[str]]:
    """Return the ICD-9 codes, without their dots, of each of the 25 conditions, in the benchmark's order."""
    found = json.loads(files("fl_app.eicu.tasks").joinpath("phenotypes.json").read_text("utf-8"))
    return {name: frozenset(codes) for name, codes in found["phenotypes"].items()}


@dataclass(frozen=True, slots=True)
class PhenotypingTask:
    """The 25 conditions at once.

    A diagnosis counts if it was entered after admission; its first code is the ICD-9 one. A stay without any of the 25
    gets no sample, as in the benchmark. Rows with hour > 0 up to unit discharge, 200 at most.
    """

    name: str = "phenotyping"
    about: str = "which of 25 conditions are diagnosed during the stay, from all of its hours"
    hours: int = 200
    outputs: int = 25
    tables: tuple[str, ...] = (DIAGNOSIS,)

    def samples(self, rows: pl.DataFrame, stays: pl.DataFrame, tables: Tables) -> Samples:
        """Return a sample per stay with a diagnosis among the 25; the label is Float32 0 or 1 ``[25]``."""
        ends = stays.select("patientunitstayid", "unitdischargeoffset")
        remaining = pl.col("unitdischargeoffset") / MINUTES_PER_DAY - pl.col("hour") / 24
        mine = (
            rows.join(ends, on="patientunitstayid", how="inner", maintain_order="left")
            .filter(pl.col("hour") > 0, remaining >= 0)
            .drop("unitdischargeoffset")
        )
        return one_per_stay(mine, labels_of(tables))


def labels_of(tables: Tables) -> pl.DataFrame:
    """Read the diagnosis table.

    Returns:
        (patientunitstayid, label), a row per stay with any of the 25, sorted.

    Raises:
        EicuDataError: the table is missing, empty or broken.
    """
    table = tables.table(DIAGNOSIS)
    table.require_rows()
    first = pl.col("icd9code").str.split(",").list.first().str.replace_all(".", "", literal=True)
    known = table.scan(_COLUMNS).filter(pl.col("diagnosisoffset") > 0, pl.col("patientunitstayid").is_not_null())
    listed = pl.DataFrame(
        [(code, number) for number, codes in enumerate(phenotypes().values()) for code in sorted(codes)],
        schema={"code": pl.String, "number": pl.Int64},
        orient="row",
    )
    found = table.collect(
        known.select("patientunitstayid", code=first).join(listed.lazy(), on="code").drop("code").unique()
    )
    has = [(pl.col("number") == number).any().cast(pl.Float32) for number in range(len(phenotypes()))]
    return found.group_by("patientunitstayid").agg(pl.concat_arr(has).alias("label")).sort("patientunitstayid")
