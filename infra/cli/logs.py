"""``federate logs``: what all nodes have said, in one time line."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.context import Context, context
from infra.cli.nodes import Who, named
from infra.errors import FederateError

if TYPE_CHECKING:
    from infra.nodes.answers import Silent
    from infra.nodes.remote import LogLine, Remote

#: How far back each look goes: accounts show lines late, and not always in the order of their times.
_OVERLAP_MS = 10_000
_POLL_SECONDS = 1.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class NoMoment(FederateError):
    """The text says no moment."""

    exit_code = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: federate logs aggregator --follow --since 10m")(logs)


def logs(
    ctx: typer.Context,
    who: Who = None,
    follow_: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From so long ago, 10m or 2h; or a moment: 2026-11-26T09:00 (UTC)."),
    ] = None,
) -> None:
    """Show the nodes' logs in one time line, as their accounts keep them; with --json, an object per line.

    An account that does not answer is named; the others' lines are shown, and the exit code is that of the reason: 3
    for credentials, 4 if AWS does not answer or refuses. With --follow it is asked again, as long as any answers.
    """
    here = context(ctx)
    from_ms = moment_ms(since, time.time()) if since else 0
    chosen = named(here, who)
    here.reach_aws()
    width = max((len(remote.node.id) for remote in chosen), default=0)
    line = TimeLine(chosen, from_ms, tell=lambda node, silent: _tell(here, node, silent))
    for found in in_one_time_line(line, follow=follow_):
        print(_shown(here, *found, width), flush=True)
    if line.silent:
        raise typer.Exit(next(iter(line.silent.values())).error.exit_code)


def _tell(here: Context, node: str, silent: Silent | None) -> None:
    """Say that a node's account does not answer, or answers again."""
    if here.json:
        print(json.dumps(silent.as_dict() if silent else {"node": node, "error": None}), flush=True)
    else:
        print(silent or f"{node}: its account answers again.", file=sys.stderr, flush=True)


def moment_ms(text: str, now: float) -> int:
    """Return the moment that a text means, in milliseconds since 1970.

    Args:
        text: so long ago, ``10m``; or a date and time in ISO 8601, UTC unless it says otherwise.
        now: seconds since 1970.

    Raises:
        NoMoment: it means none.
    """
    ago = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if ago:
        return int((now - int(ago[1]) * _UNITS[ago[2]]) * 1000)
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise NoMoment(
            f"--since {text!r} is no time.",
            remedy="Allowed: 30s, 10m, 2h, 1d; or a moment such as 2026-11-26T09:00, in UTC unless it says otherwise.",
        ) from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


@dataclass(slots=True)
class TimeLine:
    """Looks at nodes' logs again and again, and returns each line once.

    Args:
        chosen: which nodes.
        from_ms: nothing older, milliseconds since 1970.
        tell: called with a node's id when its account stops answering, and why; and with None when it answers again.

    Attributes:
        silent: the nodes whose accounts did not answer at the last look, by id.
    """

    chosen: Sequence[Remote]
    from_ms: int = 0
    tell: Callable[[str, Silent | None], object] = lambda *_: None
    silent: dict[str, Silent] = field(default_factory=dict, init=False)
    _reached: set[str] = field(default_factory=set, init=False)
    _seen: dict[str, dict[str, int]] = field(default_factory=dict, init=False)
    _last: dict[str, int] = field(default_factory=dict, init=False)

    def look(self) -> list[tuple[str, LogLine]]:
        """Return what is new, by node and line; each node's own lines in their order."""
        from infra.nodes.answers import ask_all

        heard, silent = ask_all(self.chosen, self._of)
        before, self.silent = self.silent, {each.remote.node.id: each for each in silent}
        for node in (remote.node.id for remote in self.chosen):
            if (node in before) != (node in self.silent):
                self.tell(node, self.silent.get(node))
        return [(node, line) for lines in heard for node, line in lines]

    @property
    def is_silent(self) -> bool:
        """Whether no account at all answered at the last look."""
        return bool(self.silent) and len(self.silent) == len(self.chosen)

    def _of(self, remote: Remote) -> list[tuple[str, LogLine]]:
        node = remote.node.id
        if node not in self._reached:
            remote.refuse_without_credentials()
            remote.refuse_unless_deployed()
            self._reached.add(node)
        seen, last = self._seen.setdefault(node, {}), self._last.get(node, 0)
        back_to = max(self.from_ms, last - _OVERLAP_MS)
        new = [line for line in remote.log_lines(back_to) if line.id not in seen]
        seen.update((line.id, line.at) for line in new)
        self._last[node] = max([last, *(line.at for line in new)])
        for old in [id_ for id_, at in seen.items() if at < self._last[node] - _OVERLAP_MS]:
            del seen[old]  # it is not looked at again
        return [(node, line) for line in new]


def in_one_time_line(
    line: TimeLine, *, follow: bool, pause: Callable[[float], object] = time.sleep
) -> Iterator[tuple[str, LogLine]]:
    """Yield lines of all nodes by their time; what a node has sent at once bears one time, and stays in its order.

    While it follows, lines are held back until the next look: another node's may be older and come later. It ends
    where no account answers any more.
    """
    held = sorted(line.look(), key=_at)
    try:
        while follow and not line.is_silent:
            pause(_POLL_SECONDS)
            new = line.look()
            # What was held is shown, together with what is new and no younger than all of it.
            until = max((pair[1].at for pair in held), default=0)
            yield from sorted([*held, *(pair for pair in new if pair[1].at <= until)], key=_at)
            held = sorted((pair for pair in new if pair[1].at > until), key=_at)
    except KeyboardInterrupt:
        yield from held
        raise
    yield from held


def _at(pair: tuple[str, LogLine]) -> int:
    return pair[1].at


def _shown(here: Context, node: str, line: LogLine, width: int) -> str:
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(line.at / 1000))
    source, text = line.stream.rpartition("/")[2], line.text.rstrip()
    if here.json:
        return json.dumps({"at": clock, "node": node, "source": source, "line": text})
    return f"{clock} {node:{width}} {source:11} {text}"
