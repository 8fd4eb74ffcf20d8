"""The diagnosis table of synthetic stays: what the severely ill have more often, as ICD-9 and ICD-10 codes."""

from __future__ import annotations

import numpy as np
import polars as pl

from fl_app.eicu.synthetic.population import Stays
from fl_app.eicu.tasks.phenotyping import phenotypes

_RARE, _COMMON = 0.02, 0.25
_BEFORE, _WITHOUT_CODE, _WITH_ICD10 = 0.1, 0.15, 0.5


def diagnoses(some: Stays, first_id: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return diagnosis rows of a chunk of stays.

    Quirks: a tenth is dated before admission, some have no code, half have an ICD-10 code behind the ICD-9 one, and
    a condition may be entered twice.
    """
    names = list(phenotypes())
    share = np.linspace(_COMMON, _RARE, len(names))
    odds = np.log(share / (1 - share))[None, :] + 0.6 * some.severity[:, None]
    stay, condition = np.nonzero(rng.random(odds.shape) < 1 / (1 + np.exp(-odds)))
    again = rng.random(len(stay)) < 0.2
    stay, condition = np.append(stay, stay[again]), np.append(condition, condition[again])
    order = np.argsort(stay, kind="stable")
    stay, condition = stay[order], condition[order]
    number = len(stay)
    inside = rng.integers(1, np.maximum(2, (some.hours[stay] * 60).astype(int)))
    minute = np.where(rng.random(number) < _BEFORE, -rng.integers(0, 600, number), inside)
    codes = [sorted(phenotypes()[name]) for name in names]
    picked = [
        codes[place][int(draw * len(codes[place]))] for place, draw in zip(condition, rng.random(number), strict=True)
    ]
    coded, doubled = rng.random(number) >= _WITHOUT_CODE, rng.random(number) < _WITH_ICD10
    return pl.DataFrame(
        {
            "diagnosisid": np.arange(first_id, first_id + number),
            "patientunitstayid": some.ids[stay],
            "activeupondischarge": rng.choice(["True", "False"], number),
            "diagnosisoffset": minute,
            "diagnosisstring": [f"synthetic|{names[place]}" for place in condition],
            "icd9code": pl.Series(
                [
                    f"{_dotted(code)}, X{place:02}.0" if two else _dotted(code) if known else ""
                    for code, place, known, two in zip(picked, condition, coded, coded & doubled, strict=True)
                ],
                dtype=pl.String,
            ),
            "diagnosispriority": rng.choice(["Primary", "Major", "Other"], number),
        }
    )


def _dotted(code: str) -> str:
    """Write a code as eICU does, with a dot behind three places."""
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 else code
