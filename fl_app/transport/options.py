"""gRPC settings that both ends share: limits, and keepalive that finds a dead peer within 15 s."""

from __future__ import annotations

from fl_app.transport.frames import FRAME_LIMIT

SERVICE = "federate.Wire"
METHOD = "Stream"
PATH = f"/{SERVICE}/{METHOD}"

_PING_EVERY_MS = 8_000
_PING_TIMEOUT_MS = 5_000
_CONNECT_WITHIN_MS = 5_000

Option = tuple[str, int | str]

_SHARED: list[Option] = [
    ("grpc.max_send_message_length", FRAME_LIMIT),
    ("grpc.max_receive_message_length", FRAME_LIMIT),
    ("grpc.keepalive_time_ms", _PING_EVERY_MS),
    ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]


def server_options() -> list[Option]:
    """Return the aggregator's; a port that is taken is an error, not shared."""
    return [*_SHARED, ("grpc.so_reuseport", 0), ("grpc.http2.min_ping_interval_without_data_ms", _PING_EVERY_MS // 2)]


def channel_options(tls_name: str) -> list[Option]:
    """Return a site's; the server's certificate must carry this name, whatever address is dialled."""
    return [
        *_SHARED,
        ("grpc.ssl_target_name_override", tls_name),
        ("grpc.default_authority", tls_name),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_WITHIN_MS),
        ("grpc.enable_http_proxy", 0),
    ]
