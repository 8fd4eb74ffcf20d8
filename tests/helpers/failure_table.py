"""The table of injected failures: what tests saw becomes docs/failures.md, and what that page says is compared."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import pytest

#: Set by ``make failures``: the page is written anew instead of being compared.
WRITE = "FAILURES"
PAGE = Path(__file__).parents[2] / "docs" / "failures.md"
#: Where rows are kept until all are there, so that the tests may be run in parts.
ROWS = Path("build") / "failures" / "rows"
_KEY = "failure"

#: Heading to the ids below it: the order of the page. Each id is of one test, which bears it as its marker.
ORDER: Mapping[str, tuple[str, ...]] = {
    "Credentials and this machine": (
        "wrong-account",
        "expired",
        "key-unknown",
        "key-wrong",
        "no-profile",
        "no-credentials",
        "clock",
        "unreachable",
        "cdk-missing",
        "cdk-version",
        "busy",
        "cidr-overlap",
    ),
    "While stacks are deployed": (
        "vcpu-quota",
        "no-capacity",
        "zone-without-type",
        "image-missing",
        "image-not-shared",
        "volume-key",
        "vpc-quota",
        "peering-quota",
        "peering-role",
        "role-exists",
        "bucket-exists",
        "denied",
        "denied-by-scp",
        "denied-by-boundary",
        "denied-to-cdk",
        "throttled-briefly",
        "throttled",
        "aws-ill-briefly",
        "connection-lost",
        "stuck",
        "left-in-review",
        "interrupted",
    ),
    "While stacks are deleted": ("in-use", "bucket-not-empty", "protected"),
    "Once the stacks are there": (
        "image-without-federate",
        "user-data-fails",
        "node-disk-full",
        "not-approved",
        "bucket-key",
        "authority-expired",
    ),
}
IDS = tuple(id_ for ids in ORDER.values() for id_ in ids)

#: What differs from run to run, and what stands for it.
_VARIES = (
    (re.compile(r"All that was said is in \S+\.log\."), "All that was said is in LOG."),
    (re.compile(r"(Request ID|RequestToken): [\w-]{36}"), r"\1: …"),
    (re.compile(r"\b(vpc|subnet|sg|i|eni|pcx|vol|rtb|vpce)-(?=[0-9a-f]*\d)[0-9a-f]{8,17}\b"), r"\1-…"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:…"),
    (re.compile(r"-[0-9A-Fa-f]{12}\b"), "-…"),
    (re.compile(r"process \d+"), "process …"),
    (re.compile(r"at line \d+"), "at line …"),
    (re.compile(r"again in [\d.]+ s"), "again in … s"),
    (re.compile(r"release [0-9a-f]{12}\b"), "release …"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "…"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One failure: what was done, where it came from, what the user saw, the exit code, and what came of it after.

    ``message`` is all that the user saw, without what differs from run to run; ``todo`` is for where nothing has to be
    done, which no message says.
    """

    id: str
    injected: str
    where: str
    message: str
    code: int
    after: str
    todo: str = ""

    @property
    def sees(self) -> str:
        """The first line, and the cause where it is told."""
        lines = self.message.splitlines()
        cause = next((line.strip() for line in lines if line.strip().startswith("Cause: ")), "")
        return "<br>".join(part for part in (_shortened(lines[0]), cause) if part)

    @property
    def remedy(self) -> str:
        """The lines that say what to do: those after the first, up to what is left unfinished."""
        if self.todo:
            return self.todo
        steps = []
        for line in self.message.splitlines()[1:]:
            if not line.startswith("  "):
                break
            if not line.strip().startswith("Cause: "):
                steps.append(line.strip())
        return " ".join(steps)

    def line(self, number: int) -> str:
        """Return the row in Markdown."""
        cells = (str(number), self.injected, self.where, self.sees, self.remedy, str(self.code), self.after)
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


class Tell(Protocol):
    """Adds a failure to the table."""

    def __call__(self, *, injected: str, where: str, message: str, code: int, after: str, todo: str = "") -> None:
        """Tell what was injected, which call or thing failed, what the user saw, the exit code, and what came after."""


def teller(item: pytest.Item, folder: Path) -> Tell:
    """Return what adds the row of a test, and compares it with the page.

    Args:
        item: the test; its marker ``failure`` is the row's id.
        folder: the desk's, which differs from run to run.
    """

    def tell(*, injected: str, where: str, message: str, code: int, after: str, todo: str = "") -> None:
        marker = item.get_closest_marker("failure")
        assert marker is not None
        row = Row(marker.args[0], injected, where, constant(message, folder), code, after, todo)
        item.user_properties.append((_KEY, asdict(row)))
        if os.environ.get(WRITE) == "write":
            _keep(row, item.config.rootpath / ROWS)
        else:
            number = IDS.index(row.id) + 1
            assert row.line(number) in PAGE.read_text("utf-8").splitlines(), (
                f"docs/failures.md says something else of {row.id}; make failures writes it anew:\n{row.line(number)}"
            )

    return tell


def _keep(row: Row, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{row.id}.json").write_text(json.dumps(asdict(row), ensure_ascii=False), "utf-8")


def _kept(folder: Path) -> dict[str, Row]:
    return {path.stem: Row(**json.loads(path.read_text("utf-8"))) for path in folder.glob("*.json")}


def constant(message: str, folder: Path) -> str:
    """Return a message without what differs from run to run."""
    text = message.replace(str(folder), "…")
    for pattern, instead in _VARIES:
        text = pattern.sub(instead, text)
    return text.strip()


def finish(reporter: pytest.TerminalReporter, root: Path) -> None:
    """Write what was seen to build/failures, and docs/failures.md where that was asked for."""
    found = {row.id: row for row in _rows(reporter)}
    if not found:
        return
    if os.environ.get(WRITE) == "write":
        found = {**_kept(root / ROWS), **found}
    rows = [(number, found[id_]) for number, id_ in enumerate(IDS, 1) if id_ in found]
    folder = root / "build" / "failures"
    folder.mkdir(parents=True, exist_ok=True)
    document = [{"number": number, **asdict(row)} for number, row in rows]
    (folder / "failures.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "index.html").write_text(_html(rows), "utf-8")
    reporter.section("failures")
    for number, row in rows:
        reporter.write_line(f"{number:>2}  exit {row.code:<3}  {row.injected}")
    if os.environ.get(WRITE) == "write" and set(found) >= set(IDS):
        PAGE.write_text(page(found), "utf-8")
        reporter.write_line(f"written: {PAGE}, {folder / 'index.html'}")
    else:
        reporter.write_line(f"{len(found)} of {len(IDS)}; written: {folder / 'index.html'}")


def page(rows: Mapping[str, Row]) -> str:
    """Return docs/failures.md."""
    parts = [_HEAD.format(count=len(IDS))]
    for heading, ids in ORDER.items():
        parts += [f"\n## {heading}\n", _COLUMNS]
        parts += [rows[id_].line(IDS.index(id_) + 1) for id_ in ids]
    return "\n".join(parts) + "\n"


_COLUMNS = "| # | injected | where | what the user sees | what to do | exit | then |\n|---:|---|---|---|---|---:|---|"
_HEAD = """\
# Failures, injected

Written by `make failures` from what its tests saw; in CI the same tests compare each row with what the command says,
and fail where this page would be wrong. {count} failures, each brought about on loopback AWS (real AWS was never asked;
its words are those of its documentation), each seen through the `federate` command. Of a long message the beginning
stands here; `build/failures/index.html` has all of it, and what was left unfinished. *then* is what the same command
does after the repair. What to do where something goes wrong: [troubleshooting.md](troubleshooting.md)."""


def _shortened(line: str, most: int = 330) -> str:
    return line if len(line) <= most else f"{line[:most].rstrip()} …"


def _rows(reporter: pytest.TerminalReporter) -> Iterator[Row]:
    for report in reporter.stats.get("passed", []):
        if report.when == "call":
            yield from (Row(**value) for key, value in report.user_properties if key == _KEY)


def _html(rows: list[tuple[int, Row]]) -> str:
    style = "body{font:15px/1.45 sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    style += "pre{white-space:pre-wrap;background:#f4f4f4;padding:.6rem}"
    parts = [f"<!doctype html><meta charset=utf-8><title>Failures, injected</title><style>{style}</style>"]
    parts.append("<h1>Failures, injected</h1>")
    for number, row in rows:
        place = html.escape(f"{row.where}; exit code {row.code}; then: {row.after}")
        parts.append(
            f"<h2>{number}. {html.escape(row.injected)}</h2><p>{place}</p><pre>{html.escape(row.message)}</pre>"
        )
    return "\n".join(parts) + "\n"
