"""A site's own eICU tables as a data set of FedML: the blog's loader, under its name.

A site's folder holds the tables of its own stays and ``hospitals.json``, as ``python -m fl_app.eicu deal`` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fl_app.eicu.encode import Encoded
from fl_app.eicu.options import Options
from fl_app.eicu.representation import SparseBatch
from fl_app.eicu.site import load_site
from fl_app.eicu.tasks import TASKS

if TYPE_CHECKING:
    from fl_app.plugins import DatasetSpec, NineParts

Batch = tuple[SparseBatch, Tensor]


class EicuDataset(Dataset[Batch]):
    """Samples in the compact form; a sample is ``({"ids", "values"}, label)``."""

    def __init__(self, encoded: Encoded, class_counts: Tensor | None = None) -> None:
        """Hold samples; ``class_counts`` are the whole federation's, for the weights of its classes."""
        self.encoded = encoded
        self.class_counts = class_counts

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> Batch:
        """Return one sample without a batch dimension."""
        return {"ids": self.encoded.ids[index].long(), "values": self.encoded.values[index]}, self.encoded.labels[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        """Return a whole batch at once: one gather instead of a stack of samples."""
        rows = torch.tensor(indices)
        return {"ids": self.encoded.ids[rows].long(), "values": self.encoded.values[rows]}, self.encoded.labels[rows]


def load_partition_data_eicu(spec: DatasetSpec) -> NineParts:
    """Load what this node trains on and tests with.

    On the aggregator, which holds no patient's data, every part is empty. The order of training batches is drawn from
    torch's global generator, so that who seeds it before an epoch (``torch.manual_seed``) decides it.

    Args:
        spec: ``spec.options`` is read by :class:`Options`; ``spec.data_dir`` is the site's folder.

    Returns:
        FedML's nine parts: (clients, training samples, test samples, training batches, test batches, then by client
        index the number of training samples, the training batches and the test batches, and the number of classes).
        A batch is ``({"ids", "values"}, labels)``; the last part is 25 for phenotyping and 1 for a number.

    Raises:
        EicuDataError: the data or the options cannot be used; the message names the site.
    """
    options = Options.read(spec.options)
    outputs = TASKS[options.task].outputs
    if spec.data_dir is None:
        return 1, 0, 0, [], [], {0: 0}, {0: []}, {0: []}, outputs
    data = load_site(spec.data_dir, spec.site, options)
    train = batches(data.train, spec.batch_size, shuffle=True, class_counts=data.class_counts)
    test = batches(data.test, spec.batch_size, shuffle=False)
    samples = len(data.train)
    return 1, samples, len(data.test), train, test, {0: samples}, {0: train}, {0: test}, outputs


def batches(
    encoded: Encoded, batch_size: int, *, shuffle: bool, class_counts: Tensor | None = None
) -> DataLoader[Batch]:
    """Return the samples in batches."""
    return DataLoader(EicuDataset(encoded, class_counts), batch_size=batch_size, shuffle=shuffle, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch
