"""The same question to several accounts at once: one that does not answer hides none of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from infra.accounts import explained
from infra.errors import FederateError
from infra.nodes.remote import Remote

T = TypeVar("T")
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Silent:
    """A node of which there is no answer, and why: its account does not give one, or it is not deployed."""

    remote: Remote
    error: FederateError

    def __str__(self) -> str:
        """Render it with the reason and what to do about it."""
        return f"{self.remote.node.id} is missing here:\n{self.error}"

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        node = self.remote.node
        return {
            "node": node.id,
            "account": node.account,
            "error": str(self.error),
            "exit_code": self.error.exit_code,
        }


def ask_all(chosen: Sequence[Remote], ask: Callable[[Remote], T]) -> tuple[list[T], list[Silent]]:
    """Ask about several nodes side by side.

    Args:
        chosen: which nodes.
        ask: what each account is asked; what it raises is that node's alone.

    Returns:
        The answers, and the nodes of which there is none, both in the order of ``chosen``.
    """

    def one(remote: Remote) -> T | Silent:
        try:
            with explained(remote.where, profile=remote.node.profile, region=remote.node.region):
                return ask(remote)
        except FederateError as error:
            return Silent(remote, error)

    with ThreadPoolExecutor(max(1, min(_AT_ONCE, len(chosen)))) as pool:
        found = list(pool.map(one, chosen))
    return [each for each in found if not isinstance(each, Silent)], [e for e in found if isinstance(e, Silent)]
