"""The errors of the CloudFormation API, with the codes that the AWS CloudFormation API Reference gives them."""

from __future__ import annotations


class CloudFormationError(Exception):
    """A request that CloudFormation refuses.

    Args:
        message: the text, as AWS words it.
        code: the error code of the API; ``ValidationError`` is CloudFormation's common error.
        status: the HTTP status.
    """

    def __init__(self, message: str, *, code: str = "ValidationError", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class TemplateError(CloudFormationError):
    """The template itself is wrong: found before anything is made."""


class ResourceFailure(Exception):
    """One resource could not be made, changed or deleted; ends up in the stack's events.

    Args:
        message: the reason.
        code: the HandlerErrorCode, from "Handler error codes" in the CloudFormation CLI User Guide.
    """

    def __init__(self, message: str, *, code: str = "InvalidRequest") -> None:
        super().__init__(message)
        self.code = code


def stack_does_not_exist(name: str) -> CloudFormationError:
    """Return what DescribeStacks answers for an unknown stack; the CDK CLI recognises the text."""
    return CloudFormationError(f"Stack with id {name} does not exist")
