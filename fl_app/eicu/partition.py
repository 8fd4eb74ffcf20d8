"""Hospitals to sites, and a site's hospitals to train and test: seeded, balanced by stays and by outcome.

Hospitals that share a patient (``uniquepid``) are one unit and stay together, so that neither a stay nor a patient nor
a hospital is ever on two sides.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from fl_app.eicu.errors import UnusableSplit
from fl_app.eicu.tasks import BALANCED_BY

PURITY_COLUMNS = ("patientunitstayid", "uniquepid", "hospitalid")


@dataclass(frozen=True, slots=True)
class Unit:
    """Hospitals that belong together, with the number of stays a model would see and of deaths among them."""

    hospitals: tuple[int, ...]
    stays: int
    deaths: int


def units_of(patients: pl.DataFrame, candidates: pl.DataFrame) -> list[Unit]:
    """Group hospitals that share a patient.

    Args:
        patients: the patient table.
        candidates: the cohort's stays; those that the 48-hour task admits are what is balanced.

    Returns:
        Units in the order of their smallest hospitalid.
    """
    group = {hospital: hospital for hospital in patients["hospitalid"].unique().sort().to_list()}

    def root(hospital: int) -> int:
        while group[hospital] != hospital:
            hospital = group[hospital]
        return hospital

    shared = (patients.drop_nulls("uniquepid").group_by("uniquepid").agg(pl.col("hospitalid").unique().sort())).filter(
        pl.col("hospitalid").list.len() > 1
    )
    for together in shared["hospitalid"].to_list():
        roots = sorted({root(hospital) for hospital in together})
        for other in roots[1:]:
            group[other] = roots[0]
    counts = {
        hospital: (stays, deaths)
        for hospital, stays, deaths in candidates.filter(BALANCED_BY.admits())
        .group_by("hospitalid")
        .agg(pl.len(), BALANCED_BY.label().sum().alias("deaths"))
        .iter_rows()
    }
    members: dict[int, list[int]] = {}
    for hospital in sorted(group):
        members.setdefault(root(hospital), []).append(hospital)
    return [
        Unit(
            tuple(hospitals),
            sum(counts.get(hospital, (0, 0))[0] for hospital in hospitals),
            sum(counts.get(hospital, (0, 0))[1] for hospital in hospitals),
        )
        for hospitals in members.values()
    ]


def split(units: Sequence[Unit], shares: Mapping[str, float], seed: int) -> dict[str, list[Unit]]:
    """Deal units to sides, so that each side's stays and deaths come near its share.

    Units come in a seeded order, the larger half first (so that the small ones even out what is left), and each goes
    where it leaves the sides closest to their shares. Those without any stay come last and even out the hospitals. No
    side stays empty while there are units.

    Raises:
        UnusableSplit: a side would get nothing.
    """
    order = list(units)
    random.Random(seed).shuffle(order)  # noqa: S311 - a reproducible deal, not a secret
    median = sorted(unit.stays for unit in order)[len(order) // 2] if order else 0
    order.sort(key=lambda unit: (not unit.stays, unit.stays < median))
    stays = max(1, sum(unit.stays for unit in order))
    deaths = max(1, sum(unit.deaths for unit in order))
    sides: dict[str, list[Unit]] = {side: [] for side in shares}
    load = dict.fromkeys(shares, (0.0, 0.0))

    def grown(side: str, unit: Unit) -> tuple[float, float]:
        return load[side][0] + unit.stays / stays, load[side][1] + unit.deaths / deaths

    def excess(side: str, unit: Unit) -> float:
        """Return by how much the squared distance to the full share grows if the unit goes to this side."""
        share = shares[side]
        both = zip(grown(side, unit), load[side], strict=True)
        return sum(share * ((new / share - 1) ** 2 - (old / share - 1) ** 2) for new, old in both)

    for position, unit in enumerate(order):
        empty = [side for side in sides if not sides[side]]
        filled = sum(other.stays > 0 for other in order[position:])
        open_sides = empty if empty and filled <= len(empty) else list(shares)
        side = min(open_sides, key=lambda name: (excess(name, unit), len(sides[name]) / shares[name]))
        sides[side].append(unit)
        load[side] = grown(side, unit)
    for side, dealt in sides.items():
        if not dealt:
            raise UnusableSplit(
                f"{len(units)} hospitals cannot be dealt to {', '.join(shares)}: nothing is left for {side}.",
                remedy="Use fewer sites, or data of more hospitals; hospitals that share a patient count as one.",
            )
    return sides


def deal_to_sites(
    units: Sequence[Unit],
    sites: Sequence[str],
    seed: int,
    assigned: Mapping[str, Sequence[int]],
) -> dict[str, list[Unit]]:
    """Deal units to sites evenly; a site with an explicit list gets exactly these hospitals.

    Raises:
        UnusableSplit: a listed hospital is unknown, listed for two sites, or shares a patient with one that is not in
            the same list; or a site would get nothing.
    """
    owner: dict[int, str] = {}
    known = {hospital for unit in units for hospital in unit.hospitals}
    for site, hospitals in assigned.items():
        if site not in sites:
            raise UnusableSplit(
                f"hospitals are assigned to {site}, which is no site.", remedy=f"Sites: {', '.join(sites)}."
            )
        for hospital in hospitals:
            if hospital not in known:
                raise UnusableSplit(
                    f"hospital {hospital} is assigned to {site}, but no stay is from it.",
                    remedy=f"Hospitals here: {_some(sorted(known))}.",
                )
            if owner.setdefault(hospital, site) != site:
                raise UnusableSplit(
                    f"hospital {hospital} is assigned to {owner[hospital]} and to {site}.",
                    remedy="A hospital belongs to one site; remove it from the other's list.",
                )
    dealt: dict[str, list[Unit]] = {site: [] for site in sites}
    free: list[Unit] = []
    for unit in units:
        owners = {owner.get(hospital) for hospital in unit.hospitals}
        if owners == {None}:
            free.append(unit)
        elif len(owners) == 1:
            dealt[str(owners.pop())].append(unit)
        else:
            raise UnusableSplit(
                f"the hospitals {_some(unit.hospitals)} share a patient, but the assignment separates them.",
                remedy="Assign them to one site: a patient's stays may not be on two.",
            )
    open_sites = [site for site in sites if site not in assigned]
    if open_sites:
        dealt.update(split(free, {site: 1 / len(open_sites) for site in open_sites}, seed))
    return dealt


def train_and_test(
    units: Sequence[Unit], test_share: float, seed: int, site: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split a site's units by hospital into (train, test).

    Raises:
        UnusableSplit: the site has fewer than two units.
    """
    if len(units) < 2:
        raise UnusableSplit(
            f"{site} has {len(units)} hospital(s) that share no patient; train and test need one each.",
            remedy="Give the site more hospitals.",
        )
    sides = split(units, {"train": 1 - test_share, "test": test_share}, seed)
    return _hospitals(sides["train"]), _hospitals(sides["test"])


def assert_disjoint(sides: Mapping[str, pl.DataFrame]) -> None:
    """Refuse sides that have a stay, a patient or a hospital in common.

    Raises:
        UnusableSplit: naming the first that they share.
    """
    names = list(sides)
    for column in PURITY_COLUMNS:
        seen: dict[object, str] = {}
        for name in names:
            for value in sides[name][column].drop_nulls().unique().to_list():
                if seen.setdefault(value, name) != name:
                    raise UnusableSplit(
                        f"{column} {value} is in {seen[value]} and in {name}.",
                        remedy="Nothing may be on two sides; deal the source again.",
                    )


def _hospitals(units: Sequence[Unit]) -> tuple[int, ...]:
    return tuple(sorted(hospital for unit in units for hospital in unit.hospitals))


def _some(values: Sequence[int]) -> str:
    shown = ", ".join(map(str, values[:12]))
    return f"{shown} …" if len(values) > 12 else shown
