"""A vocabulary, ranges, medians and class frequencies fitted on several sites' surveys: one file, the same everywhere.

The coordinator makes it of the sites' surveys (:mod:`fl_app.eicu.survey`) and hands it to each of them, which puts it
into its data folder as ``fit.json``. The federation's configuration names it by its digest, so a site with another one
does not train: ids that mean something else at another site would go unnoticed and spoil the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fl_app.eicu.errors import EicuDataError
from fl_app.eicu.survey import FIELDS, Survey
from fl_app.eicu.variables import CATEGORICAL, CLINICAL_RANGES, NO_DIAGNOSIS, OTHER_ETHNICITY
from fl_app.eicu.vocabulary import MOST_DIAGNOSES, Vocabulary, lay_out

FIT_FILE = "fit.json"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was fitted.

    ``categories``: field to names, sorted. ``ranges``: a variable that no site could report has its fixed clinical
    range. ``medians``: of the clinical variant. ``outcomes``: class to samples over all sites, None if one withheld
    them; then each site uses its own.
    """

    task: str
    variant: str
    rules: int
    minimum_cell: int
    sites: tuple[str, ...]
    stays: int
    categories: dict[str, tuple[str, ...]]
    ranges: dict[str, tuple[float, float]]
    medians: dict[str, float]
    outcomes: dict[str, int] | None

    def text(self) -> str:
        """Return the file's text; the same for the same surveys, in whatever order they came."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    def vocabulary(self) -> Vocabulary:
        """Return the category ids, in the same 429 as the fixed ones."""
        return lay_out(f"fit of {', '.join(self.sites)}", *(self.categories[field] for field in FIELDS))

    @classmethod
    def read(cls, folder: Path, digest: str, *, task: str, variant: str) -> Fitted:
        """Read the fit of a site's folder.

        Args:
            folder: the site's own.
            digest: SHA-256 of the file that the federation trains with.
            task: what is trained.
            variant: on which features.

        Raises:
            EicuDataError: the file is missing or another one, or it was fitted for something else.
        """
        path = folder / FIT_FILE
        try:
            content = path.read_bytes()
        except OSError as error:
            raise EicuDataError(
                f"{path}: cannot be read: {error}.",
                remedy="training.dataset.options.fit names a fit; put the coordinator's fit.json there.",
            ) from error
        found = hashlib.sha256(content).hexdigest()
        if found != digest:
            raise EicuDataError(
                f"{path}: its SHA-256 is {found[:12]}…; the federation trains with {digest[:12]}…",
                remedy="Get the coordinator's current fit.json, or correct training.dataset.options.fit.",
            )
        document = json.loads(content)
        fit = cls(
            **{
                **document,
                "sites": tuple(document["sites"]),
                "categories": {field: tuple(names) for field, names in document["categories"].items()},
                "ranges": {name: (low, high) for name, (low, high) in document["ranges"].items()},
            }
        )
        if (fit.task, fit.variant) != (task, variant):
            raise EicuDataError(
                f"{path}: was fitted for {fit.task} on {fit.variant}; {task} on {variant} is to be trained.",
                remedy="Survey and fit again for this task and variant.",
            )
        return fit


def fit(surveys: Sequence[Survey]) -> Fitted:
    """Fit on what the sites report: unions of names, lowest and highest values, sums, means of medians by stays.

    Raises:
        EicuDataError: there is no survey, two are of one site, they are not of one task and variant, or more names are
            reported than the vocabulary has room for.
    """
    if not surveys:
        raise EicuDataError("no surveys.", remedy="Give each site's survey file.")
    ordered = sorted(surveys, key=lambda one: one.site)
    sites = tuple(one.site for one in ordered)
    if len(set(sites)) < len(sites):
        twice = next(site for site in sites if sites.count(site) > 1)
        raise EicuDataError(f"two surveys are of {twice}.", remedy="Give one of each site.")
    made_for = {(one.task, one.variant) for one in ordered}
    if len(made_for) > 1:
        told = "; ".join(f"{one.site}: {one.task} on {one.variant}" for one in ordered)
        raise EicuDataError(f"the surveys are not of one task and variant: {told}.", remedy="Survey again alike.")
    categories = {
        field: tuple(
            sorted({name for one in ordered for name in one.categories[field]} - {NO_DIAGNOSIS, OTHER_ETHNICITY})
        )
        for field in FIELDS
    }
    if len(categories[CATEGORICAL[0]]) > MOST_DIAGNOSES:
        raise EicuDataError(
            f"the sites report {len(categories[CATEGORICAL[0]])} admission diagnoses; "
            f"the vocabulary has room for {MOST_DIAGNOSES}.",
            remedy="Survey again with a larger --minimum-cell: rare diagnoses then share the unknown id.",
        )
    all_counted = all(one.outcomes is not None for one in ordered)
    return Fitted(
        task=ordered[0].task,
        variant=ordered[0].variant,
        rules=ordered[0].rules,
        minimum_cell=min(one.minimum_cell for one in ordered),
        sites=sites,
        stays=sum(one.stays for one in ordered),
        categories=categories,
        ranges={name: _hull(name, ordered) for name in CLINICAL_RANGES},
        medians={
            name: _mean_by_stays(name, ordered) for name in sorted({name for one in ordered for name in one.medians})
        },
        outcomes={outcome: sum((one.outcomes or {})[outcome] for one in ordered) for outcome in ("0", "1")}
        if all_counted
        else None,
    )


def _hull(name: str, surveys: Sequence[Survey]) -> tuple[float, float]:
    known = [one.ranges[name] for one in surveys if name in one.ranges]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else CLINICAL_RANGES[name]


def _mean_by_stays(name: str, surveys: Sequence[Survey]) -> float:
    known = [(one.medians[name], one.stays) for one in surveys if name in one.medians]
    return sum(median * stays for median, stays in known) / sum(stays for _, stays in known)
