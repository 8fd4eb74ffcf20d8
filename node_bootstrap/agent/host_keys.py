"""The node's SSH host key, published where its account's operators find it: so nobody has to trust a first answer."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

from node_bootstrap import contract

_log = logging.getLogger(__name__)
#: Type and key; the comment that follows names the machine that made it and is left out.
_LINE = re.compile(r"(ssh-ed25519 [A-Za-z0-9+/]{40,200}={0,3})( .*)?")


class HostKeys:
    """Publishes the host key once in an agent's life.

    Args:
        path: the public key's file; None, or no such file, where the node has no SSH server.
        publish: sets a parameter of the node's.
    """

    def __init__(self, path: Path | None, publish: Callable[[str, str], None]) -> None:
        self._path, self._publish, self._is_done = path, publish, path is None

    def step(self) -> None:
        """Publish the key unless that is done; a file that is not there yet is looked for at the next step.

        Raises:
            AccountError: the account does not answer; the next step tries again.
        """
        if self._is_done or self._path is None:
            return
        try:
            text = self._path.read_text("ascii", errors="replace").strip()
        except OSError:
            return
        found = _LINE.fullmatch(text)
        if found:
            self._publish(contract.HOST_KEYS, found[1])
        else:
            _log.warning("%s holds no Ed25519 host key; it is not published", self._path)
        self._is_done = True
