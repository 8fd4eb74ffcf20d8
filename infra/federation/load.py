"""From ``federation.yaml`` to a checked federation, or every problem of the file at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from infra.errors import InvalidFederation, Problem, Severity
from infra.federation import messages, registry, repair, source
from infra.federation.checks import check
from infra.federation.finding import Finding
from infra.federation.images import Lock, lock_file, read_lock, with_locked
from infra.federation.model import Federation
from infra.federation.secrets import secrets
from infra.federation.source import Document

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """A federation without errors, and the warnings and notices that its author should see."""

    federation: Federation
    notices: tuple[Problem, ...]


def load_federation(path: Path) -> Federation:
    """Read and check a federation.

    Raises:
        InvalidFederation: with every problem of the file.
    """
    return load(path).federation


def load(path: Path, *, locked: bool = True, without_images: bool = False) -> Loaded:
    """Read and check a federation, and keep the warnings and notices.

    Args:
        path: its file; the lock file of its images lies beside it.
        locked: give nodes without an image the locked one.
        without_images: do not mind that nodes have none, or that the lock file cannot be read: images are about to be
            pinned, or nothing is made from them. What is wrong with the lock is then a warning.

    Raises:
        InvalidFederation: with every problem of the file; warnings and notices wait until there is none.
    """
    return load_text(text_of(path), path, locked=locked, without_images=without_images)


def load_text(text: str, path: Path, *, locked: bool = True, without_images: bool = False) -> Loaded:
    """Check the text of a federation's file, which need not be written yet; ``path`` is named in what is found.

    For ``locked`` and ``without_images`` see :func:`load`.

    Raises:
        InvalidFederation: with every problem of the text.
    """
    lock, lock_problems = _read_lock(path, is_needed=not without_images) if locked else (Lock(), ())
    document = source.read(text)
    federation, findings = _examine(document, text, lock)
    if without_images:
        findings = [finding for finding in findings if not finding.is_about_missing_image]
    findings.sort(key=lambda finding: finding.line or document.line(finding.path))
    problems = [finding.problem(document, str(path)) for finding in findings]
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if federation is None or errors:
        raise InvalidFederation(errors)
    return Loaded(federation, (*lock_problems, *problems))


def _read_lock(path: Path, *, is_needed: bool) -> tuple[Lock, tuple[Problem, ...]]:
    try:
        return read_lock(lock_file(path)), ()
    except InvalidFederation as error:
        if is_needed:
            raise
        return Lock(), tuple(replace(problem, severity=Severity.WARNING) for problem in error.problems)


def text_of(path: Path) -> str:
    """Return what stands in a federation's file, whatever it is.

    Raises:
        InvalidFederation: it cannot be read, or is no text.
    """
    remedy = "Name the file with FEDERATE_FILE, or copy the example federation.yaml."
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _unreadable(path, "there is no such file.", remedy) from None
    except IsADirectoryError:
        raise _unreadable(path, "is a folder, not a file.", remedy) from None
    except PermissionError:
        raise _unreadable(path, "may not be read by this user.", "Change its permissions.") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, f"cannot be read: {error}.", remedy) from None
    if len(content) > _MOST_BYTES:
        raise _unreadable(path, f"has {len(content)} bytes.", "A federation of 125 sites has some 50,000.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _unreadable(f"{path}:{line}", "is not UTF-8 text.", "Save the file as UTF-8.") from None


def _unreadable(where: Path | str, found: str, remedy: str) -> InvalidFederation:
    return InvalidFederation([Problem(str(where), found, remedy=remedy)])


def _examine(document: Document, text: str, lock: Lock) -> tuple[Federation | None, list[Finding]]:
    faults = [Finding(fault.path, fault.found, fault.allowed, line=fault.line) for fault in document.faults]
    if not isinstance(document.data, dict):
        if not faults:
            found = "the file is empty." if document.data is None else "the file is not a mapping of keys to values."
            faults = [Finding((), found, "A federation: name, region, aggregator, participants, …")]
        return None, faults
    leaks = secrets(document, text)
    hidden = {leak.path for leak in leaks if leak.path}
    federation, errors, replaced = repair.validate(document.data)
    if federation is not None:
        federation = with_locked(federation, lock)
    wrong = [messages.finding(error, document) for error in errors]
    fitting = [] if federation is None else check(federation, registry.installed())
    return federation, [
        *faults,
        *leaks,
        *(finding for finding in wrong if not finding.rests_on(hidden)),
        *(finding for finding in fitting if not finding.rests_on(replaced | hidden)),
        *_lucky_accounts(document, replaced),
    ]


def _lucky_accounts(document: Document, replaced: set[source.Path]) -> list[Finding]:
    """Find account ids without quotes that YAML 1.1 happens to read as text: 012345678901, because of the 8 and 9."""
    return [
        Finding(
            path,
            f"{text} is without quotes, and is text only because it begins with 0 and contains an 8 or a 9.",
            "",
            f'Write account: "{text}".',
            Severity.WARNING,
        )
        for path, text in document.texts.items()
        if path[-1:] == ("account",) and path in document.plain and path not in replaced
    ]
