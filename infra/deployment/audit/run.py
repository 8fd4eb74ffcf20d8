"""The audit of all accounts: what is left, what of it is declared retained, and what could not be read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.accounts import Accounts
from infra.deployment.audit import ec2, services
from infra.deployment.audit.mark import Found, Mark
from infra.errors import FederateError
from stacks.plan import NODE_IMAGE, DeploymentPlan, StackPlan

Lister = Callable[[Any, Mark], Iterator[Found]]
_REGIONAL: tuple[tuple[str, Lister], ...] = (
    ("cloudformation", services.stacks),
    ("ec2", ec2.leftovers),
    ("kms", services.keys),
    ("logs", services.log_groups),
    ("ssm", services.parameters),
    ("cloudwatch", services.watches),
    ("sns", services.topics),
    ("secretsmanager", services.secrets),
)
_GLOBAL: tuple[tuple[str, Lister], ...] = (("s3", services.buckets), ("iam", services.identities))
_POLL_SECONDS = 1.0
#: Kinds that an account's block can name, with the name there.
_AGAIN = {"bucket": "bucket", "KMS key": "kms_key"}


class SomethingIsLeft(FederateError):
    """Resources of the federation are left that are not declared retained, or a service could not be asked."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Leftover:
    """One resource that is still there."""

    account: str
    region: str
    kind: str
    id: str
    is_going: bool
    ends: str = ""

    def __str__(self) -> str:
        """Render it as one line."""
        return f"{self._place}{f', until {self.ends}' if self.ends else ''}"

    @property
    def _place(self) -> str:
        return f"account {self.account}, {self.region}: {self.kind} {self.id}"


@dataclass(frozen=True, slots=True)
class Audit:
    """What is left of a federation.

    Args:
        left: what should not be there.
        retained: what the federation declares to outlive its stacks.
        unread: services that could not be asked, and why.
        accounts: the accounts that were asked.
        ending: keys that are deleted on a day to come; until then that can be taken back.
    """

    left: tuple[Leftover, ...]
    retained: tuple[Leftover, ...]
    unread: tuple[str, ...]
    accounts: tuple[str, ...]
    ending: tuple[Leftover, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether it is proven that nothing is left."""
        return not self.left and not self.unread

    def verdict(self) -> None:
        """Accept a clean audit.

        Raises:
            SomethingIsLeft: it is not clean.
        """
        if self.is_clean:
            return
        lines = [*(f"left: {leftover}" for leftover in self.left), *(f"not audited: {line}" for line in self.unread)]
        raise SomethingIsLeft(
            "The federation is not gone:\n  " + "\n  ".join(lines),
            remedy="Run destroy again; what it does not delete was not made by it: delete that by hand. What is to "
            "stay is declared by on_destroy: retain.",
        )

    def text(self) -> str:
        """Say it to a person."""
        asked = f"{len(self.accounts)} account{'s' if len(self.accounts) > 1 else ''}"
        ending = [f"  {leftover}" for leftover in self.ending]
        if ending:
            ending.insert(0, "Keys that AWS deletes later; until then, aws kms cancel-key-deletion takes it back:")
        if self.is_clean and not self.retained:
            return "\n".join([f"Audited {asked}: nothing is left.", *ending])
        counts = Counter(leftover.kind for leftover in self.retained)
        kept = ", ".join(f"{number} {kind}{'s' if number > 1 else ''}" for kind, number in counts.items())
        lines = [f"Audited {asked}: nothing is left but what is declared retained ({kept}):"]
        lines += [f"  {leftover}" for leftover in self.retained]
        return "\n".join([*lines, *_how_to_use(self.retained), *ending])

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return asdict(self)


def _how_to_use(retained: Sequence[Leftover]) -> Iterator[str]:
    """Yield how the next deployment uses what was retained: what has no fixed name has to be named in the file."""
    again = [f"  account {kept.account}: {_AGAIN[kept.kind]}: {kept.id}" for kept in retained if kept.kind in _AGAIN]
    if again:
        yield "The next deployment takes a log group over. To use bucket and key again, name them in federation.yaml:"
        yield from again


def audit(
    plan: DeploymentPlan,
    stacks: Sequence[StackPlan],
    accounts: Accounts,
    *,
    patience_seconds: float = 60.0,
) -> Audit:
    """Ask every service of the accounts of some stacks what it still has of the federation.

    Args:
        plan: the federation's plan, for what is declared retained.
        stacks: whose accounts are asked.
        accounts: AWS's APIs.
        patience_seconds: how long to wait for what AWS is deleting already.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        found = _look(plan, stacks, accounts)
        if not any(leftover.is_going for leftover in found.left) or time.monotonic() > deadline:
            return found
        time.sleep(_POLL_SECONDS)


def _look(plan: DeploymentPlan, stacks: Sequence[StackPlan], accounts: Accounts) -> Audit:
    mark = Mark.of(plan)
    places = {(stack.account, stack.region): stack for stack in stacks}
    seen: set[str] = set()
    jobs: list[tuple[StackPlan, str, Lister]] = []
    for (account, _), stack in places.items():
        listers = _REGIONAL if account in seen else (*_REGIONAL, *_GLOBAL)
        seen.add(account)
        jobs += [(stack, service, lister) for service, lister in listers]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda job: _ask(accounts, mark, *job), jobs))
    left: list[Leftover] = []
    retained: list[Leftover] = []
    unread: list[str] = []
    ending: list[Leftover] = []
    for (stack, _, _), (found, trouble) in zip(jobs, answers, strict=True):
        for item in found:
            leftover = Leftover(stack.account, stack.region, item.kind, item.id, item.is_going, item.ends)
            (ending if item.ends else retained if mark.is_retained(item) else left).append(leftover)
        if trouble:
            unread.append(trouble)
    return Audit(tuple(left), tuple(retained), tuple(unread), tuple(sorted(seen)), tuple(ending))


def _ask(
    accounts: Accounts, mark: Mark, stack: StackPlan, service: str, lister: Lister
) -> tuple[list[Found], str | None]:
    try:
        client = accounts.client(service, profile=stack.profile, region=stack.region)
        return list(lister(client, mark)), None
    except (BotoCoreError, ClientError) as error:
        return [], f"account {stack.account}, {stack.region}: {service}: {error}"


def fully_chosen(plan: DeploymentPlan, stacks: Iterable[StackPlan]) -> tuple[StackPlan, ...]:
    """Return those of some stacks whose account has no other stack of the plan: it can be empty when they are gone.

    The stack that makes images is no part of a deployment, and known to the audit by itself.
    """
    some = tuple(stacks)
    others = (stack for stack in plan.stacks if stack not in some and stack.id != NODE_IMAGE)
    kept: Mapping[str, bool] = {stack.account: True for stack in others}
    return tuple(stack for stack in some if stack.account not in kept)
