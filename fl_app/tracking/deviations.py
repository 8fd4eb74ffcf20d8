"""What the rounds say of single sites: whose updates stand out again and again, and whose were not taken."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from fl_app.tracking.results import Deviation, Results, Round

#: Aggregations that bound what a single site can do; a report of theirs does not recommend one.
_ROBUST = ("trimmed_mean", "median")


def findings(results: Results) -> list[str]:
    """Return a sentence or two for each site that somebody should look at; none where there is nothing to see.

    An update that stands out once means nothing; a site is named when its updates do in more than half of the rounds
    in which they were compared.
    """
    sites = dict.fromkeys(site for item in results.rounds for site in (*item.deviations, *item.refused))
    told = []
    for site in sites:
        told += _standing_out(results, site)
        told += _refused(results.rounds, site)
    return told


def _standing_out(results: Results, site: str) -> list[str]:
    compared = [item for item in results.rounds if site in item.deviations]
    out = [item for item in compared if item.deviations[site].stands_out]
    if 2 * len(out) <= len(compared):
        return []
    how = [text for text in (_length(out, site), _direction([item.deviations[site] for item in out])) if text]
    aggregation = results.model.get("aggregation") or {}
    name = aggregation.get("name") if isinstance(aggregation, dict) else None
    advice = (
        f"The aggregation {name} bounds what a single site can do"
        if name in _ROBUST
        else "Look at the site’s data and settings; consider a robust aggregation (trimmed_mean, median)"
    )
    return [
        f"{site}’s updates stand out in {len(out)} of {len(compared)} rounds: "
        f"{' and '.join(how) or 'they are not like the others’'}. {advice}."
    ]


def _length(rounds: Sequence[Round], site: str) -> str:
    """Say how many times longer a site's updates were than the others' median, in the median of the rounds."""
    ratios = []
    for item in rounds:
        others = [found.norm for other, found in item.deviations.items() if other != site and found.norm is not None]
        own = item.deviations[site].norm
        if own is not None and others and statistics.median(others):
            ratios.append(own / statistics.median(others))
    times = statistics.median(ratios) if ratios else 1.0
    return f"they are {times:.3g} times as long as the others’" if times >= 1.5 else ""


def _direction(found: Sequence[Deviation]) -> str:
    cosines = [deviation.cosine for deviation in found if deviation.cosine is not None]
    cosine = statistics.median(cosines) if cosines else 1.0
    return f"they point against them (cosine {cosine:.2f})" if cosine < 0 else ""


def _refused(rounds: Sequence[Round], site: str) -> list[str]:
    reasons = [item.refused[site] for item in rounds if site in item.refused]
    if not reasons:
        return []
    times = "once" if len(reasons) == 1 else f"in {len(reasons)} rounds"
    return [f"{site}’s update was refused {times}, the last time because {reasons[-1].rstrip('.')}."]
