"""Where an address of the plan really is: itself, except where the twin lets all nodes share one machine."""

from __future__ import annotations

import os

from fl_app.config import Address
from fl_app.errors import ConfigError

VARIABLE = "FEDERATE_ADDRESS_MAP"


def real_address(planned: Address, environment: dict[str, str] | None = None) -> Address:
    """Return where to dial or listen for an address of the plan.

    ``FEDERATE_ADDRESS_MAP`` holds ``planned=real`` pairs, separated by commas:
    ``10.30.0.10:8890=127.0.0.1:40001``; ``*`` as the planned port is any. Names in certificates do not depend on it.

    Raises:
        ConfigError: the variable has another form.
    """
    text = (os.environ if environment is None else environment).get(VARIABLE, "")
    for pair in filter(None, (part.strip() for part in text.split(","))):
        planned_text, equals, real = pair.partition("=")
        host, colon, port = real.rpartition(":")
        if not (equals and colon and host and port.isdecimal() and 0 < int(port) < 65536):
            raise ConfigError(f"{VARIABLE} holds {pair!r}; host:port=host:port is expected.")
        if planned_text in (str(planned), f"{planned.host}:*"):
            return Address(host, int(port))
    return planned
