"""gRPC settings that both ends share: limits, and keepalive that finds a dead peer within 15 s."""

from __future__ import annotations

from fl_app.transport.frames import FRAME_LIMIT

SERVICE = "federate.Wire"
METHOD = "Stream"
PATH = f"/{SERVICE}/{METHOD}"

_PING_EVERY_MS = 8_000
_PING_TIMEOUT_MS = 5_000
_CONNECT_WITHIN_MS = 5_000
#: A connection that has not shaken hands by then is closed; one that has, and has no stream, later.
_HANDSHAKE_WITHIN_MS = 10_000
_STREAM_WITHIN_MS = 30_000
#: A site has one stream, and for a moment a second when it opens that again.
_STREAMS_A_CONNECTION = 2
_METADATA_LIMIT = 8 << 10

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
    return [
        *_SHARED,
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_EVERY_MS // 2),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_WITHIN_MS),
        ("grpc.max_connection_idle_ms", _STREAM_WITHIN_MS),
        ("grpc.max_concurrent_streams", _STREAMS_A_CONNECTION),
        ("grpc.max_metadata_size", _METADATA_LIMIT),
    ]


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
