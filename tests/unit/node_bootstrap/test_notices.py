"""What the metadata service says of an instance's near end, read as AWS writes it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from node_bootstrap.agent.notices import MetadataService, Notice, Notices, look, of_this_instance

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
# As the EC2 User Guide shows them.
SPOT = {"spot/instance-action": '{"action": "terminate", "time": "2026-11-26T09:02:00Z"}'}
REBALANCE = {"events/recommendations/rebalance": '{"noticeTime": "2026-11-26T08:22:00Z"}'}


def scheduled(not_before: str, code: str = "system-reboot", state: str = "active") -> dict[str, str]:
    event = {
        "NotBefore": not_before,
        "Code": code,
        "Description": "scheduled reboot",
        "EventId": "instance-event-0d59937288b749b32",
        "NotAfter": "26 Nov 2026 10:17:23 GMT",
        "State": state,
    }
    return {"events/maintenance/scheduled": json.dumps([event])}


def test_without_a_notice_there_is_none() -> None:
    assert look({}.get, NOW) is None
    assert look({"events/maintenance/scheduled": "[]"}.get, NOW) is None


def test_a_spot_interruption_is_due_at_once_and_tells_when() -> None:
    assert look(SPOT.get, NOW) == Notice("spot notice: terminate at 2026-11-26T09:02:00Z", True)


@pytest.mark.parametrize(
    ("when", "is_due"), [("26 Nov 2026 09:05:00 GMT", True), ("26 Nov 2026 09:06:00 GMT", False), ("soon", True)]
)
def test_maintenance_is_due_five_minutes_before_it_begins(when: str, is_due: bool) -> None:
    assert look(scheduled(when).get, NOW) == Notice(f"maintenance notice: system-reboot at {when}", is_due)


@pytest.mark.parametrize("state", ["completed", "canceled"])
def test_maintenance_that_is_over_is_no_notice(state: str) -> None:
    assert look(scheduled("26 Nov 2026 09:00:00 GMT", state=state).get, NOW) is None


def test_an_event_that_disrupts_nothing_is_no_notice() -> None:
    assert look(scheduled("26 Nov 2026 09:00:00 GMT", code="something-else").get, NOW) is None


def test_a_recommendation_is_told_and_not_acted_on() -> None:
    found = look(REBALANCE.get, NOW)
    assert found == Notice("AWS recommends another instance since 2026-11-26T08:22:00Z", False)


def test_a_spot_interruption_counts_before_all_else() -> None:
    every = SPOT | REBALANCE | scheduled("27 Nov 2026 09:00:00 GMT")
    found = look(every.get, NOW)
    assert found is not None
    assert found.text.startswith("spot notice")


def test_who_listens_hears_of_a_notice_once_and_of_its_end() -> None:
    told: dict[str, str] = {}
    heard: list[Notice | None] = []
    notices = Notices(told.get, lambda: heard.append(notices.now()))
    notices.step()
    told |= SPOT
    notices.step()
    notices.step()
    told.clear()
    notices.step()
    assert heard == [Notice("spot notice: terminate at 2026-11-26T09:02:00Z", True), None]


def test_a_silent_metadata_service_takes_no_notice_back() -> None:
    answers = [SPOT.get]

    def ask(path: str) -> str | None:
        if not answers:
            raise OSError("nobody answers")
        return answers[0](path)

    notices = Notices(ask, lambda: None)
    notices.step()
    answers.clear()
    notices.step()
    assert notices.now() is not None


def test_where_the_environment_says_that_there_is_no_metadata_service_nobody_is_asked() -> None:
    assert of_this_instance({"AWS_EC2_METADATA_DISABLED": "true"}) is None
    assert of_this_instance({}) is not None


class Service(HTTPServer):
    """IMDSv2: a token by PUT, and nothing without it."""

    tokens: list[str]
    told: dict[str, str]
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_PUT(self) -> None:
        assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"].isdigit()
        self.server.tokens.append(f"token-{len(self.server.tokens)}")
        self._answer(200, self.server.tokens[-1])

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.headers.get("X-aws-ec2-metadata-token") not in self.server.tokens:
            return self._answer(401, "")
        found = self.server.told.get(self.path.removeprefix("/latest/meta-data/"))
        return self._answer(404, "") if found is None else self._answer(200, found)

    def _answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service(("127.0.0.1", 0), Handler)
    made.tokens, made.told, made.asked = [], dict(SPOT), []
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_the_service_is_asked_with_a_token_that_is_used_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # a proxy would refuse, and is never asked
    ask = of_this_instance({"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{service.server_port}/"})
    assert ask is not None
    assert ask("spot/instance-action") == SPOT["spot/instance-action"]
    assert ask("events/recommendations/rebalance") is None
    assert len(service.tokens) == 1


def test_a_token_that_is_refused_is_replaced_at_the_next_look(service: Service) -> None:
    metadata = MetadataService(f"http://127.0.0.1:{service.server_port}")
    metadata.ask("spot/instance-action")
    service.tokens[:] = ["another"]
    with pytest.raises(OSError, match="401"):
        metadata.ask("spot/instance-action")
    assert metadata.ask("spot/instance-action") is not None
