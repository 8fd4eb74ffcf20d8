"""``python -m fl_app.compare``: the federated model against local-only and pooled ones, on every site's held-out data.

This is the operator's study on data that one place may hold together, such as the demo. A real federation's pooled
model does not exist.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fl_app.compare.pool import Samples, gather, pooled
from fl_app.compare.table import FEDERATED, POOLED, as_csv, as_json, as_text, local_name, rows_of
from fl_app.compare.train import make_model, train, weights_of_classes
from fl_app.config import RunConfig, read_config
from fl_app.errors import ConfigError, FlAppError
from fl_app.learning.scores import THRESHOLD
from fl_app.plugins import DatasetSpec, call_plugin

EVALUATION_BATCH = 512


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison.

    Returns:
        0, or an error's exit code; then the reason is on standard error.
    """
    parsed = _parser().parse_args(arguments)
    torch.set_num_threads(1)  # batches are small: a second thread costs more than it brings
    try:
        compare(parsed.data, parsed.config, parsed.model, parsed.output, threshold=parsed.threshold)
    except FlAppError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def compare(data: Path, config_dir: Path, model_file: Path, output: Path, *, threshold: float = THRESHOLD) -> None:
    """Train the local-only and pooled models, evaluate all, and write ``comparison.json`` and ``comparison.csv``.

    Args:
        data: one folder per site, named as in the roster.
        config_dir: the aggregator's run files.
        model_file: the federated model's weights, safetensors.
        output: where to; made if need be.
        threshold: from which likelihood on a sample counts as positive.

    Raises:
        FlAppError: a file is missing, or does not fit the configuration.
    """
    config = read_config(config_dir)
    if not config.roster:
        raise ConfigError(
            f"{config_dir}: these are a site's run files; they name no roster.",
            remedy="Give the aggregator's run files.",
        )
    training, held_out, classes, sources = _sites(config, data)
    models: dict[str, nn.Module] = {FEDERATED: _federated(config, model_file, classes)}
    plugins: dict[str, Any] = {"model": config.model, "aggregation": config.aggregation, "training": config.training}
    for site, samples in training.items():
        models[local_name(site)] = train({site: samples}, **plugins, classes=classes)
    everybody = pooled(list(training.values()))
    models[POOLED] = train({POOLED: everybody}, **plugins, classes=classes)
    weights = weights_of_classes(everybody, config.training, classes)
    rows = rows_of(
        models, held_out, classes=classes, class_weights=weights, batch_size=EVALUATION_BATCH, threshold=threshold
    )
    about = {
        "federation": config.federation,
        "sources": sources,
        "seed": config.training.seed,
        "rounds": config.training.rounds,
        "epochs_per_round": config.training.epochs,
        "training_samples": {site: len(samples) for site, samples in training.items()},
        "held_out_samples": {site: len(samples) for site, samples in held_out.items()},
    }
    try:
        output.mkdir(parents=True, exist_ok=True)
        _write(output / "comparison.json", as_json(rows, about))
        _write(output / "comparison.csv", as_csv(rows))
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error}.", remedy="Give another --output.") from error
    print(as_text(rows))


def _sites(config: RunConfig, data: Path) -> tuple[dict[str, Samples], dict[str, Samples], int, dict[str, str]]:
    """Return training samples and held-out samples by site, the number of classes, and what each site's data is."""
    training, held_out, sources = {}, {}, {}
    classes = 0
    for site in config.roster:
        spec = DatasetSpec(
            name=config.dataset.name,
            options=config.dataset.options,
            data_dir=data / site,
            site=site,
            role="client",
            batch_size=config.training.batch_size,
            seed=config.training.seed,
        )
        parts = call_plugin("federate.datasets", config.dataset.name, spec)
        training[site], held_out[site], classes = gather(parts[3]), gather(parts[4]), parts[8]
        sources[site] = _source(data / site)
    return training, held_out, classes, sources


def _source(folder: Path) -> str:
    """Return what a site's folder says its data is, if it does."""
    try:
        return str(json.loads((folder / "hospitals.json").read_text("utf-8"))["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return "not stated"


def _federated(config: RunConfig, file: Path, classes: int) -> nn.Module:
    model = make_model(config.model, classes, config.training.seed)
    try:
        model.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ConfigError(
            f"{file}: is no model for {config.model.name}: {error}.",
            remedy="Give the model.safetensors that this federation's aggregator wrote.",
        ) from error
    return model


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fl_app.compare",
        description=__doc__,
        epilog="Example: python -m fl_app.compare --data sites --config run/aggregator --model model.safetensors "
        "--output results",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds one folder per site")
    parser.add_argument("--config", type=Path, required=True, metavar="DIR", help="the aggregator's run files")
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="the federated model.safetensors")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="gets comparison.json and .csv")
    parser.add_argument(
        "--threshold",
        type=_likelihood,
        default=THRESHOLD,
        metavar="X",
        help=f"likelihood from which on a sample counts as positive (default {THRESHOLD})",
    )
    return parser


def _likelihood(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no likelihood from 0 to 1, such as 0.5")
    return found


if __name__ == "__main__":
    sys.exit(main())
