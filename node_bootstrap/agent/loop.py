"""What the agent does at each look at its parameters: enrol, then bring the application to what is desired."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from node_bootstrap import contract
from node_bootstrap.agent.application import Application, Folders, progress_of
from node_bootstrap.agent.application_log import ApplicationLog
from node_bootstrap.agent.facts import Facts
from node_bootstrap.agent.identity import Identity, IdentityError
from node_bootstrap.agent.inputs import Inputs, InputsError, fetch, refresh
from node_bootstrap.agent.notices import Notice
from node_bootstrap.contract import Desired, NodeState, Unreadable

_log = logging.getLogger(__name__)

#: Exit codes of the application that another try would only repeat: configuration or data, identity.
_FINAL_CODES = (2, 3)
#: The run was ended for good by the coordinator, who told the aggregator, which told the sites.
_CANCELLED_CODE = 5
#: How often an aggregator looks for other run files while it runs: sites may join and be taken out.
_REFRESH_SECONDS = 5.0
_MOST_RESTARTS = 5
_LONGEST_PAUSE_SECONDS = 30.0
#: A parameter holds 4 KB; what is published must fit, however many sites are waited for.
_REASON_CHARACTERS = 600
_PROBLEM_CHARACTERS = 200
_MOST_NAMES = 20


class Owner(Protocol):
    """The node's account, as :class:`node_bootstrap.agent.account.Account` reaches it."""

    def parameters(self) -> dict[str, str]: ...  # noqa: D102 - see Account
    def publish(self, name: str, value: str) -> None: ...  # noqa: D102
    def read(self, key: str) -> bytes | None: ...  # noqa: D102
    def download(self, key: str, path: Path) -> bool: ...  # noqa: D102
    def items(self, prefix: str) -> Any: ...  # noqa: D102
    def upload(self, path: Path, key: str) -> None: ...  # noqa: D102


@dataclass(slots=True)
class _Run:
    """One start of the node: what it was given, and how its application goes."""

    name: str
    inputs: Inputs
    application: Application | None
    restarts: int = 0
    round: int = -1
    try_again_at: float = 0.0
    refresh_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Ended:
    """How the last run ended; it outlives the node, so that a reboot does not begin again what is over for good.

    ``is_brought``: its results are in the bucket.
    """

    run: str
    state: str
    reason: str
    for_good: bool = True
    is_brought: bool = True


class Loop:
    """The agent's work, a step at a time; nothing is remembered but what a step needs of the one before.

    Args:
        facts: who the node is.
        owner: its account.
        root: folder on the root volume: code, run files, data.
        state: folder on the state volume: identity, checkpoints, output, how the last run ended.
        clock: seconds, monotonic.
        notice: what is about to be done to the instance, as it is known now.
    """

    def __init__(
        self,
        facts: Facts,
        owner: Owner,
        root: Path,
        state: Path,
        clock: Callable[[], float] = time.monotonic,
        notice: Callable[[], Notice | None] = lambda: None,
    ) -> None:
        self._facts, self._owner, self._root, self._state, self._clock = facts, owner, root, state, clock
        self._notice = notice
        self._identity = Identity(state / "tls", facts)
        #: What the application says.
        self.application_log = ApplicationLog(root / "application.log")
        self._run: _Run | None = None
        self._problem = ""  # with the certificate that was given last
        self._published: dict[str, Any] | None = None

    @property
    def standing(self) -> Mapping[str, Any]:
        """What the node last said of itself, as it is published; empty before it has said anything."""
        return self._published or {}

    def step(self) -> None:
        """Look at the parameters once and act.

        Raises:
            AccountError: the account does not answer; the next step finds everything as it is.
        """
        notice = self._notice()
        is_leaving = notice is not None and notice.is_due
        if notice is not None and is_leaving:
            self._leave(notice)  # before anything is asked of the account, which may be slow to answer
        told = self._owner.parameters()
        if self._run is None:
            self._bring_results()
        try:
            desired = Desired.read(told.get(contract.DESIRED))
        except Unreadable as error:
            if self._run is None:
                self._say(NodeState.FAILED, str(error))
            else:  # nobody asked for its end
                self._watch(self._run, remark=str(error))
            return
        if desired.state == "cancelled" and not self._needs_no_cancelling(desired.run):
            self._cancel(desired.run)
        elif self._run is not None and (desired.state, desired.run) != ("started", self._run.name):
            self._end(NodeState.STOPPED, "stopped as asked", for_good=False)
        if not self._is_enrolled(told):
            return
        if self._run is not None:
            self._watch(self._run, remark=notice.text if notice else "")
        elif desired.state == "started" and not self._is_over(desired.run):
            if notice is not None and is_leaving:
                self._say(NodeState.STOPPED, _interrupted(notice), self._progress())
                return
            self._begin(desired.run, told.get(contract.APPROVED_RELEASE))
        else:
            self._rest(desired)

    def close(self) -> None:
        """End the application in order; nothing is published any more: that a node is gone, its account says itself."""
        if self._run is not None and self._run.application is not None:
            self._run.application.stop()

    def _is_enrolled(self, told: Mapping[str, str]) -> bool:
        """Install the certificate if it is there; otherwise publish the request for it."""
        self._problem = ""
        try:
            request = self._identity.request(told.get(contract.ROTATE, ""))
            if told.get(contract.REQUEST) != request:
                self._owner.publish(contract.REQUEST, request)
            certificate, authority = told.get(contract.CERTIFICATE), told.get(contract.AUTHORITY)
            if certificate and authority:
                self._identity.install(certificate, authority, contract.read_revoked(told))
                return True
        except (IdentityError, Unreadable) as error:
            self._problem = str(error)
        if self._run is None:
            why = f": {self._problem}" if self._problem else ""
            self._say(NodeState.BOOTING, f"waits for its certificate{why}")
        return self._run is not None  # a run goes on with what it has

    def _begin(self, run: str, approved: str | None) -> None:
        def say(doing: str) -> None:
            self._say(NodeState.BOOTING, doing)

        if self._ended().state == NodeState.FINISHED:  # what is left is in the bucket, and of another run
            shutil.rmtree(self._output, ignore_errors=True)
            # Or an agent that is started again in the middle of this run would delete what it has written.
            self._keep(_Ended("", NodeState.READY, "", for_good=False))
        try:
            inputs = fetch(self._owner, self._root, approved=approved, with_data=self._facts.role == "client", say=say)
        except InputsError as error:
            self._keep(_Ended(run, NodeState.FAILED, str(error)))
            self._rest(Desired("started", run))
            return
        except OSError as error:  # a full disk, say: the next step tries again, and meanwhile the operator knows
            self._say(NodeState.BOOTING, f"what it is given cannot be written here: {error}")
            raise
        _log.info("starts %s with release %s", run, inputs.release[:12])
        self._run = _Run(run, inputs, self._application(run, inputs), refresh_at=self._clock() + _REFRESH_SECONDS)
        self._say(NodeState.WAITING, "the application starts")

    def _application(self, run: str, inputs: Inputs) -> Application:
        folders = Folders(inputs.config, inputs.data, self._state, self._output)
        return Application(self._facts.role, inputs.code, folders, self.application_log, start=run)

    def _watch(self, run: _Run, remark: str = "") -> None:
        if run.application is None:
            if self._clock() >= run.try_again_at:
                run.application = self._application(run.name, run.inputs)
            return
        self._refresh(run)
        code = run.application.exit_code()
        progress = run.application.progress()
        round_ = progress.get("round")
        if isinstance(round_, int) and round_ > run.round:
            run.round, run.restarts = round_, 0
        if code is None:
            # Between two rounds a site waits for the next one: that is part of running.
            is_waiting = progress.get("phase") in (None, "waiting") and not progress.get("round")
            state = NodeState.WAITING if is_waiting else NodeState.RUNNING
            self._say(state, remark or ("" if progress else "the application starts"), progress)
        elif code == 0:
            self._end(NodeState.FINISHED, "", for_good=True)
        elif code == _CANCELLED_CODE:
            self._end(NodeState.STOPPED, contract.CANCELLED, for_good=True)
        else:
            self._failed(run, code, run.application.last_words())

    def _refresh(self, run: _Run) -> None:
        """Give the aggregator's application other run files if there are any by now."""
        if self._facts.role != "aggregator" or self._clock() < run.refresh_at:
            return
        run.refresh_at = self._clock() + _REFRESH_SECONDS
        try:
            found = refresh(self._owner, run.inputs)
        except (InputsError, OSError) as error:
            _log.warning("other run files cannot be taken over: %s", error)
            return
        if found is not run.inputs:
            _log.info("the run files have changed; the application looks at them")
            run.inputs = found

    def _cancel(self, name: str) -> None:
        """End a run for good, whether it runs now or was stopped before, and forget where it stood."""
        if self._run is not None and self._run.application is not None:
            self._run.application.cancel()
            if self._run.name == name and self._run.application.exit_code() == 0:  # it was done before it heard
                self._end(NodeState.FINISHED, "", for_good=True)
                return
        shutil.rmtree(self._state / "checkpoints", ignore_errors=True)
        if self._run is None or self._run.name != name:
            self._keep(_Ended(name, NodeState.STOPPED, contract.CANCELLED))
        if self._run is not None:
            self._end(NodeState.STOPPED, contract.CANCELLED, for_good=True)

    def _leave(self, notice: Notice) -> None:
        """Stop in order before the instance goes; the node's next instance goes on with the run from there."""
        run = self._run
        if run is None:
            return
        reason = _interrupted(notice)
        if run.application is not None:
            code = run.application.exit_code()
            if code is not None and (code == 0 or code in (*_FINAL_CODES, _CANCELLED_CODE)):
                return  # it has just ended by itself, which is for the rest of the step to tell
            run.application.stop()
        self._keep(_Ended(run.name, NodeState.STOPPED, reason, for_good=False, is_brought=False))
        self._run = None
        self._say(NodeState.STOPPED, reason, self._progress())

    def _failed(self, run: _Run, code: int, words: str) -> None:
        """Start the application again after a while, unless that would only repeat what happened."""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if code in _FINAL_CODES or run.restarts >= _MOST_RESTARTS:
            self._end(NodeState.FAILED, words, for_good=True)
            return
        pause = min(2.0**run.restarts, _LONGEST_PAUSE_SECONDS)
        run.application, run.restarts, run.try_again_at = None, run.restarts + 1, self._clock() + pause
        _log.warning("the application ended with %s (%s); it is started again in %g s", how, words, pause)
        self._say(NodeState.WAITING, f"ended with {how}; starts again", self._progress())

    def _end(self, state: NodeState, reason: str, *, for_good: bool) -> None:
        """End the run, bring its results to the bucket, and say how it ended."""
        run = self._run
        if run is None:
            return
        if run.application is not None:
            run.application.stop()
        # How it ended comes first: or an agent that is killed while it uploads would run all of it again.
        self._keep(_Ended(run.name, state, reason, for_good, is_brought=False))
        self._run = None
        self._bring_results()
        self._say(state, reason, self._progress())

    def _bring_results(self) -> None:
        """Bring what the last run left to the bucket, unless it is there."""
        ended = self._ended()
        if ended.is_brought:
            return
        for path in sorted(self._output.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                name = path.relative_to(self._output).as_posix()
                self._owner.upload(path, f"{contract.RESULTS_PREFIX}{ended.run}/{name}")
        self._keep(replace(ended, is_brought=True))

    def _rest(self, desired: Desired) -> None:
        """Say what the node is while nothing runs."""
        ended = self._ended()
        if self._is_over(desired.run):
            self._say(NodeState(ended.state), ended.reason, self._progress())
        elif desired.run:
            self._say(NodeState.STOPPED, "stopped as asked", self._progress())
        else:
            self._say(NodeState.READY, "")

    def _say(self, state: NodeState, reason: str, progress: Mapping[str, Any] | None = None) -> None:
        """Publish the node's state if it has changed."""
        run = self._run.name if self._run else self._ended().run
        now = {
            "state": state.value,
            "reason": _shortened(reason),
            "run": run,
            "progress": {name: _few(value) for name, value in (progress or {}).items()},
            "identity": self._held(),
        }
        if now == self._published:
            return
        if self._published is None or any(now[name] != self._published[name] for name in ("state", "reason")):
            _log.info("%s%s", state, f": {reason}" if reason else "")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._owner.publish(contract.STATE, json.dumps({**now, "at": at}, ensure_ascii=False))
        self._published = now

    def _held(self) -> dict[str, Any] | None:
        held = self._identity.held()
        return replace(held, problem=self._problem[:_PROBLEM_CHARACTERS]).document() if held else None

    def _progress(self) -> dict[str, Any]:
        return progress_of(self._output)

    @property
    def _output(self) -> Path:
        return self._state / "output"

    @property
    def _ended_file(self) -> Path:
        return self._state / "ended.json"

    def _ended(self) -> _Ended:
        try:
            found = json.loads(self._ended_file.read_text("utf-8"))
            state = NodeState(found["state"]).value
            is_for_good, is_brought = (found[name] is True for name in ("for_good", "is_brought"))
            return _Ended(str(found["run"]), state, str(found["reason"]), is_for_good, is_brought)
        except (OSError, ValueError, KeyError, TypeError):
            return _Ended("", NodeState.READY, "", for_good=False)

    def _is_over(self, run: str) -> bool:
        ended = self._ended()
        return bool(run) and ended.for_good and ended.run == run

    def _needs_no_cancelling(self, run: str) -> bool:
        ended = self._ended()
        return self._is_over(run) and (ended.state == NodeState.FINISHED or ended.reason == contract.CANCELLED)

    def _keep(self, ended: _Ended) -> None:
        part = self._ended_file.with_name(".ended.json.part")
        part.write_text(json.dumps(asdict(ended)), "utf-8")
        part.replace(self._ended_file)


def _interrupted(notice: Notice) -> str:
    return f"interrupted: {notice.text}"


def _shortened(reason: str) -> str:
    return reason if len(reason) <= _REASON_CHARACTERS else f"{reason[:_REASON_CHARACTERS]}…"


def _few(value: Any) -> Any:
    """Return a value of the progress, a list of names cut short."""
    if not isinstance(value, list) or len(value) <= _MOST_NAMES:
        return value
    return [*value[:_MOST_NAMES], f"{len(value) - _MOST_NAMES} more"]
