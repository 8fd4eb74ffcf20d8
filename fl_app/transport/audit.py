"""The audit log of a node: what was sent to whom and received from whom, in lines that hold each other.

``audit.jsonl`` is append-only: a JSON object a line, numbered, each with the hash of the one before and its own.
``audit.head.json`` beside it says how many lines there were and the last one's hash, signed with the node's key, so
that cutting lines off at the end is found too. ``federate audit verify`` reads both; docs/wire.md says what it finds.

A line is written before the last frame of what it is about leaves, so no message leaves whole without one. Lines
survive a killed process at once and a power cut after at most :data:`SYNC_SECONDS`; then the head follows.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fl_app.errors import StateError
from fl_app.rounds.files import make_folder, write_atomically
from fl_app.transport.identity import Credentials
from fl_app.transport.json_text import WireError, parse_json
from fl_app.transport.signing import certificate_text, sign

_log = logging.getLogger(__name__)

FILE, HEAD = "audit.jsonl", "audit.head.json"
SYNC_SECONDS = 1.0
NOTHING = "0" * 64
_TEXT = 120


class AuditLog:
    """Appends to a node's log; any thread may."""

    def __init__(self, folder: Path, credentials: Credentials) -> None:
        """Keep the log in a folder; nothing is touched before :meth:`open`."""
        self._path, self._head_path = folder / FILE, folder / HEAD
        self._credentials = credentials
        self._node = credentials.peer.node
        self._lock = threading.Lock()
        self._count, self._hash, self._anchored = 0, NOTHING, -1
        self._file = -1
        self._dirty, self._closed = threading.Event(), threading.Event()
        self._post: Callable[[BaseException], None] = lambda error: None
        self._thread = threading.Thread(target=self._keep, name="audit", daemon=True)

    def tell(self, post: Callable[[BaseException], None]) -> None:
        """Post an error there when a line cannot be written: the wire's threads cannot end the node."""
        self._post = post

    def open(self) -> None:
        """Go on where the log ended, or begin one.

        Raises:
            StateError: the log there was edited or cut, is in use, or cannot be written.
        """
        make_folder(self._path.parent)
        try:
            is_there = self._path.exists()
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(
                f"{self._path} is in use: another process of {self._node} runs.", remedy="End that one first."
            ) from None
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error.strerror}.") from None
        torn = self._resume(is_there)
        if torn:
            self._append({"direction": "torn", "bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()})
        self._anchor()
        self._thread.start()

    def sent(self, peer: str, header: bytes, size: int, digest: str, *, whole: bool = True) -> None:
        """Record what is handed to the network for a peer: before its last frame is, or, torn off, after its last."""
        self._append(self._entry("sent" if whole else "sent in part", peer, header, size, digest))

    def received(self, peer: str, header: bytes, size: int, digest: str) -> None:
        """Record a message that has arrived whole, before it is looked at."""
        self._append(self._entry("received", peer, header, size, digest))

    def note(self, direction: str, peer: str, reason: str, **known: Any) -> None:
        """Record what was not let through: ``withheld`` here, or ``refused`` of a peer's."""
        self._append({"direction": direction, "peer": peer, **known, "reason": reason[:400]})

    def renew(self, credentials: Credentials) -> None:
        """Sign with another key from now on."""
        with self._lock:
            self._credentials = credentials
            self._anchored = -1
        self._dirty.set()

    def close(self) -> None:
        """Make everything durable and sign it."""
        if self._closed.is_set() or not self._thread.is_alive():
            return
        self._closed.set()
        self._dirty.set()
        self._thread.join()
        self._anchor()
        os.close(self._file)

    @staticmethod
    def _entry(direction: str, peer: str, header: bytes, size: int, digest: str) -> dict[str, Any]:
        known = _known(header)
        return {"direction": direction, "peer": peer, **known, "bytes": len(header) + size, "sha256": digest}

    def _append(self, entry: dict[str, Any]) -> None:
        with self._lock:
            now = time.time()
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"
            line = {"n": self._count + 1, "time": stamp, "node": self._node, **entry, "previous": self._hash}
            digest = hashlib.sha256(_text(line)).hexdigest()
            data = _text({**line, "hash": digest}) + b"\n"
            try:
                self._write(data)
            except StateError as error:
                self._post(error)
                raise
            self._count, self._hash = self._count + 1, digest
        self._dirty.set()

    def _write(self, line: bytes) -> None:
        """Append a whole line, or nothing of it: the next one must not follow half of one."""
        try:
            written = os.write(self._file, line)
            if written != len(line):
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise StateError(
                f"{self._path} cannot be written: {error.strerror}.",
                remedy="Free space and start again: what cannot be recorded is not sent.",
            ) from None

    def _keep(self) -> None:
        """Anchor what is new, at most once in a while; sleep as long as there is nothing."""
        while not self._closed.is_set():
            self._dirty.wait()
            self._dirty.clear()
            self._closed.wait(SYNC_SECONDS)
            try:
                self._anchor()
            except (StateError, OSError) as error:
                _log.warning("%s", error)

    def _anchor(self) -> None:
        with self._lock:
            count, last, credentials = self._count, self._hash, self._credentials
        if count == self._anchored:
            return
        os.fsync(self._file)
        head = {"records": count, "hash": last, "node": self._node, "time": int(time.time())}
        signed = {**head, "certificate": certificate_text(credentials), "signature": sign(credentials, _text(head))}
        write_atomically(self._head_path, json.dumps(signed, indent=1).encode() + b"\n")
        self._anchored = count

    def _resume(self, is_there: bool) -> bytes:
        """Take up the last line, and return a torn end, which is cut off and becomes a line of its own."""
        head = self._head()
        if not is_there and head and head["records"]:
            raise self._broken(f"{FILE} is not there, and {HEAD} says {head['records']} lines")
        whole, torn = 0, b""
        is_anchored = head is not None and head["records"] == 0
        for line in _lines(self._path):
            if not line.endswith(b"\n"):
                torn = line
                break
            entry = _parsed(line)
            if entry is None or entry.get("n") != self._count + 1 or entry.get("previous") != self._hash:
                raise self._broken(f"line {self._count + 1} does not follow the one before")
            self._count, self._hash, whole = self._count + 1, entry["hash"], whole + len(line)
            if head and head["records"] == self._count:
                is_anchored = head["hash"] == self._hash
        if not is_anchored and (self._count or head):
            raise self._broken(f"it has {self._count} lines; {HEAD} names {head['records'] if head else 'none'}")
        if torn:
            os.truncate(self._path, whole)
        return torn

    def _head(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._head_path.read_bytes())
            return found if isinstance(found["records"], int) and isinstance(found["hash"], str) else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise self._broken(f"{HEAD} cannot be read") from None

    def _broken(self, what: str) -> StateError:
        return StateError(
            f"The audit log {self._path} was changed by somebody else: {what}.",
            remedy=f"See `federate audit verify {self._path}`; keep both files elsewhere, and a new log begins.",
        )


def _known(header: bytes) -> dict[str, Any]:
    """Return what a header says about itself, as far as it can be read."""
    try:
        head = parse_json(header)
    except WireError:
        return {"kind": None}
    found = head.get("fields")
    fields: dict[str, Any] = found if isinstance(found, dict) else {}
    kind, run, round_ = head.get("kind"), fields.get("run"), fields.get("round")
    return {
        "kind": kind[:_TEXT] if isinstance(kind, str) else None,
        **({"run": run[:_TEXT]} if isinstance(run, str) else {}),
        **({"round": round_} if isinstance(round_, int) and abs(round_) < 2**53 else {}),
    }


def _text(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":"), allow_nan=False).encode()


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return a line whose hash holds, byte for byte, or None."""
    try:
        entry = json.loads(line)
        digest = entry.pop("hash")
    except (ValueError, KeyError, AttributeError, RecursionError):
        return None
    if hashlib.sha256(_text(entry)).hexdigest() != digest or _text({**entry, "hash": digest}) + b"\n" != line:
        return None
    return {**entry, "hash": digest}
