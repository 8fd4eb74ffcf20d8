"""Events to hourly values with one sort: the benchmark's reduction on arrays, since that is where the time goes.

Each event's (stay, minute, item) is packed into one integer; once these are sorted, copies, minutes, hours and stays
are runs of neighbours, and every later step is linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fl_app.eicu.variables import CHARTED, ITEM

_ITEM_BITS, _MINUTE_BITS = 4, 26
_ZERO_MINUTE = 1 << (_MINUTE_BITS - 1)

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Charted:
    """Values, one per stay, minute and item, and the minutes that they were charted in.

    ``minute_of`` is each value's position in ``minutes``; ``minutes`` are the sorted (stay, minute) with any event,
    packed. ``value`` is NaN where it is missing.
    """

    minutes: Integers
    minute_of: Integers
    item: Integers
    value: Floats


def one_value_per_minute(events: pl.DataFrame) -> Charted:
    """Keep, per stay, minute and item, the last value after sorting, where missing sorts last.

    So it is the largest value, or missing if any of them is missing.
    """
    minute = pl.col("stay").cast(pl.Int64) * (1 << _MINUTE_BITS) + pl.col("minute") + _ZERO_MINUTE
    packed = events.select(minute * (1 << _ITEM_BITS) + pl.col("item")).to_series()
    key: Integers = packed.to_numpy()
    order = np.argsort(key, kind="stable")  # finds the runs that the files are sorted in, which is most of the work
    key = key[order]
    starts = np.flatnonzero(_differs(key))
    # np.maximum hands NaN on, which is the rule.
    value = np.maximum.reduceat(events["value"].fill_null(float("nan")).to_numpy()[order], starts)
    key = key[starts]
    minutes = key >> _ITEM_BITS
    first = _differs(minutes)
    return Charted(minutes[first], np.cumsum(first) - 1, key & ((1 << _ITEM_BITS) - 1), value)


def shift_glucose(charted: Charted) -> Charted:
    """Move every glucose to the minute before it at which the stay has any row; the first one of a stay is lost.

    A minute counts even if all that was charted in it is missing or is no item of the benchmark.
    """
    stay = charted.minutes >> _MINUTE_BITS
    has_earlier = ~_differs(stay)
    glucose = charted.item == ITEM["glucose"]
    keep = ~glucose | has_earlier[charted.minute_of]
    return Charted(
        charted.minutes,
        (charted.minute_of - glucose)[keep],
        charted.item[keep],
        charted.value[keep],
    )


def hourly_table(charted: Charted) -> pl.DataFrame:
    """Reduce to one row per stay and hour: the hour's last minute with any value; its gaps take the hour's mean.

    Returns:
        (stay, hour, one Float64 column per item of :data:`CHARTED`), sorted; missing values are null.
    """
    items = len(CHARTED)
    there = (charted.item < items) & ~np.isnan(charted.value)
    minute_of, item, value = charted.minute_of[there], charted.item[there], charted.value[there]
    used = np.zeros(len(charted.minutes), dtype=bool)
    used[minute_of] = True
    stay = charted.minutes >> _MINUTE_BITS
    minute = (charted.minutes & ((1 << _MINUTE_BITS) - 1)) - _ZERO_MINUTE
    hour = np.sign(minute) * (np.abs(minute) // 60)  # truncated toward zero: -59 // 60 would be -1
    used_minutes = np.flatnonzero(used)
    opens = _differs(stay[used_minutes]) | _differs(hour[used_minutes])
    row_of = np.zeros(len(used), dtype=np.int64)
    row_of[used_minutes] = np.cumsum(opens) - 1
    opening = used_minutes[opens]
    last = used_minutes[np.append(np.flatnonzero(opens)[1:], len(used_minutes)) - 1] if len(opening) else opening
    cell = row_of[minute_of] * items + item
    size = len(opening) * items
    with np.errstate(invalid="ignore"):
        table: Floats = np.bincount(cell, value, size) / np.bincount(cell, minlength=size)
    at_last = minute_of == last[row_of[minute_of]] if len(last) else np.zeros(0, dtype=bool)
    table[cell[at_last]] = value[at_last]
    columns: dict[str, Any] = {"stay": stay[opening].astype(np.uint32), "hour": hour[opening].astype(np.int32)}
    by_item = table.reshape(-1, items)
    columns |= {variable.name: np.ascontiguousarray(by_item[:, code]) for code, variable in enumerate(CHARTED)}
    return pl.DataFrame(columns).with_columns(pl.col(variable.name).fill_nan(None) for variable in CHARTED)


def _differs(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say of each value whether it differs from the one before it; the first does."""
    differs = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return differs
