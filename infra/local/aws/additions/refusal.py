"""An error of a service that a further call raises."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class ServiceRefusal(ServiceException):  # type: ignore[misc]
    """A refusal in the service's own words: AWS's name of the error, and a message.

    moto looks up how to write an error by the module of its class, so it must not be one of moto's own.
    """
