"""What a deployment would change: ``cdk diff`` over all accounts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.deployment.cdk import Cdk, CdkRun
from infra.deployment.groups import PHASES, Group, groups
from infra.deployment.side_by_side import side_by_side
from infra.errors import FederateError
from stacks.plan import StackPlan

_HEADING = re.compile(r"^Stack (?P<stack>\S+)", re.MULTILINE)
_SAME = "There were no differences"


@dataclass(frozen=True, slots=True)
class Difference:
    """One stack and what would change in it; empty text if nothing would."""

    stack: StackPlan
    text: str


class NotCompared(FederateError):
    """The comparison of an account failed."""


def compare(chosen: Sequence[StackPlan], cdk: Cdk) -> list[Difference]:
    """Compare stacks with what is deployed, all accounts side by side.

    Raises:
        NotCompared: an account could not be read.
    """
    found: dict[str, Difference] = {}

    def work(group: Group) -> list[FederateError]:
        run = cdk.diff([stack.id for stack in group.stacks], profile=group.profile, title=group.title)
        if run.exit_code != 0:
            words = " ".join(run.said().strip().splitlines()[-4:])
            return [NotCompared(f"{group.node}: cdk diff ended with {run.exit_code}: {words}", remedy=_where(run.log))]
        found.update({difference.stack.id: difference for difference in read(group.stacks, run)})
        return []

    everything = [group for phase in PHASES for group in groups(chosen, phase)]
    failures = side_by_side(everything, work, on_interrupt=cdk.interrupt)
    if failures:
        raise NotCompared("\n".join(str(failure) for failure in failures))
    return [found[stack.id] for stack in chosen]


def read(stacks: Sequence[StackPlan], run: CdkRun) -> list[Difference]:
    """Return the differences that a run of ``cdk diff`` printed.

    Raises:
        NotCompared: it said nothing of a stack.
    """
    text = run.said()
    marks = list(_HEADING.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    parts = {mark["stack"]: text[mark.end() : end] for mark, end in zip(marks, ends, strict=True)}
    differences = []
    for stack in stacks:
        part = parts.get(stack.name, parts.get(stack.id))
        if part is None:
            raise NotCompared(f"cdk diff says nothing of {stack.name}.", remedy=_where(run.log))
        body = part.partition("✨")[0].strip()
        differences.append(Difference(stack, "" if _SAME in part else body))
    return differences


def _where(log: Path) -> str:
    return f"All that was said is in {log}."
