"""Did you mean: the nearest known word to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``Did you mean <the nearest known word>?``, or nothing where none is near."""
    candidates = {candidate.lower(): candidate for candidate in known}
    near = get_close_matches(word.lower(), candidates, n=3, cutoff=0.6)
    if not near:
        return ""
    swapped = [candidate for candidate in near if sorted(candidate) == sorted(word.lower())]
    return f"Did you mean {candidates[(swapped or near)[0]]}?"


def listed(words: Iterable[str]) -> str:
    """Return words as a list in a sentence, in the order given."""
    return ", ".join(words) or "none"
