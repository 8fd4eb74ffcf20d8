"""What the sites bring: how many they are, which hospitals they hold, and what becomes of their data."""

from __future__ import annotations

from infra.errors import Severity
from infra.federation.finding import Finding
from infra.federation.model import Federation
from infra.federation.words import listed

#: Active peerings of one VPC: AWS's default quota, and what it can be raised to.
QUOTA, MOST = 50, 125

_EICU = "eicu"


def check(federation: Federation) -> list[Finding]:
    """Check the number of sites, the assignment of hospitals, and what ``destroy`` does to data."""
    return [*_count(federation), *_nested_ids(federation), *_hospitals(federation), *_retention(federation)]


def _count(federation: Federation) -> list[Finding]:
    sites = len(federation.participants)
    if sites > MOST:
        return [
            Finding(
                ("participants",),
                f"{sites} sites are more than one VPC can be peered with.",
                f"At most {MOST}: each site is one peering of the aggregator's VPC.",
                "Split the federation, or let several hospitals share a site.",
            )
        ]
    if sites > QUOTA:
        return [
            Finding(
                ("participants",),
                f"{sites} sites are more than the {QUOTA} active peerings that AWS gives a VPC at first.",
                "",
                "Before you deploy, ask for a higher quota of active VPC peerings in the aggregator's account.",
                Severity.WARNING,
            )
        ]
    return []


def _nested_ids(federation: Federation) -> list[Finding]:
    ids = [participant.id for participant in federation.participants]
    return [
        Finding(
            ("participants", index, "id"),
            f"{id_} ends with the id of another site, {other}.",
            "",
            f"A pattern such as 'Site*-{other}' means both sites' stacks; write the names of the stacks in full.",
            Severity.NOTICE,
            tuple(("participants", position, "id") for position in range(len(ids))),
        )
        for index, id_ in enumerate(ids)
        for other in ids
        if id_.endswith(f"-{other}")
    ]


def _hospitals(federation: Federation) -> list[Finding]:
    findings: list[Finding] = []
    owner: dict[int, tuple[int, str]] = {}
    explicit = [site for site in federation.participants if site.data.hospitals is not None]
    for index, site in enumerate(federation.participants):
        path = ("participants", index, "data", "hospitals")
        hospitals = site.data.hospitals
        if hospitals is None:
            continue
        if not hospitals:
            findings.append(Finding(path, "names no hospital.", "One at least.", "Leave it out to be dealt some."))
        for position, hospital in enumerate(hospitals):
            if hospital in owner:
                other_index, other = owner[hospital]
                twice = "twice here" if other == site.id else f"at {other} as well"
                findings.append(
                    Finding(
                        (*path, position),
                        f"hospital {hospital} is {twice}.",
                        "A hospital belongs to one site: no patient's row may be in two accounts.",
                        "Take it out of one of the two.",
                        concerns=(("participants", other_index, "data", "hospitals"),),
                    )
                )
            owner.setdefault(hospital, (index, site.id))
    if explicit and federation.training.dataset.name != _EICU:
        first = federation.participants.index(explicit[0])
        findings.append(
            Finding(
                ("participants", first, "data", "hospitals"),
                f"means nothing to the data set {federation.training.dataset.name}: only {_EICU} is split by hospital.",
                "",
                "Leave it out.",
                Severity.WARNING,
                (("training", "dataset"),),
            )
        )
    elif explicit and len(explicit) < len(federation.participants):
        rest = [site.id for site in federation.participants if site.data.hospitals is None]
        findings.append(
            Finding(
                ("participants",),
                f"{listed(rest)} name no hospitals, other sites do.",
                "The hospitals that no site names are dealt, by seed, over the sites that name none.",
                "",
                Severity.NOTICE,
                (("participants",),),
            )
        )
    return findings


def _retention(federation: Federation) -> list[Finding]:
    return [
        Finding(
            ("participants", index, "on_destroy"),
            f"delete: `destroy` removes the bucket and the state volume of {site.id}, and its data with them.",
            "",
            "Write retain to keep them.",
            Severity.NOTICE,
        )
        for index, site in enumerate(federation.participants)
        if site.on_destroy == "delete"
    ]
