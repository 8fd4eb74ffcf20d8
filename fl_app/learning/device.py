"""Which processor a node computes on, and how reproducibly."""

from __future__ import annotations

import logging
import os

import torch

from fl_app.errors import ConfigError

_log = logging.getLogger(__name__)

THREADS = "FEDERATE_THREADS"


def choose_device(gpu_processes: tuple[int, ...]) -> torch.device:
    """Return the first GPU that ``gpu_mapping.yaml`` gives a process, or the CPU with a line that says why."""
    gpu = next((index for index, processes in enumerate(gpu_processes) if processes), None)
    if gpu is None:
        _log.info("computing on the CPU: gpu_mapping.yaml gives this node no GPU")
        return torch.device("cpu")
    if not torch.cuda.is_available():
        _log.info("computing on the CPU: this machine has no CUDA device")
        return torch.device("cpu")
    if gpu >= torch.cuda.device_count():
        raise ConfigError(
            f"gpu_mapping.yaml gives this node GPU {gpu}; the machine has {torch.cuda.device_count()}.",
            remedy="Set the participant's gpu_mapping to its hardware.",
        )
    _log.info("computing on GPU %d, %s", gpu, torch.cuda.get_device_name(gpu))
    return torch.device("cuda", gpu)


def make_reproducible(seed: int) -> None:
    """Ask torch for the same bits every time, on as many threads as ``FEDERATE_THREADS`` says.

    Raises:
        ConfigError: the variable is not a whole number above 0.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.manual_seed(seed)
    threads = os.environ.get(THREADS)
    if threads is None:
        return
    if not threads.isdecimal() or int(threads) < 1:
        raise ConfigError(f"{THREADS} is {threads!r}; a whole number above 0 is expected.")
    torch.set_num_threads(int(threads))
