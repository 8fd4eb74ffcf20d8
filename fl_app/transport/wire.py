"""What a message looks like on the wire: a small typed JSON header, and tensors as safetensors.

Everything that arrives is checked here against a closed list of kinds and fields. Nothing of it is unpickled,
evaluated, imported or looked up by name.
"""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fl_app.transport import tensors as tensors_
from fl_app.transport.compression import Compression, unpack
from fl_app.transport.json_text import WireError, parse_json
from fl_app.transport.memory import Buffer

#: The version of header and framing; both sides say theirs when a stream opens.
VERSION = 2
HEADER_LIMIT = 256 << 10
_TEXT_LIMIT = 256
_COUNT_LIMIT = 2**53

_RUN = re.compile(r"[A-Za-z0-9]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

#: How a run ends for a site: it is done; it was cancelled; or the aggregator stops and will come back.
OUTCOMES = ("done", "cancelled", "stopped")

#: More training samples than this no site has; a count above it would only outweigh the others.
SAMPLES_LIMIT = 10**9

#: The scalars that a site may send beside its weights.
METRICS = ("train_loss", "fit_seconds", "test_samples", "test_loss", "auroc", "auprc")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message. ``sender`` and ``receiver`` are nodes' names; ``fields`` are those of the kind, see ``KINDS``."""

    kind: str
    sender: str
    receiver: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] | None = None


Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _TEXT_LIMIT


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _COUNT_LIMIT


def _is_number_or_none(value: Any) -> bool:
    if value is None or _is_count(value):
        return True
    return isinstance(value, float) and math.isfinite(value)


def _are_metrics(value: Any) -> bool:
    return isinstance(value, dict) and all(k in METRICS and _is_number_or_none(v) for k, v in value.items())


def _is_samples(value: Any) -> bool:
    return _is_count(value) and 0 < value <= SAMPLES_LIMIT


def _is_status(value: Any) -> bool:
    return value in ("ONLINE", "FINISHED", "LEAVING")


def _is_run(value: Any) -> bool:
    """A run's name becomes part of a file's name at the site, so it is letters and digits."""
    return isinstance(value, str) and _RUN.fullmatch(value) is not None


def _is_round_or_none(value: Any) -> bool:
    return value is None or _is_count(value)


def _is_digest_or_empty(value: Any) -> bool:
    return isinstance(value, str) and (not value or _DIGEST.fullmatch(value) is not None)


def _is_outcome(value: Any) -> bool:
    return value in OUTCOMES


_TASK: Mapping[str, Check] = {
    "run": _is_run,
    "round": _is_count,
    "rounds": _is_count,
    "counted": _is_round_or_none,
    "edition": _is_run,
}
_ANSWER: Mapping[str, Check] = {"run": _is_run, "round": _is_count, "edition": _is_run, "metrics": _are_metrics}

#: Kind → its fields, all of them required, and whether it carries tensors.
KINDS: Mapping[str, tuple[Mapping[str, Check], bool]] = {
    "init": (_TASK, True),
    "sync": (_TASK, True),
    "finish": ({"run": _is_run, "outcome": _is_outcome}, False),
    "status": ({"client_status": _is_status, "data_sha256": _is_digest_or_empty}, False),
    "update": ({**_ANSWER, "num_samples": _is_samples}, True),
    "evaluation": (_ANSWER, False),
}


def check(envelope: Envelope) -> None:
    """Hold an envelope against its kind, before it leaves and after it arrives.

    Raises:
        WireError: the kind is unknown, a field is missing, unknown or of another type, tensors are missing or extra.
    """
    if envelope.kind not in KINDS:
        raise WireError(f"unknown kind of message {envelope.kind!r:.80}")
    fields, has_tensors = KINDS[envelope.kind]
    for name in fields.keys() | envelope.fields.keys():
        if name not in fields:
            raise WireError(f"{envelope.kind}: the field {name!r:.80} is not declared")
        if name not in envelope.fields:
            raise WireError(f"{envelope.kind}: the field {name!r} is missing")
        if not fields[name](envelope.fields[name]):
            raise WireError(f"{envelope.kind}: {name} is {envelope.fields[name]!r:.80}")
    if has_tensors != (envelope.tensors is not None):
        raise WireError(f"{envelope.kind}: tensors are {'missing' if has_tensors else 'not declared'}")


def encode_header(envelope: Envelope) -> bytes:
    """Return the header of a checked envelope."""
    head: dict[str, Any] = {
        "v": VERSION,
        "kind": envelope.kind,
        "from": envelope.sender,
        "to": envelope.receiver,
        "fields": dict(envelope.fields),
    }
    if envelope.tensors is not None:
        head["tensors"] = list(envelope.tensors)
    encoded = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    if len(encoded) > HEADER_LIMIT:
        raise WireError(f"the header has {len(encoded)} bytes; at most {HEADER_LIMIT} are allowed")
    return encoded


def encode_tensors(tensors: Mapping[str, Tensor] | None) -> Buffer:
    """Return the body: the tensors as safetensors, or nothing. The bytes are a copy."""
    return tensors_.encode(tensors) if tensors is not None else b""


def decode(header: bytes, body: Buffer, *, compression: Compression = "none", limit: int = 1 << 36) -> Envelope:
    """Return the message, its tensors in the sender's order.

    Args:
        header: its header.
        body: its body, as it arrived.
        compression: the federation's.
        limit: bytes that the body may have when it is unpacked.

    Raises:
        WireError: anything that is not a message of this version.
    """
    if len(header) > HEADER_LIMIT:
        raise WireError(f"the header has {len(header)} bytes; at most {HEADER_LIMIT} are allowed")
    head = parse_json(header)
    if head.get("v") != VERSION:
        raise WireError(f"wire version {head.get('v')!r:.80}; this side speaks {VERSION}")
    if set(head) - {"v", "kind", "from", "to", "fields", "tensors"}:
        raise WireError("the header has undeclared entries")
    kind, sender, receiver, fields = head.get("kind"), head.get("from"), head.get("to"), head.get("fields")
    if not (isinstance(kind, str) and _is_text(sender) and _is_text(receiver) and isinstance(fields, dict)):
        raise WireError("the header lacks kind, sender, receiver or fields")
    unpacked = unpack(body, compression, limit) if "tensors" in head else body
    tensors = _decode_tensors(head["tensors"], unpacked) if "tensors" in head else None
    if tensors is None and body:
        raise WireError("a body without tensors in the header")
    envelope = Envelope(kind, str(sender), str(receiver), fields, tensors)
    check(envelope)
    return envelope


def _decode_tensors(names: Any, body: Buffer) -> OrderedDict[str, Tensor]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WireError("the tensors' names are not a list of texts")
    return tensors_.decode(names, body)
