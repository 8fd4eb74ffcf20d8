"""The Python packages of a node as wheels in a folder: fetched with this machine's pip, installed in the root offline.

A root that is being built has no network, and this machine's pip knows where packages come from.
"""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.local.twin.machines import tools

#: Published as sources only; pure Python, so any Python may make the wheel.
_SOURCES_ONLY = ("GPUtil", "paho-mqtt", "wget")
#: To build the checkout's own wheel in the root. torch comes before what depends on it, as in install.sh.
_FIRST = ("setuptools", "wheel", "torch")
#: Versions of glibc that wheels name, up to the one of Debian 12.
_GLIBC = ("2_36", "2_35", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
_TIMEOUT_SECONDS = 3600


def fetch(checkout: Path, folder: Path, python: tuple[int, int]) -> list[Path]:
    """Fill a folder with every wheel that ``install.sh`` asks for.

    Args:
        checkout: has constraints.txt and pyproject.toml.
        folder: where to.
        python: version of the Python that is to install them.

    Raises:
        ToolFailed: pip says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for command in commands(checkout, folder, python, here=sys.version_info[:2]):
        tools.run(command, doing="fetch the Python packages of a node", timeout_seconds=_TIMEOUT_SECONDS)
    return sorted(folder.glob("*.whl"))


def commands(
    checkout: Path, folder: Path, python: tuple[int, int], *, here: tuple[int, ...]
) -> Iterator[Sequence[str | Path]]:
    """Yield the calls of pip, in their order.

    Args:
        checkout: see :func:`fetch`.
        folder: see :func:`fetch`.
        python: see :func:`fetch`.
        here: version of the Python that runs pip. Where it is another, only wheels can be had, of its version.
    """
    common: list[str | Path] = ["--quiet", "--disable-pip-version-check", "--constraint", checkout / "constraints.txt"]
    pip: list[str | Path] = [sys.executable, "-m", "pip"]
    wheel = [*pip, "wheel", *common, "--wheel-dir", folder]
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["node"]]
    if python == here:
        yield [*wheel, *_FIRST]
        yield [*wheel, *wanted]
        yield [*wheel, "--no-deps", "fedml"]
    else:
        platforms = [f"--platform=manylinux_{glibc}_{platform.machine()}" for glibc in _GLIBC]
        version = f"{python[0]}.{python[1]}"
        download = [*pip, "download", *common, "--dest", folder, "--only-binary=:all:", "--python-version", version]
        yield [*wheel, "--no-deps", "fedml", *_SOURCES_ONLY]
        yield [*download, *platforms, *_FIRST]
        yield [*download, *platforms, *(each for each in wanted if _name(each) not in _SOURCES_ONLY)]


def foreign(wheels: Sequence[Path]) -> list[str]:
    """Return the wheels for graphics cards: the twin has none, and these packages are larger than all others."""
    return [path.name for path in wheels if path.name.startswith(("nvidia_", "cuda_", "triton-"))]


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
