"""What ``training.dataset.options`` of a federation may say about eICU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fl_app.eicu.errors import EicuDataError
from fl_app.eicu.features import VARIANTS
from fl_app.eicu.tasks import TASKS
from fl_app.eicu.variables import CLINICAL_RANGES

_OPTIONS = ("task", "variant", "ranges")


@dataclass(frozen=True, slots=True)
class Options:
    """What ``training.dataset.options`` may say.

    Args:
        task: a key of :data:`fl_app.eicu.tasks.TASKS`.
        variant: a key of :data:`fl_app.eicu.features.VARIANTS`.
        ranges: numeric variables whose scaling differs from the fixed clinical ranges: name to (low, high).
    """

    task: str
    variant: str
    ranges: tuple[tuple[str, float, float], ...]

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Options:
        """Check the options of a configuration file.

        Raises:
            EicuDataError: naming every option that is not known or has a value that is not allowed.
        """
        found = {"task": "mortality_48h", "variant": "benchmark", "ranges": {}} | dict(options)
        wrong = [f"{key}: unknown; allowed are task, variant, ranges" for key in options if key not in _OPTIONS]
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
        if wrong:
            raise EicuDataError(
                "data set eicu: " + "; ".join(wrong) + ".",
                remedy="Correct training.dataset.options in federation.yaml.",
            )
        return cls(found["task"], found["variant"], tuple((n, float(b[0]), float(b[1])) for n, b in ranges.items()))


def _is_range(bounds: Any) -> bool:
    return (
        isinstance(bounds, list | tuple)
        and len(bounds) == 2
        and all(isinstance(bound, int | float) for bound in bounds)
        and bounds[0] < bounds[1]
    )
