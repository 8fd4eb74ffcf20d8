"""What ``training.dataset.options`` of a federation may say about eICU."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fl_app.eicu.errors import EicuDataError
from fl_app.eicu.features import VARIANTS
from fl_app.eicu.tasks import TASKS
from fl_app.eicu.variables import CLINICAL_RANGES

_OPTIONS = ("task", "variant", "ranges", "fit")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Options:
    """What ``training.dataset.options`` may say.

    Args:
        task: a key of :data:`fl_app.eicu.tasks.TASKS`.
        variant: a key of :data:`fl_app.eicu.features.VARIANTS`.
        ranges: numeric variables whose scaling differs from the fixed or fitted ranges: name to (low, high).
        fit: SHA-256 of the ``fit.json`` to train with, or None for the fixed vocabulary and ranges.
    """

    task: str
    variant: str
    ranges: tuple[tuple[str, float, float], ...]
    fit: str | None = None

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Options:
        """Check the options of a configuration file.

        Raises:
            EicuDataError: naming every option that is not known or has a value that is not allowed.
        """
        found = {"task": "mortality_48h", "variant": "benchmark", "ranges": {}, "fit": None} | dict(options)
        wrong = [f"{key}: unknown; allowed are {', '.join(_OPTIONS)}" for key in options if key not in _OPTIONS]
        for key, allowed in (("task", TASKS), ("variant", VARIANTS)):
            if found[key] not in list(allowed):
                wrong.append(f"{key}: {found[key]!r}; allowed: {', '.join(allowed)}")
        ranges = found["ranges"] if isinstance(found["ranges"], dict) else {}
        if ranges is not found["ranges"]:
            wrong.append(f"ranges: {found['ranges']!r}; allowed is variable: [low, high]")
        for name, bounds in ranges.items():
            if name not in CLINICAL_RANGES:
                wrong.append(f"ranges.{name}: unknown; allowed: {', '.join(CLINICAL_RANGES)}")
            elif not _is_range(bounds):
                wrong.append(f"ranges.{name}: {bounds!r}; allowed: [low, high] with low < high")
        if found["fit"] is not None and not _DIGEST.fullmatch(str(found["fit"])):
            wrong.append(f"fit: {found['fit']!r}; allowed: the SHA-256 that `python -m fl_app.eicu fit` prints")
        if wrong:
            raise EicuDataError(
                "data set eicu: " + "; ".join(wrong) + ".",
                remedy="Correct training.dataset.options in federation.yaml.",
            )
        limits = tuple((name, float(bounds[0]), float(bounds[1])) for name, bounds in ranges.items())
        return cls(found["task"], found["variant"], limits, found["fit"])


def _is_range(bounds: Any) -> bool:
    return (
        isinstance(bounds, list | tuple)
        and len(bounds) == 2
        and all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds)
        and all(math.isfinite(bound) for bound in bounds)
        and bounds[0] < bounds[1]
    )
