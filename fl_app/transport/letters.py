"""Between FedML's messages and envelopes: FedML numbers the parties, the wire names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fl_app import engine  # noqa: F401  # FedML comes quiet
from fl_app.transport.json_text import WireError
from fl_app.transport.wire import KINDS, Envelope

from fedml.core.distributed.communication.message import Message  # isort: skip
from fedml.cross_silo.server.message_define import MyMessage  # isort: skip

KIND_OF_TYPE: Mapping[int, str] = {
    MyMessage.MSG_TYPE_S2C_INIT_CONFIG: "init",
    MyMessage.MSG_TYPE_S2C_SYNC_MODEL_TO_CLIENT: "sync",
    MyMessage.MSG_TYPE_S2C_FINISH: "finish",
    MyMessage.MSG_TYPE_C2S_SEND_MODEL_TO_SERVER: "update",
    MyMessage.MSG_TYPE_C2S_SEND_STATS_TO_SERVER: "evaluation",
    MyMessage.MSG_TYPE_C2S_CLIENT_STATUS: "status",
}
TYPE_OF_KIND: Mapping[str, int] = {kind: number for number, kind in KIND_OF_TYPE.items()}

#: The kinds that each side takes; the other's own are refused.
TO_SITE = frozenset({"init", "sync", "finish"})
TO_AGGREGATOR = frozenset({"update", "evaluation", "status"})

#: What FedML adds to its messages and nobody here needs: it stays at home.
_NOT_SENT = frozenset(
    {
        MyMessage.MSG_ARG_KEY_TYPE,
        MyMessage.MSG_ARG_KEY_SENDER,
        MyMessage.MSG_ARG_KEY_RECEIVER,
        MyMessage.MSG_ARG_KEY_MODEL_PARAMS,
        MyMessage.MSG_ARG_KEY_CLIENT_INDEX,
        MyMessage.MSG_ARG_KEY_CLIENT_OS,
    }
)


def to_envelope(message: Message, *, sender: str, receiver: str) -> Envelope:
    """Return what of a FedML message goes on the wire: the fields that its kind declares; more is an error.

    Raises:
        WireError: the type of message has no place on the wire.
    """
    kind = KIND_OF_TYPE.get(message.get_type())
    if kind is None:
        raise WireError(f"FedML's message type {message.get_type()!r} has no place on the wire")
    params: Mapping[str, Any] = message.get_params()
    fields = {name: value for name, value in params.items() if name not in _NOT_SENT}
    tensors = params.get(MyMessage.MSG_ARG_KEY_MODEL_PARAMS) if KINDS[kind][1] else None
    return Envelope(kind, sender, receiver, fields, tensors)


def to_message(envelope: Envelope, *, sender_rank: int, receiver_rank: int) -> Message:
    """Return a checked envelope as the message that FedML's handlers expect."""
    message = Message(TYPE_OF_KIND[envelope.kind], sender_rank, receiver_rank)
    for name, value in envelope.fields.items():
        message.add_params(name, value)
    if envelope.tensors is not None:
        message.add_params(MyMessage.MSG_ARG_KEY_MODEL_PARAMS, envelope.tensors)
    return message
