"""From the two charting tables to events: (stay, minute, item, value), the only thing the hourly rows need.

An event is 17 bytes. They are read in batches, so that memory holds the cohort's events and never a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from fl_app.eicu.errors import UnreadableTable
from fl_app.eicu.tables import Kind, Table, Tables
from fl_app.eicu.variables import CHART_LABELS, CHART_NAMES, ITEM, LAB_ITEMS, OTHER_ITEM

FARTHEST_MINUTE = 2**25 - 1
"""63 years. An offset beyond it is a fault of the data; within it, a stay's minute fits the reduction's sort key."""

EVENT_SCHEMA = {"stay": pl.UInt32(), "minute": pl.Int32(), "item": pl.UInt8(), "value": pl.Float64()}

_MERGED_NAMES = {
    **{name: name for name in ITEM},
    "Non-Invasive BP Systolic": "Invasive BP Systolic",
    "Non-Invasive BP Diastolic": "Invasive BP Diastolic",
    "Temperature (F)": "Temperature (C)",
}
_CODE_OF_NAME = {name: ITEM[item] for name, item in _MERGED_NAMES.items()}


def read_events(tables: Tables, stays: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Read what was charted and measured for these stays.

    Args:
        tables: the release; ``nurseCharting`` and ``lab`` are read.
        stays: one row per stay with ``patientunitstayid``; the row's number is the event's ``stay``.

    Yields:
        Frames of :data:`EVENT_SCHEMA`: minutes from unit admission; item code (see
        :data:`fl_app.eicu.variables.CHARTED`, or ``OTHER_ITEM``); value in the benchmark's unit, null if the text is no
        number. In no order. Rows without an offset are left out.

    Raises:
        EicuDataError: a table is missing or broken.
    """
    known = stays.select(pl.col("patientunitstayid"), stay=pl.int_range(pl.len(), dtype=pl.UInt32))
    lab = tables.table("lab")
    yield from _batches(lab, _lab_events(lab), known)
    charting = tables.table("nurseCharting")
    yield from _batches(charting, _charting_events(charting), known)


def _batches(table: Table, events: pl.LazyFrame, known: pl.DataFrame) -> Iterator[pl.DataFrame]:
    table.require_rows()
    ids = known["patientunitstayid"]
    # The filter says what the join would, but reaches the reader: rows of other stays are dropped before all else.
    mine = events.filter(pl.col("patientunitstayid").is_in(ids.implode()), pl.col("minute").is_not_null()).join(
        known.lazy(), on="patientunitstayid", how="inner"
    )
    for batch in table.batches(mine.select(pl.col(name).cast(dtype) for name, dtype in EVENT_SCHEMA.items())):
        extremes = [batch["minute"].min(), batch["minute"].max()]
        for minute in extremes:
            if isinstance(minute, int) and abs(minute) > FARTHEST_MINUTE:
                raise UnreadableTable(
                    f"{table.where}: an offset of {minute} minutes is {abs(minute) // 525_600} years from admission.",
                    remedy="Offsets are minutes from unit admission; correct or remove the row.",
                )
        yield batch


def _lab_events(table: Table) -> pl.LazyFrame:
    codes = {name: ITEM[item] for name, item in LAB_ITEMS.items()}
    rows = table.scan(
        {
            "patientunitstayid": Kind.ID,
            "labresultoffset": Kind.MINUTE,
            "labname": Kind.TEXT,
            "labresult": Kind.NUMBER,
        },
        where=pl.col("labname").is_in(list(codes)),
    )
    return rows.join(_table(codes), left_on="labname", right_on="text").select(
        "patientunitstayid", "item", minute="labresultoffset", value="labresult"
    )


def _charting_events(table: Table) -> pl.LazyFrame:
    """Select by label or by name; then unify names in the published order.

    A row whose name is none of the 14 items stays as ``OTHER_ITEM``: the benchmark keeps its minute as a row of the
    stay's series, which is what its glucose shift counts.
    """
    label, name = pl.col("nursingchartcelltypevallabel"), pl.col("nursingchartcelltypevalname")
    rows = table.scan(
        {
            "patientunitstayid": Kind.ID,
            "nursingchartoffset": Kind.MINUTE,
            "nursingchartcelltypevallabel": Kind.TEXT,
            "nursingchartcelltypevalname": Kind.TEXT,
            "nursingchartvalue": Kind.NUMBER,
        },
        where=label.is_in(CHART_LABELS) | name.is_in(CHART_NAMES),
    )
    charted = pl.when(name == "Value").then(label).otherwise(name)
    item = (
        pl.when(label == "Arterial Line MAP (mmHg)")
        .then(pl.lit(ITEM["MAP (mmHg)"], dtype=pl.UInt8))
        .otherwise(pl.col("item").fill_null(OTHER_ITEM))
    )
    value = pl.col("nursingchartvalue")
    coded = rows.with_columns(text=charted).join(_table(_CODE_OF_NAME), on="text", how="left")
    return coded.select(
        "patientunitstayid",
        minute="nursingchartoffset",
        item=item,
        value=pl.when(name == "Temperature (F)").then((value - 32) * (5 / 9)).otherwise(value),
    )


def _table(codes: Mapping[str, int]) -> pl.LazyFrame:
    """Return (text, item) for a join: unlike ``replace_strict`` it streams."""
    return pl.LazyFrame(
        {"text": list(codes), "item": list(codes.values())}, schema={"text": pl.String, "item": pl.UInt8}
    )
