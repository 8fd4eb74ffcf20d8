"""The options of an aggregation, checked at the door: every error says what was found and what is allowed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from fl_app.errors import PluginError


@dataclass(frozen=True, slots=True)
class Number:
    """An option that is a number, and where it may lie; limits that are None do not count."""

    default: float
    above: float | None = None
    least: float | None = None
    below: float | None = None

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        limits = [
            f"{words} {limit:g}"
            for words, limit in (("above", self.above), ("at least", self.least), ("below", self.below))
            if limit is not None
        ]
        return "a number " + " and ".join(limits)

    def holds(self, value: object) -> bool:
        """Say whether a value is such a number."""
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and (self.above is None or value > self.above)
            and (self.least is None or value >= self.least)
            and (self.below is None or value < self.below)
        )


def read_options(name: str, options: Mapping[str, object], known: Mapping[str, Number]) -> dict[str, float]:
    """Return every known option, at its default where it was left out.

    Args:
        name: of the aggregation, as in ``federation.yaml``.
        options: as they were written.
        known: what there is.

    Raises:
        PluginError: an option that is not known, or a value that is not allowed; all of them at once.
    """
    faults = unknown_options(name, options, known)
    for key, number in known.items():
        if key in options and not number.holds(options[key]):
            faults.append(f"{name}: {key} is {options[key]!r:.80}; allowed is {number.allowed}.")
    if faults:
        raise PluginError("\n".join(faults), remedy="Correct training.aggregation.options; see docs/aggregation.md.")
    return {key: float(options.get(key, number.default)) for key, number in known.items()}  # type: ignore[arg-type]


def unknown_options(name: str, options: Mapping[str, object], known: Mapping[str, object]) -> list[str]:
    """Return a sentence for each option that an aggregation does not have."""
    faults = []
    for key in sorted(set(options) - set(known)):
        close = difflib.get_close_matches(key, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        has = f"its options are {', '.join(known)}" if known else "it has none"
        faults.append(f"{name} has no option {key!r:.80}; {has}.{hint}")
    return faults
