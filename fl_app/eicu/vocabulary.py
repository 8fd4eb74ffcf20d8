"""Category ids that are the same at every site, whatever it holds: nothing is fitted on anybody's patients.

The benchmark numbers categories from 1 with one block per field, 428 ids and padding on the full database. No complete
list was published, so the names in ``vocabulary.json`` come from the open eICU demo (``python -m fl_app.eicu
vocabulary --source DIR`` writes it; category names only, no patient's data), and the ids that the demo does not use up
are reserved within the same 429:

    id 0        padding, contributes nothing (:mod:`fl_app.eicu.representation`)
    1..389      apacheadmissiondx: 1 unknown, 2 none recorded ("nodx"), then the demo's names, then reserved
    390..395    ethnicity: 390 other, unknown or not listed, then five names
    396..398    gender: 396 unknown, 397 Female, 398 Male
    399..413    GCS Total 1 to 15;  414..417 Eyes 1 to 4;  418..423 Motor 1 to 6;  424..428 Verbal 1 to 5

A score is truncated to a whole number, as the published code does, and then set to the nearer end of its block.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import polars as pl

from fl_app.eicu.cohort import GENDERS, KNOWN_ETHNICITIES
from fl_app.eicu.variables import CATEGORICAL, NO_DIAGNOSIS

SIZE = 429
FILE = "vocabulary.json"
_DIAGNOSES = 389
MOST_DIAGNOSES = _DIAGNOSES - 2
"""Names that the block of diagnoses has room for, beside unknown and none."""


@dataclass(frozen=True, slots=True)
class Names:
    """A field of names: ``first`` is the id of whatever is not listed, the listed follow in order."""

    field: str
    first: int
    size: int
    known: tuple[str, ...]

    def ids(self) -> pl.Expr:
        """Return the id of each value of the field."""
        codes = {name: self.first + 1 + position for position, name in enumerate(self.known)}
        return pl.col(self.field).replace_strict(codes, default=self.first, return_dtype=pl.Int64)


@dataclass(frozen=True, slots=True)
class Score:
    """A field of whole numbers 1 to ``size``: the id of 1 is ``first``."""

    field: str
    first: int
    size: int

    def ids(self) -> pl.Expr:
        """Return the id of each value of the field."""
        return self.first - 1 + pl.col(self.field).cast(pl.Int64).clip(1, self.size)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The seven fields in the order of :data:`fl_app.eicu.variables.CATEGORICAL`."""

    source: str
    fields: tuple[Names | Score, ...]

    def ids(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the ids of rows, one Int64 column per field, in the fields' order."""
        return rows.select(field.ids().alias(field.field) for field in self.fields)


@cache
def fixed_vocabulary() -> Vocabulary:
    """Return the vocabulary that ships with the application."""
    document: dict[str, Any] = json.loads(files("fl_app.eicu").joinpath(FILE).read_text("utf-8"))
    return lay_out(document["source"], document["apacheadmissiondx"])


def lay_out(
    source: str,
    diagnoses: Sequence[str],
    ethnicities: Sequence[str] = KNOWN_ETHNICITIES,
    genders: Sequence[str] = GENDERS,
) -> Vocabulary:
    """Lay the seven blocks out around lists of names; what is not in them has its block's "unknown" id.

    Raises:
        ValueError: more diagnoses than their block has ids.
    """
    if len(diagnoses) > MOST_DIAGNOSES:
        raise ValueError(f"{len(diagnoses)} admission diagnoses; the vocabulary has room for {MOST_DIAGNOSES}.")
    fields: list[Names | Score] = []
    first = 1
    for field, size, known in (
        (CATEGORICAL[0], _DIAGNOSES, (NO_DIAGNOSIS, *diagnoses)),
        (CATEGORICAL[1], len(KNOWN_ETHNICITIES) + 1, tuple(ethnicities)),
        (CATEGORICAL[2], len(GENDERS) + 1, tuple(genders)),
    ):
        fields.append(Names(field, first, size, known))
        first += size
    for field, size in zip(CATEGORICAL[3:], (15, 4, 6, 5), strict=True):
        fields.append(Score(field, first, size))
        first += size
    return Vocabulary(source, tuple(fields))


def derive(patients: pl.DataFrame, source: str) -> str:
    """Write the vocabulary file's text from a patient table: distinct admission diagnoses, sorted."""
    diagnoses = patients["apacheadmissiondx"].drop_nulls().unique().sort().to_list()
    document = {"source": source, "apacheadmissiondx": diagnoses}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
