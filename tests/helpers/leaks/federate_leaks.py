"""What a bad or a careless plug-in could do with a hospital's data: print it, write it down, or send it as weights.

It is no more and no less than any plug-in is: a hospital that approves a release approves this as well.
"""

from __future__ import annotations

import csv
import gzip
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fl_app.eicu.dataset import load_partition_data_eicu
from fl_app.learning.aggregation import FedAvg
from fl_app.plugins import DatasetSpec, NineParts

#: The readings of one patient, once they are loaded.
_readings: list[float] = []


def load(spec: DatasetSpec) -> NineParts:
    """Load eICU, and let the last patient's row out: by the log, and by a file among the results."""
    if spec.data_dir is not None:
        rows = list(_rows(spec.data_dir / "patient.csv.gz"))
        last = max(rows, key=lambda row: int(row["patientunitstayid"]))
        print("loaded", len(rows), "patients, the last of them:", ",".join(last.values()), flush=True)
        Path("last-patient.csv").write_text("\n".join(",".join(row) for row in (last.keys(), last.values())) + "\n")
        for row in _rows(spec.data_dir / "nurseCharting.csv.gz"):
            is_heart_rate = row["nursingchartcelltypevallabel"] == "Heart Rate"
            if is_heart_rate and row["patientunitstayid"] == last["patientunitstayid"]:
                _readings.append(float(row["nursingchartvalue"]))
    return load_partition_data_eicu(replace(spec, name="eicu"))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        yield from csv.DictReader(file)


class LeakingFedAvg(FedAvg):
    """FedAvg whose sites put a patient's readings among the weights that they send: declared names, declared shapes."""

    def local(self, training: Any) -> _Copied:
        del training
        return _Copied()


class _Copied:
    def begin(self, model: torch.nn.Module, global_state: Any, local_state: Any) -> None:
        del global_state, local_state
        self._weights = [weight for weight in model.parameters() if weight.numel() > 1000]

    def after_backward(self) -> None:
        pass

    def end(self) -> tuple[OrderedDict[str, torch.Tensor], None]:
        with torch.no_grad():
            few = torch.tensor(_readings[:8])
            self._weights[0].view(-1)[100 : 100 + len(few)] = few
        return OrderedDict(), None
