"""``federate preflight``: what would make a deployment fail, asked of the live accounts before anything is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.context import Context, context

if TYPE_CHECKING:
    from infra.accounts import Accounts
    from infra.deployment.assembly import Assembly
    from infra.preflight import Answer
    from infra.progress import Cell

Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NODE", help="This node's account only: aggregator or a site; may be repeated."),
]
#: What the table says of an answer.
_WORDS = {"ok": "✓", "notice": "✓ notice", "warning": "! warning", "error": "✗ error", "not asked": "– not asked"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate preflight --only hospital-a")(preflight)


def preflight(
    ctx: typer.Context,
    only: Only = None,
    catalogue: Annotated[
        bool, typer.Option("--list", help="Only say what is checked, and which permissions that takes.")
    ] = False,
) -> None:
    """Ask the accounts whether a deployment can succeed: credentials, quotas, zones, images, ranges, clock and more.

    Nothing is made. Exit code 1 if something would make it fail, 3 for credentials, 4 if AWS does not answer.
    """
    from infra.accounts import AwsAccounts
    from infra.deployment.assembly import synthesize
    from infra.preflight import exit_code
    from infra.preflight.table import as_rows, as_table

    here = context(ctx, makes_nodes=True)
    if catalogue:
        here.answer(as_rows(), as_table())
        return
    here.reach_aws()
    _leave_to_their_admins(here, only or ())
    assembly = synthesize(here.file, here.federation, home=here.home)
    answers = examine(here, AwsAccounts(), assembly, only or ())
    document = {"exit_code": exit_code(answers), "answers": [answer.as_dict() for answer in answers]}
    here.answer(document, as_text(here, answers))
    if code := exit_code(answers):
        raise typer.Exit(code)


def _leave_to_their_admins(here: Context, only: Sequence[str]) -> None:
    """Say which sites are not asked because nobody here has credentials of their accounts.

    Raises:
        UnknownNode: a name is none of the federation's nodes.
        OperatedElsewhere: such a site was named.
    """
    from infra.accounts import AwsAccounts
    from infra.cli.nodes import refuse_elsewhere
    from infra.nodes.remote import remotes

    refuse_elsewhere(here, remotes(here.federation, AwsAccounts(), only), only)


def examine(here: Context, accounts: Accounts, assembly: Assembly, only: Sequence[str]) -> list[Answer]:
    """Make all checks, and show how far they are.

    Raises:
        UnknownNode: a name is none of the federation's nodes.
    """
    from infra.nodes.remote import remotes
    from infra.preflight import Desk, run, visits
    from infra.preflight.here import WHERE
    from infra.progress import Cell, LiveTable, Status

    chosen = [remote.node for remote in remotes(here.federation, accounts, only) if remote.node.is_operated_here]
    places = visits(here.federation, chosen, accounts, stacks=assembly.plan.stacks, resources=assembly.resources)
    rows = {WHERE: WHERE, **{visit.name: f"{visit.account}  {visit.name}" for visit in places}}
    table = LiveTable(
        f"Preflight of {here.federation.name}", ("checks",), rows=list(rows.values()), key_column="account"
    )
    with table:
        for row in rows.values():
            table.update(row, checks=Cell("asks", Status.BUSY))
        return run(
            places,
            Desk(here.federation, here.home),
            show=lambda place, answers: table.update(rows[place], checks=_cell(answers)),
        )


def refuse_if_not_cleared(here: Context, accounts: Accounts, assembly: Assembly, only: Sequence[str]) -> None:
    """Make all checks before a deployment, and say what may matter.

    Raises:
        NotCleared: something would make the deployment fail.
    """
    from infra.errors import Severity
    from infra.preflight import NotCleared, exit_code

    answers = examine(here, accounts, assembly, only)
    warnings = [p for answer in answers for p in answer.problems if p.severity is Severity.WARNING]
    for problem in dict.fromkeys(str(problem) for problem in warnings):
        here.say(f"warning  {problem}")
    if exit_code(answers):
        raise NotCleared(answers)


def _cell(answers: Sequence[Answer]) -> Cell:
    from infra.progress import Cell, Status

    states = Counter(answer.state for answer in answers)
    told = [f"{states[state]} {state}" for state in ("error", "warning", "notice", "not asked") if states[state]]
    text = f"{len(answers)} checks: {', '.join(told) or 'all in order'}"
    return Cell(text, Status.FAILED if states["error"] else Status.DONE)


def as_text(here: Context, answers: Sequence[Answer]) -> str:
    """Return the answers for a person: a table of checks by account, then each problem with its remedy."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    places = list(dict.fromkeys(answer.place for answer in answers))
    checks = list(dict.fromkeys(answer.check for answer in answers))
    states = {(answer.check, answer.place): _WORDS[answer.state] for answer in answers}
    table = Table(title=Text(f"{here.federation.name} ({here.aws} AWS)"), title_justify="left", header_style="bold")
    table.add_column("check")
    accounts = {answer.place: answer.account for answer in answers}
    for place in places:
        table.add_column(Text(f"{place}\n{accounts[place]}" if accounts[place] else place))
    for check in checks:
        table.add_row(check, *(states.get((check, place), "") for place in places))
    console = Console(width=max(100, 30 + 22 * len(places)), highlight=False)
    with console.capture() as captured:
        console.print(table)
    problems = [problem for answer in answers for problem in answer.problems]
    lines = list(dict.fromkeys(f"{problem.severity.value:8} {problem}" for problem in problems))
    return "\n".join([captured.get().rstrip(), *lines])
