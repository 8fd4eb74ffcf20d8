"""Did you mean: the nearest known word to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``Did you mean <the nearest known word>?``, or nothing where none is near."""
    candidates = {candidate.lower(): candidate for candidate in known}
    near = get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    return f"Did you mean {candidates[near[0]]}?" if near else ""


def listed(words: Iterable[str]) -> str:
    """Return words as a list in a sentence, in the order given."""
    return ", ".join(words) or "none"
