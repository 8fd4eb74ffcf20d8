"""What a site is willing to say about its training stays, so that ids and scaling can be fitted without pooling.

A survey is a small file that a person can read before it leaves the site. Whatever it says is true of at least
``minimum_cell`` stays; what is not is withheld:

- a category name and its count, if that many stays have it; and if what is then withheld in a field could be worked out
  from the total to be fewer stays than that, the rarest reported name is withheld as well;
- a variable's lowest and highest value, such that that many stays reach as low and as high: nobody's extreme stands
  there;
- a variable's median, and the number of samples of each outcome, if they come from that many stays.

Only training hospitals are asked; what is held out stays unseen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from fl_app.eicu.clinical import FILLED, SUFFIX
from fl_app.eicu.cohort import GENDERS, KNOWN_ETHNICITIES
from fl_app.eicu.errors import EicuDataError, EmptyTable
from fl_app.eicu.features import VARIANTS, hourly_features
from fl_app.eicu.hospitals import SiteHospitals
from fl_app.eicu.options import Options
from fl_app.eicu.tables import Tables
from fl_app.eicu.tasks import TASKS, Samples
from fl_app.eicu.variables import CATEGORICAL, NUMERIC, OTHER_ETHNICITY, RULES_VERSION

MINIMUM_CELL = 10
"""Stays below which nothing is reported, unless said otherwise; Medicare's rule for published cells is 11."""

FIELDS: Mapping[str, tuple[str, ...] | None] = {
    CATEGORICAL[0]: None,
    CATEGORICAL[1]: (*KNOWN_ETHNICITIES, OTHER_ETHNICITY),
    CATEGORICAL[2]: GENDERS,
}
"""Fields of names, and the names that they may have, None for any. The scores need no fit: they are whole numbers."""

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Survey:
    """What one site reports.

    ``categories``: field to name to stays. ``ranges``: variable to (lowest, highest). ``medians``: of charted values,
    before anything is filled in; the clinical variant's alone. ``outcomes``: class to samples, None if withheld or if
    the task has no classes.
    """

    site: str
    task: str
    variant: str
    rules: int
    minimum_cell: int
    stays: int
    categories: Mapping[str, Mapping[str, int]]
    ranges: Mapping[str, tuple[float, float]]
    medians: Mapping[str, float]
    outcomes: Mapping[str, int] | None

    def text(self) -> str:
        """Return the file's text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Survey:
        """Read a survey that a site has handed over; nothing in it is believed unchecked.

        Raises:
            EicuDataError: it is missing, malformed, made by other rules, or reports what its own minimum forbids.
        """
        try:
            found = json.loads(path.read_text("utf-8"))
            survey = cls(
                site=str(found["site"]),
                task=str(found["task"]),
                variant=str(found["variant"]),
                rules=int(found["rules"]),
                minimum_cell=int(found["minimum_cell"]),
                stays=int(found["stays"]),
                categories={
                    field: {str(name): int(count) for name, count in found["categories"][field].items()}
                    for field in FIELDS
                },
                ranges={str(name): (float(low), float(high)) for name, (low, high) in found["ranges"].items()},
                medians={str(name): float(value) for name, value in found["medians"].items()},
                outcomes=None
                if found["outcomes"] is None
                else {str(outcome): int(count) for outcome, count in found["outcomes"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EicuDataError(
                f"{path}: is no survey: {error!r}.",
                remedy="Let the site make it: python -m fl_app.eicu survey --source DIR --site NAME --out FILE",
            ) from error
        wrong = survey._wrong()
        if wrong:
            raise EicuDataError(f"{path}: {wrong}.", remedy="Let the site make it again with this version.")
        return survey

    def _wrong(self) -> str | None:
        if self.rules != RULES_VERSION:
            return f"it was made by rules {self.rules}; these are rules {RULES_VERSION}"
        if self.task not in TASKS or self.variant not in VARIANTS:
            return f"there is no task {self.task!r} in a variant {self.variant!r}"
        if self.minimum_cell < 1 or self.stays < self.minimum_cell:
            return f"{self.stays} stays are fewer than its minimum of {self.minimum_cell}"
        for field, counts in self.categories.items():
            allowed = FIELDS[field]
            for name, count in counts.items():
                if not self.minimum_cell <= count <= self.stays or not 0 < len(name) <= _LONGEST_NAME:
                    return f"{field} {name[:40]!r} has {count} stays; allowed: {self.minimum_cell} to {self.stays}"
                if allowed is not None and name not in allowed:
                    return f"{field} {name[:40]!r} is none of {', '.join(allowed)}"
        for name, (low, high) in self.ranges.items():
            if name not in NUMERIC or not (math.isfinite(low) and math.isfinite(high) and low < high):
                return f"the range of {name[:40]!r} is {low} to {high}"
        for name, median in self.medians.items():
            if f"{name}{SUFFIX}" not in FILLED or not math.isfinite(median):
                return f"the median of {name[:40]!r} is {median}"
        if self.outcomes is not None and (set(self.outcomes) != {"0", "1"} or min(self.outcomes.values()) < 1):
            return f"the outcomes are {dict(self.outcomes)}"
        return None


def survey(folder: Path, site: str, options: Options, minimum_cell: int = MINIMUM_CELL) -> Survey:
    """Survey a site's training hospitals.

    Args:
        folder: the site's own, with ``hospitals.json``.
        site: its name.
        options: the task and the variant that will be trained.
        minimum_cell: stays below which nothing is reported.

    Raises:
        EicuDataError: the data cannot be used.
        EmptyTable: there are fewer training stays than the minimum, so that nothing may be reported.
    """
    tables = Tables(folder)
    hospitals = SiteHospitals.read(folder, site)
    features = hourly_features(tables, options.variant)
    samples = TASKS[options.task].samples(features.rows, features.cohort.stays, tables)
    return survey_of(samples, hospitals.train, site, options, minimum_cell)


def survey_of(
    samples: Samples, hospitals: Sequence[int], site: str, options: Options, minimum_cell: int = MINIMUM_CELL
) -> Survey:
    """Survey the samples of these hospitals; see :func:`survey`.

    Raises:
        EmptyTable: there are fewer stays than the minimum.
    """
    rows = samples.rows.filter(pl.col("hospitalid").is_in(hospitals))
    stays = rows.unique("patientunitstayid", keep="first", maintain_order=True)
    if stays.height < minimum_cell:
        raise EmptyTable(
            f"{site}: {stays.height} training stays for {options.task}; nothing is said of fewer than {minimum_cell}.",
            remedy="Train with the fixed vocabulary and ranges, which need no survey, or lower --minimum-cell.",
        )
    return Survey(
        site=site,
        task=options.task,
        variant=options.variant,
        rules=RULES_VERSION,
        minimum_cell=minimum_cell,
        stays=stays.height,
        categories={field: reportable(_counts(stays, field), minimum_cell) for field in FIELDS},
        ranges=_ranges(rows, minimum_cell),
        medians=_medians(rows, VARIANTS[options.variant].indicators, minimum_cell),
        outcomes=_outcomes(rows, samples, minimum_cell),
    )


def reportable(counts: Mapping[str, int], minimum_cell: int) -> dict[str, int]:
    """Return the counts that may be reported, the frequent first.

    What is withheld is nothing, or at least ``minimum_cell`` stays together: otherwise the total would tell it. It is
    the rarest that is given up for that.

    Source: secondary suppression, as in Hundepool et al., Statistical Disclosure Control, Wiley 2012, chapter 4.
    """
    order = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    kept = [entry for entry in order if entry[1] >= minimum_cell]
    withheld = sum(counts.values()) - sum(count for _, count in kept)
    if 0 < withheld < minimum_cell:
        kept = kept[:-1]
    return dict(kept)


def _counts(stays: pl.DataFrame, field: str) -> dict[str, int]:
    return {str(name): int(count) for name, count in stays.group_by(field).len().sort(field).iter_rows()}


def _ranges(rows: pl.DataFrame, minimum_cell: int) -> dict[str, tuple[float, float]]:
    by_stay = rows.group_by("patientunitstayid").agg(
        *(pl.col(name).min().alias(f"low {name}") for name in NUMERIC),
        *(pl.col(name).max().alias(f"high {name}") for name in NUMERIC),
    )
    found = {}
    for name in NUMERIC:
        low = float(by_stay[f"low {name}"].sort()[minimum_cell - 1])
        high = float(by_stay[f"high {name}"].sort(descending=True)[minimum_cell - 1])
        if low < high:
            found[name] = (low, high)
    return found


def _medians(rows: pl.DataFrame, indicators: tuple[str, ...], minimum_cell: int) -> dict[str, float]:
    found = {}
    for indicator in indicators:
        charted = rows.filter(pl.col(indicator) == 0)
        name = indicator.removesuffix(SUFFIX)
        if charted["patientunitstayid"].n_unique() >= minimum_cell:
            found[name] = float(charted.select(pl.col(name).median()).item())
    return found


def _outcomes(rows: pl.DataFrame, samples: Samples, minimum_cell: int) -> dict[str, int] | None:
    labels = samples.labels
    if labels.schema["label"] != pl.Int64:
        return None
    mine = rows.unique("sample").join(labels, on="sample")
    by_class = mine.group_by("label").agg(pl.len(), stays=pl.col("patientunitstayid").n_unique())
    if by_class.height < 2 or int(by_class["stays"].min() or 0) < minimum_cell:  # type: ignore[arg-type]
        return None
    return {str(outcome): int(count) for outcome, count in by_class.sort("label").select("label", "len").iter_rows()}
