"""FedML as the engine sends nothing, starts nothing, and takes over nothing: looked at in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fl_app import engine
from fl_app.errors import ConfigError

WATCHED = """
import json, logging, sys
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event in {events} else None)
before = (sys.stdout.write, list(logging.getLogger().handlers), logging.getLogger().level)
{code}
after = (sys.stdout.write, list(logging.getLogger().handlers), logging.getLogger().level)
version = getattr(sys.modules.get("fedml"), "__version__", None)
modules = [name for name in ("docker", "redis", "paho", "fastapi", "sqlalchemy") if name in sys.modules]
json.dump({{"seen": seen, "same": before == after, "modules": modules, "version": version}}, sys.stdout)
"""
EVENTS = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.posix_spawn")


def watch(code: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(events=EVENTS, code=code)], capture_output=True, text=True, check=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_importing_all_that_a_node_needs_sends_starts_and_takes_over_nothing() -> None:
    found = watch("import fl_app.nodes")
    assert found == {"seen": [], "same": True, "modules": [], "version": "0.9.6"}


def test_the_watch_would_see_a_connection_a_process_and_a_look_up() -> None:
    found = watch("import socket, subprocess; socket.socket().connect_ex(('127.0.0.1', 9)); subprocess.run('true')")
    assert found["seen"] == ["socket.connect", "subprocess.Popen"]


def test_the_managers_and_trainers_are_fedml_s_own_files() -> None:
    from fedml.core.alg_frame.client_trainer import ClientTrainer
    from fedml.cross_silo.server.fedml_server_manager import FedMLServerManager

    from fl_app.learning.trainer import SiteTrainer
    from fl_app.rounds.server import ServerRounds

    assert issubclass(ServerRounds, FedMLServerManager)
    assert issubclass(SiteTrainer, ClientTrainer)


@pytest.mark.parametrize("switch", sorted(engine.REFUSED_SWITCHES))
def test_switches_that_do_nothing_or_harm_are_refused_with_the_reason(switch: str) -> None:
    with pytest.raises(ConfigError, match=f"{switch} is on, and is refused"):
        engine.arguments({switch: True}, rank=0, device="cpu")
    assert engine.arguments({switch: False}, rank=0, device="cpu").rank == 0


def test_another_federated_optimizer_is_refused() -> None:
    with pytest.raises(ConfigError, match="FedOpt"):
        engine.arguments({"federated_optimizer": "FedOpt"}, rank=0, device="cpu")
