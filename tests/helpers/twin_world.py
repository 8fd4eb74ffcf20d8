"""A world for one test: a child process in mount and network namespaces of its own, with a private ``/run/netns``.

What a test makes in it is gone with the child. As root, or as a user without rights through a user namespace.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from needs import cannot_run

As = Literal["root", "user"]
T = TypeVar("T")

_NEW_MOUNT, _NEW_USER, _NEW_NET = 0x00020000, 0x10000000, 0x40000000
_PRIVATE = 0x40000 | 0x4000  # MS_PRIVATE | MS_REC
_NOBODY = 65534
_libc = ctypes.CDLL(None, use_errno=True)


class NoWorld(Exception):
    """This machine does not allow it; says why."""


def in_world(function: Callable[[], T], who: As = "root") -> T:
    """Run a function in a world of its own, and return what it returns.

    Raises:
        NoWorld: the world cannot be made.
        AssertionError: the function failed; carries its traceback.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(function, who, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    kind, value = pickle.loads(told) if told else ("failed", "the child ended without a word")
    if kind == "done":
        return value
    raise (NoWorld if kind == "no world" else AssertionError)(value)


def world_or_skip(who: As = "root") -> None:
    """Skip the test where there can be no such world; in CI, fail."""
    missing = [tool for tool in ("ip", "nft") if shutil.which(tool) is None]
    if who == "root" and os.geteuid() != 0:
        missing.append("root")
    reason = f"needs {', '.join(missing)}" if missing else None
    if reason is None:
        try:
            in_world(lambda: None, who)
        except NoWorld as error:
            reason = f"needs namespaces of its own: {error}"
    if reason:
        cannot_run(reason)


def _child(function: Callable[[], Any], who: As, writing: int) -> None:
    """Make the world, run the function in it, tell the result and end."""
    os.setpgid(0, 0)
    result: tuple[str, Any]
    try:
        _make(who)
    except OSError as error:
        result = ("no world", str(error))
    else:
        try:
            result = ("done", function())
        except BaseException:
            result = ("failed", traceback.format_exc())
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(pickle.dumps(result))
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    os._exit(0)


def _make(who: As) -> None:
    if who == "user":
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
            _check(_libc.prctl(4, 1, 0, 0, 0), "prctl")  # PR_SET_DUMPABLE: its own /proc files are its own again
        user, group = os.geteuid(), os.getegid()
        _check(_libc.unshare(_NEW_USER | _NEW_MOUNT | _NEW_NET), "unshare")
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
                file.write(text)
    else:
        _check(_libc.unshare(_NEW_MOUNT | _NEW_NET), "unshare")
    _check(_libc.mount(b"none", b"/", None, _PRIVATE, None), "make mounts private")
    _check(_libc.mount(b"twin", b"/run", b"tmpfs", 0, b"mode=755"), "mount /run")


def _check(code: int, doing: str) -> None:
    if code:
        raise OSError(ctypes.get_errno(), f"{doing}: {os.strerror(ctypes.get_errno())}")
