"""The CloudFormation API over HTTP: the AWS Query protocol in, XML out, by botocore's own description of the API."""

from __future__ import annotations

import traceback
import uuid
from typing import Any

from moto.core.parse import QueryParser
from moto.core.serialize import QuerySerializer, SerializationContext
from moto.core.utils import get_service_model
from werkzeug.wrappers import Request, Response

from infra.local.aws.cfn.api import Api
from infra.local.aws.cfn.errors import CloudFormationError, ResourceFailure
from infra.local.aws.refusals import query_error


class Wire:
    """Answers HTTP requests with the engine's API."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._model = get_service_model("cloudformation")

    def answer(self, request: Request, account: str, region: str) -> Response:
        """Answer one request of a caller whose key is known."""
        values = request.values.to_dict()
        action = values.get("Action", "")
        if action not in self._model.operation_names:
            return query_error("InvalidAction", f"The action {action} is not valid for this endpoint.", 400)
        operation = self._model.operation_model(action)
        try:
            arguments = QueryParser(operation).parse({"values": values})
            return _serialise(operation, self._api.call(action, account, region, arguments))
        except CloudFormationError as error:
            return query_error(error.code, str(error), error.status)
        except ResourceFailure as error:
            return query_error("ValidationError", str(error), 400)
        except Exception as error:
            traceback.print_exc()
            return query_error(
                "InternalFailure", f"Loopback AWS failed: {error!r}; its log says where.", 500, "Receiver"
            )


def _serialise(operation: Any, answer: dict[str, Any]) -> Response:
    serialiser = QuerySerializer(operation, SerializationContext(str(uuid.uuid4())))
    made = serialiser.serialize(answer)
    return Response(made["body"], status=made["status_code"], headers=made["headers"])
