"""``federate audit verify``: whether a node's audit log is as the node wrote it.

Reads the log by its written form alone (docs/wire.md), without the application that wrote it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.context import context
from infra.errors import FederateError

_NOTHING = "0" * 64
_HEAD = "audit.head.json"


class UnreadableLog(FederateError):
    """There is no log, or no head beside it."""

    exit_code = 2


@dataclass
class Verdict:
    """What was found in a log; it is good if there are no faults."""

    lines: int = 0
    anchored: int = 0
    node: str | None = None
    first: str | None = None
    last: str | None = None
    sent: int = 0
    received: int = 0
    other: int = 0
    faults: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


File = Annotated[Path, typer.Argument(metavar="FILE", help="A node's audit.jsonl; its head lies beside it.")]
AuthorityFile = Annotated[
    Path | None, typer.Option("--authority", metavar="PEM", help="The federation's authority, to know who signed.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The record of what left a node and what came.")
    group.callback()(_group)
    group.command(epilog="Example: federate audit verify state/audit.jsonl --authority authority.pem")(verify)
    app.add_typer(group, name="audit")


def _group() -> None:
    """Keep `verify` a command of its own."""


def verify(
    ctx: typer.Context,
    file: File,
    authority: AuthorityFile = None,
    json: AsJson = False,
) -> None:
    """Find any edit, gap, reordering or truncation of an audit log; 0 if there is none, 1 if there is."""
    here = context(ctx)
    found = verdict(file, authority)
    document = {"file": str(file), "good": not found.faults, **vars(found)}
    if json or here.json:
        print(_json_text(document))
    else:
        here.answer(document, _in_words(file, found))
    if found.faults:
        raise typer.Exit(1)


def verdict(file: Path, authority: Path | None = None) -> Verdict:
    """Look at a log and its head.

    Raises:
        UnreadableLog: one of the files is not there or cannot be read.
    """
    head_file = file.with_name(_HEAD)
    try:
        raw = file.read_bytes()
        trusted = authority.read_bytes() if authority else None
    except OSError as error:
        raise UnreadableLog(f"{error.filename} cannot be read: {error.strerror}.", remedy="Name a log.") from None
    found = Verdict()
    hashes = _chain(raw, found)
    _hold_against_head(head_file, hashes, found, trusted)
    return found


def _chain(raw: bytes, found: Verdict) -> list[str]:
    """Follow the lines, each of which holds the one before; return their hashes."""
    hashes: list[str] = []
    *lines, rest = raw.split(b"\n")
    for place, line in enumerate(lines, start=1):
        entry = _parsed(line)
        if entry is None:
            found.faults.append(f"line {place} was edited: its hash does not hold")
            hashes.append("")
            continue
        previous = hashes[-1] if hashes else _NOTHING
        if entry.get("n") != place:
            found.faults.append(f"line {place} has the number {entry.get('n')}: lines are missing or in another order")
        elif entry.get("previous") != previous:
            found.faults.append(f"line {place} does not follow line {place - 1}")
        hashes.append(str(entry["hash"]))
        _count(entry, found)
    found.lines = len(lines)
    if rest:
        found.faults.append(f"the last line is torn, {len(rest)} bytes: cut off, or written at this moment")
    return hashes


def _count(entry: dict[str, Any], found: Verdict) -> None:
    direction, when, node = entry.get("direction"), entry.get("time"), entry.get("node")
    found.sent += direction == "sent"
    found.received += direction == "received"
    found.other += direction not in ("sent", "received")
    found.first, found.last = found.first or when, when
    if found.node not in (None, node):
        found.faults.append(f"line {entry.get('n')} is of {node}, not of {found.node}")
    found.node = found.node or node


def _hold_against_head(path: Path, hashes: list[str], found: Verdict, trusted: bytes | None) -> None:
    try:
        head: dict[str, Any] = json.loads(path.read_bytes())
        count, last, node, when = (head[key] for key in ("records", "hash", "node", "time"))
        certificate, signature = head["certificate"], base64.b64decode(head["signature"], validate=True)
        if not isinstance(count, int) or count < 0:
            raise ValueError
    except FileNotFoundError:
        found.faults.append(f"{path.name} is not beside it: whether lines are missing at the end cannot be told")
        return
    except (OSError, ValueError, KeyError, TypeError):
        found.faults.append(f"{path.name} was edited: it cannot be read")
        return
    found.anchored = count
    signed = _text({"records": count, "hash": last, "node": node, "time": when})
    wrong = _signature_fault(signed, signature, str(certificate), str(node), trusted)
    if wrong:
        found.faults.append(f"{path.name} was edited: {wrong}")
    if found.node not in (None, node):
        found.faults.append(f"{path.name} is of {node}, the log of {found.node}")
    if count > len(hashes):
        found.faults.append(f"{count - len(hashes)} lines are missing at the end: {path.name} says {count}")
    elif last != (hashes[count - 1] if count else _NOTHING):
        found.faults.append(f"line {count} is not the one that {path.name} names")
    elif count < len(hashes):
        found.notices.append(f"the last {len(hashes) - count} lines are not signed yet; a running node does so in 1 s")
    if trusted is None:
        found.notices.append("who signed was not checked: give --authority")


def _signature_fault(
    message: bytes, signature: bytes, certificate_pem: str, node: str, trusted: bytes | None
) -> str | None:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        key = certificate.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            return "its certificate has a key that does not sign"
    except (ValueError, InvalidSignature):
        return "its signature does not hold"
    if trusted is None:
        return None
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        authorities = x509.load_pem_x509_certificates(trusted)
    except (ValueError, x509.ExtensionNotFound):
        return "its certificate, or the authority's, cannot be read"
    if not any(uri.endswith(f"/{node}") for uri in names.get_values_for_type(x509.UniformResourceIdentifier)):
        return f"its certificate is not that of {node}"
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return None
    return "its certificate is not of this authority"


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return a line whose hash holds, byte for byte, or None."""
    try:
        entry: dict[str, Any] = json.loads(line)
        told = entry.pop("hash")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    if hashlib.sha256(_text(entry)).hexdigest() != told:
        return None
    entry["hash"] = told
    return entry if _text(entry) == line else None


def _text(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode()


def _json_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1)


def _in_words(file: Path, found: Verdict) -> str:
    head = f"{file}: {'as it was written' if not found.faults else 'NOT as it was written'}"
    told = f"{found.lines} lines of {found.node}, {found.sent} sent, {found.received} received, {found.other} other"
    when = f"{found.first} to {found.last}; signed up to line {found.anchored}"
    lines = [*found.faults, f"{told}; {when}", *found.notices]
    return "\n".join([head, *(f"  {line}" for line in lines)])
