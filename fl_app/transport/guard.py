"""What may leave a site: the declared tensors and scalars in answer to a task, and nothing beside them.

The wire's own check holds a message against its kind; the guard holds it against this site's model and the task at
hand, so that neither a plug-in nor an error of ours can send rows, labels, another model or words of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fl_app.errors import WithheldError
from fl_app.learning.state import difference
from fl_app.transport.json_text import WireError
from fl_app.transport.wire import METRICS, Envelope, check

#: The kinds that a site sends.
KINDS_OUT = frozenset({"update", "evaluation", "status"})


class EgressGuard:
    """Knows what a site has declared: its model's tensors, the metrics of :data:`METRICS`, and the current task."""

    def __init__(
        self, declared: Mapping[str, Tensor], *, node: str, samples: int | None = None, data_sha256: str = ""
    ) -> None:
        """Declare the model.

        Args:
            declared: the model's tensors; only names, shapes and types are kept.
            node: the site, the only sender.
            samples: the site's training samples; an update that claims another number does not leave. None: any.
            data_sha256: the digest of the site's data that it may tell.
        """
        self._declared = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") for name, tensor in declared.items()
        }
        self._node, self._samples, self._data_sha256 = node, samples, data_sha256
        self._task: tuple[str, int] | None = None

    def task(self, run: str, round_: int) -> None:
        """Note the task that the aggregator gave: only an answer to it may leave."""
        self._task = (run, round_)

    def check(self, envelope: Envelope) -> None:
        """Let a message pass, or not.

        Raises:
            WithheldError: it holds anything that is not declared; the error says what.
        """
        wrong = self._objection(envelope)
        if wrong:
            raise WithheldError(
                f"This site sends nothing of it: {envelope.kind}: {wrong}.",
                remedy=f"Declared are the tensors of the model and the metrics {', '.join(METRICS)}; see docs/wire.md.",
            )

    def _objection(self, envelope: Envelope) -> str | None:
        if envelope.kind not in KINDS_OUT:
            return f"a site does not send {envelope.kind!r:.80}"
        if envelope.sender != self._node:
            return f"it says that it is from {envelope.sender!r:.80}"
        try:
            check(envelope)
        except WireError as error:
            return str(error).removeprefix(f"{envelope.kind}: ")
        if envelope.kind == "status":
            is_own = envelope.fields["data_sha256"] in ("", self._data_sha256)
            return None if is_own else "data_sha256 is not the digest of this site's data"
        if (envelope.fields["run"], envelope.fields["round"]) != self._task:
            return "it answers no task that the aggregator gave"
        if envelope.tensors is None:
            return None
        if self._samples is not None and envelope.fields["num_samples"] != self._samples:
            return f"num_samples is {envelope.fields['num_samples']}; the site has {self._samples}"
        for name, tensor in envelope.tensors.items():
            if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided or tensor.is_quantized:
                return f"{name!r:.80} is not a plain tensor"
        return difference(envelope.tensors, self._declared)
