"""In CI a test that does not run is a failure: what cannot run there is not tested anywhere."""

from __future__ import annotations

import os

import pytest

# A child that is forked from a process that has used gRPC gets threads of gRPC's own, and a process with threads may
# make no user namespace. No test uses gRPC in such a child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None or hasattr(session.config, "workerinput"):
        return
    if reporter.stats.get("skipped") and exitstatus == pytest.ExitCode.OK:
        reporter.write_line("In CI nothing may be skipped; the tests that were are listed below.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
