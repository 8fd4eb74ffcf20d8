"""Is a federated model as good as the pooled one, and better than a site's own? Thirty splits by hospital, seeds 0-29.

Each split deals the hospitals to two sites and holds a quarter of each site's hospitals out. Four models are trained
with the configuration of ``federation.yaml`` by the code that a real federation runs (trainer and aggregation; a test
holds that the network adds nothing): federated, pooled, and each site alone, every one for rounds times epochs. All are
evaluated on the held-out hospitals of both sites together. Differences are paired by split; the intervals are Student's
t with 29 degrees of freedom. The splits overlap, as repeated splits of one data set do, so an interval speaks of this
data set's splits and not of new hospitals.

The configuration was chosen on seeds 100-129; 0-29 were fixed beforehand and only measured.

    python benchmarks/bench_accuracy.py --source ../shared/data/eicu-demo
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from releases import HELP, release
from scipy.stats import t as student

from fl_app.compare.pool import Samples, loader, pooled
from fl_app.compare.train import CPU, train
from fl_app.config import Plugin, Training
from fl_app.eicu.deal import Share, plan
from fl_app.eicu.encode import Encoded
from fl_app.eicu.features import VARIANTS, hourly_features
from fl_app.eicu.fitted import fit
from fl_app.eicu.options import Options
from fl_app.eicu.site import encode_folder
from fl_app.eicu.source import source_of
from fl_app.eicu.survey import survey_of
from fl_app.eicu.synthetic import synthesize
from fl_app.eicu.tables import Tables
from fl_app.eicu.tasks import TASKS
from fl_app.eicu.tasks import Samples as TaskSamples
from fl_app.learning.metrics import evaluate
from infra.federation.load import load_federation

SITES = ("hospital-a", "hospital-b")
SEEDS = range(30)
MARGIN = 0.02
SYNTHETIC_STAYS = 2500


def main() -> None:
    """Run the splits and print the figures; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=release(), metavar="DIR", help=HELP)
    parser.add_argument("--federation", type=Path, default=Path("federation.yaml"), metavar="FILE")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="benchmark", help="features; default benchmark")
    parser.add_argument("--fit", action="store_true", help="ids, ranges and medians from each split's own surveys")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-accuracy-") as scratch:
        if parsed.source is None:
            parsed.source = Path(scratch) / "synthetic"
            synthesize(parsed.source, SYNTHETIC_STAYS, 0)
        measure(parsed)


def measure(parsed: argparse.Namespace) -> None:
    """Run all splits of a release and print."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    asked = load_federation(parsed.federation).training
    training = Training(**{name: getattr(asked, name) for name in Training.__dataclass_fields__})
    inputs = VARIANTS[parsed.variant].layout.inputs
    plugins = [
        Plugin(asked.model.name, asked.model.options | {"inputs": inputs}),
        Plugin(asked.aggregation.name, asked.aggregation.options),
    ]
    options = Options.read(asked.dataset.options | {"variant": parsed.variant})
    encoded = encode_folder(parsed.source, options)
    surveyed = _all_samples(parsed.source, options) if parsed.fit else None
    splits = []
    for seed in SEEDS:
        shares = plan(Tables(parsed.source), SITES, seed, assigned={}, test_share=0.25, source="")
        if surveyed:
            fitted = fit([survey_of(surveyed, one.hospitals.train, one.site, options) for one in shares])
            encoded = encode_folder(parsed.source, options, fitted)
        splits.append(_split(shares, encoded, replace(training, seed=seed), plugins, seed))
        print(
            f"seed {seed}: " + "  ".join(f"{name} {value:.4f}" for name, value in splits[-1].items()), file=sys.stderr
        )
    federated = [split["federated"] for split in splits]
    gaps = {
        name: _interval([ours - split[name] for ours, split in zip(federated, splits, strict=True)])
        for name in ("pooled", *SITES)
    }
    print(
        json.dumps(
            {
                "benchmark": "accuracy",
                "variant": parsed.variant,
                "fit": parsed.fit,
                "source": source_of(parsed.source),
                "stays": len(encoded),
                "deaths": int(encoded.labels.sum()),
                "splits": len(splits),
                "training": asdict(training) | {"seed": "the split's"},
                "auroc": {name: round(statistics.mean(split[name] for split in splits), 4) for name in splits[0]},
                "federated_minus_pooled": gaps["pooled"]
                | {"inside_margin": gaps["pooled"]["low"] > -MARGIN and gaps["pooled"]["high"] < MARGIN},
                "federated_minus_local": {site: gaps[site] for site in SITES},
                "seconds": round(time.perf_counter() - began, 1),
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


def _all_samples(source: Path, options: Options) -> TaskSamples:
    features = hourly_features(Tables(source), options.variant)
    return TASKS[options.task].samples(features.rows, features.cohort.stays, Tables(source))


def _split(
    shares: list[Share], encoded: Encoded, training: Training, plugins: list[Plugin], seed: int
) -> dict[str, float]:
    """Return each model's AUROC on the held-out hospitals of all sites."""
    ours = {share.site: _samples(encoded.of_hospitals(list(share.hospitals.train))) for share in shares}
    held_out = pooled([_samples(encoded.of_hospitals(list(share.hospitals.test))) for share in shares])
    contenders = {"federated": ours, "pooled": {"pooled": pooled(list(ours.values()))}}
    contenders |= {site: {site: samples} for site, samples in ours.items()}
    areas = {}
    for name, sites in contenders.items():
        model = train(sites, model=plugins[0], aggregation=plugins[1], training=training, classes=2)
        area = evaluate(model, loader(held_out, 512), class_weights=None, device=CPU).auroc
        if area is None:
            raise SystemExit(f"seed {seed}: the held-out stays have one outcome only; this source is too small.")
        areas[name] = area
    return areas


def _samples(encoded: Encoded) -> Samples:
    return Samples(dict(encoded.features()), encoded.labels)  # type: ignore[arg-type]


def _interval(differences: list[float]) -> dict[str, float]:
    """Return mean and 95 % interval of paired differences."""
    mean = statistics.mean(differences)
    degrees = len(differences) - 1
    half = float(student.ppf(0.975, degrees)) * statistics.stdev(differences) / math.sqrt(len(differences))
    return {"mean": round(mean, 4), "low": round(mean - half, 4), "high": round(mean + half, 4)}


if __name__ == "__main__":
    main()
