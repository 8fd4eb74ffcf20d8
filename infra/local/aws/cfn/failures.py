"""Why a resource failed, in the words of a stack event."""

from __future__ import annotations

import traceback
import uuid

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.aws.cfn.errors import CloudFormationError, ResourceFailure


def event_reason(resource_type: str, error: Exception) -> str:
    """Return the ResourceStatusReason of a failed resource.

    The form is that of CloudFormation's registry types, for example: Resource handler returned message: "Address
    10.0.0.5 is in use. (Service: Ec2, Status Code: 400, Request ID: …)" (RequestToken: …, HandlerErrorCode: …).
    Source: aws/aws-cdk issue 31635, which quotes it.
    """
    if isinstance(error, CloudFormationError):
        return str(error)
    message, code = str(error), "InvalidRequest"
    if isinstance(error, ResourceFailure):
        code = error.code
    elif not isinstance(error, (ClientError, BotoCoreError)):
        # A fault of the emulator: it ends in a failed resource like any other, and the log says where it came from.
        traceback.print_exception(error)
        message, code = f"Loopback AWS failed: {error!r}", "InternalFailure"
    if isinstance(error, ClientError):
        answer = error.response
        service = resource_type.split("::")[1].capitalize()
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        told = answer["Error"].get("Message", "")
        message = f"{told} (Service: {service}, Status Code: {status}, Request ID: {uuid.uuid4()})"
        code = _handler_code(answer["Error"].get("Code", ""))
    return f'Resource handler returned message: "{message}" (RequestToken: {uuid.uuid4()}, HandlerErrorCode: {code})'


def is_gone(error: Exception) -> bool:
    """Whether a deletion failed only because there is nothing left to delete."""
    return isinstance(error, ClientError) and _handler_code(error.response["Error"].get("Code", "")) == "NotFound"


def _handler_code(api_code: str) -> str:
    if "NotFound" in api_code or api_code in ("NoSuchEntity", "NoSuchBucket", "ParameterNotFound"):
        return "NotFound"
    if "AlreadyExists" in api_code or api_code in ("BucketAlreadyOwnedByYou", "InvalidGroup.Duplicate"):
        return "AlreadyExists"
    if api_code in ("AccessDenied", "UnauthorizedOperation"):
        return "AccessDenied"
    return "InvalidRequest"
