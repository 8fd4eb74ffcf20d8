"""The base: the one root that every node's own lies over, built once and kept by its content.

It is a Debian root in which the machine image's own build component was executed, offline: the one that EC2 Image
Builder executes on an instance of AWS.
It holds no host key, no machine id and nothing of any federation.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.twin.machines import debian, offline, tools, wheels
from infra.local.twin.machines.components import Component
from node_bootstrap.image import documents, source

#: Says what is being done, a line a step.
Progress = Callable[[str], None]

_CHECKOUT = Path(__file__).parents[4]
#: All that the root gets to see of a checkout.
_READ = source.INSTALLED
#: The archive of it, as the build component names it.
_SOURCE = "s3://base/source.tar"
#: Another number where this module builds otherwise from the same files.
_RECIPE = 2
_KEPT_BASES = 2


def cache_folder() -> Path:
    """Return where bases are kept: ``FEDERATE_CACHE``, or the user's own cache."""
    given = os.environ.get("FEDERATE_CACHE")
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "federate"
    return Path(given).absolute() if given else own


def ensure(cache: Path, progress: Progress, checkout: Path = _CHECKOUT) -> Path:
    """Return the base's root, built unless it is there.

    It needs the network that this machine's pip and Debian's archive are reached by; call it outside the twin's world.

    Args:
        cache: where to keep it; see :func:`cache_folder`. Bases that were not used for long are deleted.
        progress: told of each step and how long it took.
        checkout: whose install script.

    Raises:
        CannotHaveMachines: not root, or a program is missing.
        ToolFailed: a step failed; what is there before stays.
    """
    folder = cache / "twin"
    root = folder / f"base-{key(checkout)}"
    if not root.exists():
        tools.require("mmdebstrap", "systemd-nspawn", "unshare")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _one_builder(folder, progress):
            if not root.exists():
                _build(root, folder, checkout, progress)
            _prune(folder, root)
    os.utime(root)
    return root


def key(checkout: Path = _CHECKOUT) -> str:
    """Return the name of a checkout's base: a digest of everything that it is made from."""
    digest = hashlib.sha256(repr(_recipe()).encode())
    for path in source.files(_READ, checkout):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(checkout)}\0{len(content)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def hold(root: Path) -> int:
    """Keep a base from being deleted until the returned file descriptor is closed, or its process ends."""
    held = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def _recipe() -> tuple[object, ...]:
    return (_RECIPE, debian.SUITE, debian.PACKAGES, debian.MASKED, sorted(debian.FILES.items()), platform.machine())


def _build(root: Path, folder: Path, checkout: Path, progress: Progress) -> None:
    part = root.with_suffix(".part")
    for left in folder.glob("*.part"):
        shutil.rmtree(left)
    with _told(progress, f"Debian {debian.SUITE}"):
        plain = _plain_root(folder)
        tools.run(["cp", "--archive", "--reflink=auto", plain, part], doing="copy the Debian root")
    with _told(progress, "Python packages"):
        found = wheels.fetch(checkout, folder / "wheels.part", debian.PYTHON)
    if foreign := wheels.foreign(found):
        progress(f"pip brought {len(foreign)} packages for graphics cards along; a CPU build of torch would do here")
    with _told(progress, "the machine image's build component"):
        _install(part, folder / "wheels.part", checkout, progress)
    debian.adapt(part)
    debian.clean(part)
    shutil.rmtree(folder / "wheels.part")
    part.rename(root)


def _plain_root(folder: Path) -> Path:
    """Return Debian without anything of ours; it is made far more seldom than a base."""
    digest = hashlib.sha256(repr((debian.SUITE, debian.PACKAGES, platform.machine())).encode()).hexdigest()[:16]
    plain = folder / f"debian-{digest}"
    if not plain.exists():
        part = plain.with_suffix(".part")
        debian.make(part)
        debian.clean(part)
        part.rename(plain)
    for other in folder.glob("debian-*"):
        if other != plain:
            shutil.rmtree(other)
    return plain


def _install(root: Path, packages: Path, checkout: Path, progress: Progress) -> None:
    """Execute the machine image's build component in the root, which has no network and sees packages and sources."""
    archive = source.archive(source.INSTALLED, checkout)
    environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/mnt", "PIP_NO_CACHE_DIR": "1"}
    machine = offline.Root(root, shown={"/mnt": packages}, environment=environment)
    component = Component.read(documents.document("build"))
    values = {"SourceUri": _SOURCE, "SourceDigest": archive.digest}
    component.run("build", machine, values=values, objects={_SOURCE: archive.content}, progress=progress)


def _prune(folder: Path, newest: Path) -> None:
    """Delete the bases that were not used for longest and that no machine runs on."""
    bases = sorted(folder.glob("base-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in [path for path in bases if path != newest][_KEPT_BASES - 1 :]:
        held = os.open(old, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old)
        except BlockingIOError:
            continue
        finally:
            os.close(held)


@contextmanager
def _one_builder(folder: Path, progress: Progress) -> Iterator[None]:
    """Keep another process from building at the same time; the lock goes with the process."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is building the base; waits for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _told(progress: Progress, what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    progress(f"{what}: {time.monotonic() - began:.0f} s")
