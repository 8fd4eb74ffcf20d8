"""All checks of all accounts, side by side, and what comes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.accounts import Accounts
from infra.errors import FederateError, Problem, Severity
from infra.federation.derive import Node
from infra.federation.model import Federation
from infra.preflight import capacity, here, identity, machine, network, own, standing
from infra.preflight.check import Check, Visit, not_made
from infra.preflight.here import Desk, LocalCheck
from stacks.plan import StackPlan

#: In the order of the table; credentials come first and alone.
CHECKS: tuple[Check, ...] = (
    *identity.CHECKS,
    *capacity.CHECKS,
    *machine.CHECKS,
    *network.CHECKS,
    *standing.CHECKS,
    *own.CHECKS,
)
_AT_ONCE = 16
#: Told when a place has all its answers.
Show = Callable[[str, Sequence["Answer"]], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one check found at one place.

    Args:
        place: the nodes of the account and Region, or ``this machine``.
        account: 12 digits; empty for this machine.
        region: empty for this machine.
        check: the check's id.
        problems: empty where all is in order.
        was_asked: no if there were no credentials to ask with.
    """

    place: str
    account: str
    region: str
    check: str
    problems: tuple[Problem, ...]
    was_asked: bool = True

    @property
    def state(self) -> str:
        """Return ``ok``, ``notice``, ``warning``, ``error`` or ``not asked``."""
        if not self.was_asked:
            return "not asked"
        worst = [s for s in (Severity.ERROR, Severity.WARNING, Severity.NOTICE) if s in self._severities]
        return worst[0].value if worst else "ok"

    @property
    def _severities(self) -> set[Severity]:
        return {problem.severity for problem in self.problems}

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return {
            "place": self.place,
            "account": self.account,
            "region": self.region,
            "check": self.check,
            "state": self.state,
            "problems": [problem.as_dict() for problem in self.problems],
        }


class NotCleared(FederateError):
    """The preflight found errors: nothing was made."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        found = [problem for answer in answers for problem in answer.problems if problem.severity is Severity.ERROR]
        super().__init__(
            "The preflight found what would make the deployment fail; nothing was made:\n"
            + "\n".join(dict.fromkeys(str(problem) for problem in found)),
            remedy="After the repair, the same command again. --no-preflight deploys all the same.",
        )
        self.exit_code = exit_code(answers)


def exit_code(answers: Sequence[Answer]) -> int:
    """Return the command's exit code: 3 credentials, 4 AWS does not answer, 1 another error, 0 none."""
    failed = [answer for answer in answers if answer.state == Severity.ERROR]
    credentials = [answer for answer in failed if answer.check == identity.CREDENTIALS.id]
    if any(problem.found.startswith(identity.SILENCE) for answer in credentials for problem in answer.problems):
        return 4
    return 3 if credentials else int(bool(failed))


def visits(
    federation: Federation,
    chosen: Iterable[Node],
    accounts: Accounts,
    *,
    stacks: Sequence[StackPlan] = (),
    resources: Callable[[StackPlan], Sequence[Mapping[str, Any]]] = lambda _: (),
) -> list[Visit]:
    """Return one visit for each account and Region, in the order of the nodes.

    Args:
        federation: the nodes'.
        chosen: whose accounts are visited.
        accounts: AWS's APIs.
        stacks: the plan's.
        resources: what a stack's template has.
    """
    places: dict[tuple[str, str, str], list[Node]] = {}
    for node in chosen:
        places.setdefault((node.account, node.region, node.profile), []).append(node)
    found = []
    for there in places.values():
        ids = {node.id for node in there}
        planned = tuple(stack for stack in stacks if stack.node in ids)
        inside = tuple(resource for stack in planned for resource in resources(stack))
        found.append(Visit(federation, tuple(there), accounts, planned, inside))
    return found


def run(
    places: Sequence[Visit],
    desk: Desk,
    *,
    show: Show = lambda *_: None,
    checks: Sequence[Check] = CHECKS,
    local_checks: Sequence[LocalCheck] = here.CHECKS,
) -> list[Answer]:
    """Make all checks.

    Args:
        places: the accounts.
        desk: this machine.
        show: told each place, as soon as it has all its answers.
        checks: for each account that lets itself be asked.
        local_checks: for this machine.

    Returns:
        This machine's answers, then the accounts', each in the order of the checks.
    """
    fitting = {visit.name: [check for check in checks if check.applies(visit)] for visit in places}
    due = {here.WHERE: len(local_checks), **{name: 1 + len(chosen) for name, chosen in fitting.items()}}
    found: dict[str, list[Answer]] = {place: [] for place in due}
    lock = threading.Lock()

    def note(answer: Answer) -> Answer:
        with lock:
            answers = found[answer.place]
            answers.append(answer)
            if len(answers) == due[answer.place]:
                show(answer.place, tuple(answers))
        return answer

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        local = [pool.submit(lambda check: note(_local(check, desk)), check) for check in local_checks]
        first = list(pool.map(lambda visit: note(_ask(identity.CREDENTIALS, visit)), places))
        jobs = []
        for visit, known in zip(places, first, strict=True):
            ask = _ask if known.state != Severity.ERROR else _closed
            jobs += [pool.submit(lambda a, c, v: note(a(c, v)), ask, check, visit) for check in fitting[visit.name]]
        everything = [*(job.result() for job in local), *first, *(job.result() for job in jobs)]
    return [answer for place in due for answer in everything if answer.place == place]


def _ask(check: Check, visit: Visit) -> Answer:
    problems: list[Problem] = []  # what was found before a question was refused is kept
    try:
        problems.extend(check.look(visit))
    except (BotoCoreError, ClientError) as error:
        problems.append(not_made(check, visit, error))
    return Answer(visit.name, visit.account, visit.region, check.id, tuple(problems))


def _closed(check: Check, visit: Visit) -> Answer:
    return Answer(visit.name, visit.account, visit.region, check.id, (), was_asked=False)


def _local(check: LocalCheck, desk: Desk) -> Answer:
    return Answer(here.WHERE, "", "", check.id, tuple(check.look(desk)))
