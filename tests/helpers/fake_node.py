"""A node's account in memory, with what a node is given, and an application that does what a test says."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from botocore.exceptions import EndpointConnectionError

from node_bootstrap import contract
from node_bootstrap.agent.account import Item
from node_bootstrap.agent.application import Folders, progress_of
from node_bootstrap.agent.application_log import ApplicationLog
from node_bootstrap.agent.facts import Facts
from node_bootstrap.contract import Desired, Manifest, release_key

FACTS = {
    "federation": "fed",
    "node": "hospital-a",
    "role": "client",
    "region": "us-east-1",
    "bucket": "bucket-a",
    "parameter_prefix": "/federate/fed/hospital-a",
    "secret_prefix": "federate/fed/hospital-a",
    "log_group": "/federate/fed/hospital-a",
}
RUN_FILES = {"fedml_config.yaml": b"rounds: 3\n", "grpc_ipconfig.csv": b"eid\n"}


def facts(**change: str) -> Facts:
    """Return the facts of hospital-a, or of whom a test says."""
    return Facts(**{**FACTS, **change})


def release_of(files: Mapping[str, bytes]) -> bytes:
    """Return a release of one wheel with these files."""
    wheel = io.BytesIO()
    with ZipFile(wheel, "w") as packed:
        for name, content in {**files, "app-1.dist-info/WHEEL": b"Root-Is-Purelib: true\n"}.items():
            packed.writestr(name, content)
    release = io.BytesIO()
    with ZipFile(release, "w") as packed:
        packed.writestr("app-1-py3-none-any.whl", wheel.getvalue())
    return release.getvalue()


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class FakeAccount:
    """A node's account: ``told`` holds its parameters, ``objects`` its bucket, ``lines`` its log by stream.

    ``silent`` makes every call fail as if AWS were not reachable. ``downloads`` and ``published`` tell what was done.
    """

    told: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    downloads: list[str] = field(default_factory=list)
    published: list[tuple[str, str]] = field(default_factory=list)
    silent: bool = False

    def parameters(self) -> dict[str, str]:
        self._answer()
        return dict(self.told)

    def publish(self, name: str, value: str) -> None:
        self._answer()
        assert len(value.encode()) <= 4096, "AWS refuses a parameter of more than 4 KB"
        self.published.append((name, value))
        self.told[name] = value

    def items(self, prefix: str) -> Iterator[Item]:
        self._answer()
        for key, content in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield Item(key, digest_of(content), len(content))

    def read(self, key: str) -> bytes | None:
        self._answer()
        return self.objects.get(key)

    def download(self, key: str, path: Path) -> bool:
        self._answer()
        if key not in self.objects:
            return False
        self.downloads.append(key)
        path.write_bytes(self.objects[key])
        return True

    def upload(self, path: Path, key: str) -> None:
        self._answer()
        self.objects[key] = path.read_bytes()

    def log(self, stream: str, lines: list[str]) -> None:
        self._answer()
        self.lines.setdefault(stream, []).extend(lines)

    def log_whole(self, stream: str, lines: Sequence[str]) -> None:
        self.log(stream, list(lines))

    def give(
        self,
        release: bytes | None = None,
        *,
        files: Mapping[str, bytes] = RUN_FILES,
        data: Mapping[str, bytes] | None = None,
        approve: bool = True,
    ) -> str:
        """Put into the account what ``federate supply`` does; return the release's digest."""
        release = release_of({"fl_app/__init__.py": b""}) if release is None else release
        digest = digest_of(release)
        self.objects[release_key(digest)] = release
        texts = {name: content.decode() for name, content in files.items()}
        self.objects[contract.MANIFEST_KEY] = Manifest(digest, texts).text().encode()
        given = {"patient.csv.gz": b"a row"} if data is None else data
        self.objects |= {f"{contract.DATA_PREFIX}{name}": content for name, content in given.items()}
        if approve:
            self.told[contract.APPROVED_RELEASE] = digest
        return digest

    def want(self, state: str, run: str = "") -> None:
        """Set what is wanted of the node, whatever it is."""
        self.told[contract.DESIRED] = json.dumps({"state": state, "run": run})

    def start(self, run: str) -> None:
        self.told[contract.DESIRED] = Desired("started", run).text()

    def stop(self, run: str) -> None:
        self.told[contract.DESIRED] = Desired("stopped", run).text()

    @property
    def state(self) -> dict[str, Any]:
        """What the node last published of itself."""
        found: dict[str, Any] = json.loads(self.told[contract.STATE])
        return found

    def _answer(self) -> None:
        if self.silent:
            raise EndpointConnectionError(endpoint_url="https://ssm.us-east-1.amazonaws.com")


class FakeApplication:
    """In place of :class:`node_bootstrap.agent.application.Application`: it ends when a test says so."""

    def __init__(self, role: str, code: Path, folders: Folders, log: ApplicationLog, *, start: str = "") -> None:
        self.start = start
        folders.output.mkdir(parents=True, exist_ok=True)
        (folders.output / "progress.json").unlink(missing_ok=True)
        self.role, self.code, self.folders, self.log = role, code, folders, log
        self.code_of_end: int | None = None
        self.words = "it said nothing"
        self.was_stopped = self.was_cancelled = False

    def exit_code(self) -> int | None:
        return self.code_of_end

    def stop(self) -> None:
        if self.code_of_end is None:
            self.code_of_end, self.was_stopped = 130, True

    def cancel(self) -> None:
        self.was_cancelled = True
        self.stop()

    def last_words(self) -> str:
        return self.words

    def progress(self) -> dict[str, Any]:
        return progress_of(self.folders.output)

    def comes_to(self, round_: Any, phase: str = "training", **more: Any) -> None:
        """Write progress as the application does."""
        told = {"round": round_, "rounds": 3, "phase": phase, "waiting_for": [], **more}
        (self.folders.output / "progress.json").write_text(json.dumps(told))

    def writes(self, name: str, content: str) -> None:
        """Write a result."""
        (self.folders.output / name).write_text(content)

    def ends(self, code: int, words: str = "it said nothing") -> None:
        self.code_of_end, self.words = code, words
