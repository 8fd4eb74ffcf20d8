"""Puts a node together from its run files: the aggregator with its global model, or a site with its data."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch.nn import Module

from fl_app import engine
from fl_app.config import RunConfig, read_config
from fl_app.errors import ConfigError, PluginError, Stopped, TrainingError
from fl_app.learning.aggregator import GlobalModel, RosterAggregator
from fl_app.learning.device import choose_device, make_reproducible
from fl_app.learning.trainer import SiteTrainer
from fl_app.plugins import DatasetSpec, ModelSpec, call_plugin
from fl_app.rounds.checkpoint import Checkpoints
from fl_app.rounds.client import ClientRounds
from fl_app.rounds.course import Course
from fl_app.rounds.files import make_folder
from fl_app.rounds.local_state import LocalState
from fl_app.rounds.manifest import data_digest
from fl_app.rounds.members import Members, RosterFile
from fl_app.rounds.ranks import Ranks
from fl_app.rounds.results import Results
from fl_app.rounds.server import ServerRounds
from fl_app.signals import Checks, StopSignal
from fl_app.tracking import open_tracker
from fl_app.transport.audit import AuditLog
from fl_app.transport.events import Local
from fl_app.transport.guard import EgressGuard
from fl_app.transport.hub_manager import HubManager
from fl_app.transport.identity import load_credentials
from fl_app.transport.queue_manager import LOCAL_CANCEL, LOCAL_STOP
from fl_app.transport.site_manager import SiteManager

from fedml.cross_silo.client.fedml_trainer_dist_adapter import TrainerDistAdapter  # isort: skip

_log = logging.getLogger(__name__)
#: Seconds from one write of a site's progress to the next: nobody reads faster.
PROGRESS_PAUSE = 0.25

_OWN = 0
_PARTS = 9


def run_server(config_folder: Path, state: Path, output: Path, stop: StopSignal, *, start: str = "") -> None:
    """Run the aggregator until the last round is done.

    What is done is not begun again by a start of the same name; another start, or one without a name, is a new run.

    Args:
        config_folder: its run files.
        state: its identity, and the checkpoints.
        output: where the results go.
        stop: set by a signal.
        start: what the operator calls this start.

    Raises:
        FlAppError: what keeps it from running, or :class:`Stopped`.
    """
    roster_file = RosterFile(config_folder)  # before it is read: what changes from now on is seen
    config = _config(config_folder, "aggregator")
    credentials = load_credentials(state / "tls", federation=config.federation, role=config.role, node=config.node)
    make_reproducible(config.training.seed)
    device = choose_device(())
    classes = _load_data(config, None)[-1]
    args = engine.arguments(dict(config.fedml), rank=0, device=device)
    aggregation = call_plugin("federate.aggregations", config.aggregation.name, config.aggregation.options)
    model = GlobalModel(_make_model(config, classes), args, aggregation=aggregation)
    aggregator = RosterAggregator(config.roster, device, args, model, folder=make_folder(state))
    checkpoints = Checkpoints(state / "checkpoints", keep=config.policy.checkpoints_kept)
    fingerprint = _fingerprint(config)
    found = checkpoints.load(fingerprint, start=start)
    if found and found.progress.told:
        if start and start == found.progress.start:
            _log.info("the run is done, and its results are written")
            return
        checkpoints.clear()
        found = None
    if found:
        aggregator.set_global_model_params(found.state)
        aggregator.restore(found.kept)
    ranks = Ranks(state)
    before = {*found.progress.members, *found.progress.expelled} if found else None
    members = Members(config.roster, ranks, roster_file, before=before)
    results = Results(output, new_run=found is None)
    audit = AuditLog(state, credentials)
    wire = HubManager(config, credentials, audit=audit, declared=aggregator.template, ranks=ranks)
    try:
        stop.tell(
            wire.post, in_order=lambda: wire.post(Local(LOCAL_STOP)), cancel=lambda: wire.post(Local(LOCAL_CANCEL))
        )
        course = Course(
            config,
            aggregator,
            members=members,
            wire=wire,
            checkpoints=checkpoints,
            fingerprint=fingerprint,
            results=results,
            tracker=open_tracker(config, output),
            found=found,
            start=start,
        )
        ServerRounds(args, aggregator, ranks=ranks, wire=wire, course=course).run()
    finally:
        wire.close()


def run_client(config_folder: Path, data: Path, state: Path, output: Path, stop: StopSignal) -> None:
    """Run a site until the aggregator says that the run is over.

    Args:
        config_folder: its run files.
        data: its own data.
        state: its identity.
        output: where its own records go.
        stop: set by a signal.

    Raises:
        FlAppError: what keeps it from running, or :class:`Stopped`.
    """
    config = _config(config_folder, "client")
    credentials = load_credentials(state / "tls", federation=config.federation, role=config.role, node=config.node)
    make_reproducible(config.training.seed)
    device = choose_device(config.gpu_processes)
    parts = _load_data(config, data)
    samples, train, test, classes = parts[5], parts[6], parts[7], parts[8]
    if not samples.get(_OWN):
        raise TrainingError(f"{config.node} has no training samples in {data}.", remedy="Put its data there.")
    _log.info("%s has %d training and %d held-out samples", config.node, samples[_OWN], parts[2])
    model = _make_model(config, classes)
    args = engine.arguments(dict(config.fedml), rank=1, device=device)
    checks = Checks(stop.check)
    trainer = SiteTrainer(
        model,
        args,
        site=config.node,
        training=config.training,
        train_data=train[_OWN],
        classes=classes,
        check=checks,
        aggregation=call_plugin("federate.aggregations", config.aggregation.name, config.aggregation.options),
    )
    adapter = TrainerDistAdapter(args, device, 1, model, parts[1], samples, train, test, trainer)
    results = Results(output, progress_pause=PROGRESS_PAUSE)
    digest = data_digest(data)
    guard = EgressGuard(trainer.declared, node=config.node, samples=samples[_OWN], data_sha256=digest)
    wire = SiteManager(config, credentials, audit=AuditLog(state, credentials), guard=guard, state=state)
    try:
        stop.tell(wire.post)
        rounds = ClientRounds(
            args,
            adapter,
            trainer,
            config=config,
            wire=wire,
            results=results,
            local_state=LocalState(state / "local"),
            data_sha256=digest,
        )
        checks.add(rounds.check)
        try:
            rounds.run()
        except Stopped:
            rounds.leave()
            raise
    finally:
        wire.close()


def _config(folder: Path, role: str) -> RunConfig:
    config = read_config(folder)
    if config.role != role:
        raise ConfigError(
            f"{folder} holds the run files of {config.node}, a node of role {config.role}; {role} is to be run.",
            remedy=f"Run `python -m fl_app {'client' if config.role == 'client' else 'server'}` with it.",
        )
    return config


def _load_data(config: RunConfig, folder: Path | None) -> Any:
    spec = DatasetSpec(
        name=config.dataset.name,
        options=config.dataset.options,
        data_dir=folder,
        site=config.node,
        role=config.role,
        batch_size=config.training.batch_size,
        seed=config.training.seed,
    )
    parts = call_plugin("federate.datasets", spec.name, spec)
    if not isinstance(parts, tuple | list) or len(parts) != _PARTS:
        raise PluginError(
            f"The dataset {spec.name!r} returned {type(parts).__name__}; FedML's nine parts are expected."
        )
    return parts


def _make_model(config: RunConfig, classes: int) -> Module:
    made = call_plugin("federate.models", config.model.name, ModelSpec(config.model.options, classes))
    if not isinstance(made, Module):
        raise PluginError(f"The model {config.model.name!r} is {type(made).__name__}; a torch.nn.Module is expected.")
    return made


def _fingerprint(config: RunConfig) -> str:
    """Return the digest of what the model depends on; more rounds or another roster go on with the same run.

    So do other rules for when a round closes, or for when training ends early.
    """
    how_long = ("rounds", "early_stopping")
    training = {key: value for key, value in asdict(config.training).items() if key not in how_long}
    chosen = {key: asdict(getattr(config, key)) for key in ("dataset", "model", "aggregation")}
    told = json.dumps({"federation": config.federation, "training": training, **chosen}, sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()
