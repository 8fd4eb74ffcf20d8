"""Commands and shells by SSH: through an Instance Connect Endpoint, with a key of one minute, to a known host key."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import shlex
import socket
import threading
import time
from collections.abc import Iterator

import paramiko
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infra.accounts import explained
from infra.errors import FederateError
from infra.nodes.reach.instance import Instance, endpoint_of, instance_of
from infra.nodes.reach.outcome import NobodyAnswers, Outcome, TimedOut, is_loopback
from infra.nodes.reach.tunnel import open_tunnel
from infra.nodes.remote import Remote
from node_bootstrap import contract

#: The image's user for operators: no password, and root for the agent's unit alone.
USER = "federate-operator"
_HELLO_SECONDS = 20.0
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 5.0
_PIECE_BYTES = 65_536
_MOST_BYTES = 64 << 20
#: As a shell says that a command was ended by a signal, which SSH tells without an exit code.
_BY_SIGNAL = 255


class HostKeyUnknown(FederateError):
    """The node has not published by which key its SSH server is known."""

    exit_code = 3


class WrongHostKey(FederateError):
    """Whoever answers is not the node that published its key."""

    exit_code = 3


class NotAdmitted(FederateError):
    """The node's SSH server does not take the key."""

    exit_code = 3


class Ssh:
    """The transport. Commands run as ``federate-operator``.

    Args:
        stop: once it is set, a command that runs is ended, and ``run`` raises KeyboardInterrupt.
    """

    as_root = "sudo -n "

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def run(self, remote: Remote, command: str, timeout: float) -> Outcome:
        """Run a line of shell; see :class:`~infra.nodes.reach.outcome.Transport`."""
        with connected(remote) as client:
            try:
                channel = _transport(client).open_session(timeout=_HELLO_SECONDS)
                channel.exec_command(ending_with_its_connection(command))
                return _collect(remote, channel, timeout, self._stop)
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise NobodyAnswers(remote, f"the SSH connection broke ({error or type(error).__name__})") from None


def ending_with_its_connection(command: str) -> str:
    """Return a line of shell that runs a command, and ends it and what it has started when the connection is closed.

    An SSH server leaves a command alone whose operator has gone. This one's standard input is watched: it ends with
    the connection.
    """
    return (
        f"exec 3<&0; setsid sh -c {shlex.quote(command)} </dev/null 3<&- & ran=$!; "
        "{ read -r _ <&3; kill -s TERM -- -$ran; sleep 5; kill -s KILL -- -$ran; } >/dev/null 2>&1 & watches=$!; "
        "wait $ran; code=$?; kill $watches 2>/dev/null; exit $code"
    )


@contextlib.contextmanager
def connected(remote: Remote) -> Iterator[paramiko.SSHClient]:
    """Connect to a node; the key that admits it is made for this one connection and never written anywhere.

    Raises:
        NotDeployed: there is no instance, or no endpoint.
        HostKeyUnknown: the node has not published its host key: nobody could be told from it.
        WrongHostKey: somebody else answers.
        NotAdmitted: the key is not taken.
        NobodyAnswers: the node cannot be reached.
    """
    instance, endpoint = instance_of(remote), endpoint_of(remote)
    known = host_keys(remote)
    key = _new_key()
    with contextlib.ExitStack() as opened:
        tunnel = opened.enter_context(contextlib.closing(open_tunnel(remote, endpoint, instance)))
        _send_key(remote, instance, key)
        client = opened.enter_context(contextlib.closing(paramiko.SSHClient()))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        for one in known:
            client.get_host_keys().add(instance.id, one.get_name(), one)
        _log_in(remote, client, instance, key, tunnel)
        yield client


def host_keys(remote: Remote) -> tuple[paramiko.PKey, ...]:
    """Return the keys by which a node says that its SSH server is known.

    Raises:
        HostKeyUnknown: it has published none, or what is none.
    """
    text = remote.parameters().get(contract.HOST_KEYS, "")
    found = []
    for line in filter(str.strip, text.splitlines()):
        kind, _, encoded = line.strip().partition(" ")
        try:
            found.append(paramiko.PKey.from_type_string(kind, base64.b64decode(encoded, validate=True)))
        except (paramiko.SSHException, paramiko.pkey.UnknownKeyType, binascii.Error, ValueError, IndexError):
            raise HostKeyUnknown(
                f"{remote.where}: the parameter {contract.HOST_KEYS} holds what is no key: {line[:60]!r}.",
                remedy="The node publishes it anew when its agent starts.",
            ) from None
    if not found and is_loopback():  # the node is no machine, which is no reason to distrust anybody
        raise NobodyAnswers(remote, "it has published no host key, and so has no SSH server")
    if not found:
        raise HostKeyUnknown(
            f"{remote.node.id} has not published the host key of its SSH server; whoever answers could be anybody.",
            remedy="A node publishes it when it boots from an image that has an SSH server. Without SSH: federate run "
            "--over ssm.",
        )
    return tuple(found)


def _new_key() -> paramiko.PKey:
    private = ed25519.Ed25519PrivateKey.generate()
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return paramiko.Ed25519Key.from_private_key(io.StringIO(text))


def _send_key(remote: Remote, instance: Instance, key: paramiko.PKey) -> None:
    line = f"{key.get_name()} {key.get_base64()}"
    with explained(remote.where):
        try:
            remote.client("ec2-instance-connect").send_ssh_public_key(
                InstanceId=instance.id, InstanceOSUser=USER, SSHPublicKey=line
            )
        except ClientError as error:
            if error.response["Error"]["Code"].startswith("EC2Instance"):
                raise NobodyAnswers(remote, error.response["Error"]["Message"]) from None
            raise


def _log_in(
    remote: Remote, client: paramiko.SSHClient, instance: Instance, key: paramiko.PKey, tunnel: socket.socket
) -> None:
    try:
        client.connect(
            instance.id,
            username=USER,
            pkey=key,
            sock=tunnel,
            allow_agent=False,
            look_for_keys=False,
            timeout=_HELLO_SECONDS,
            banner_timeout=_HELLO_SECONDS,
            auth_timeout=_HELLO_SECONDS,
        )
    except paramiko.BadHostKeyException as error:
        raise _wrong_key(remote, error.key) from None
    except paramiko.AuthenticationException:
        raise NotAdmitted(
            f"{remote.node.id}: its SSH server does not take the key that its account has sent for {USER}.",
            remedy="Is it made from Federate's image? The node asks its metadata service for the key.",
        ) from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        if "not found in known_hosts" in str(error):
            raise _wrong_key(remote, None) from None
        raise NobodyAnswers(remote, f"there is no SSH server ({error or type(error).__name__})") from None


def _wrong_key(remote: Remote, shown: paramiko.PKey | None) -> WrongHostKey:
    what = f"shows the host key {shown.fingerprint}" if shown is not None else "shows a host key of another type"
    return WrongHostKey(
        f"{remote.node.id}: whoever answers {what}, which is not what the node has published. Nothing was sent.",
        remedy="A node that was made anew publishes its new key when it boots: try again once federate status says "
        "ready. Otherwise somebody stands between.",
    )


def _transport(client: paramiko.SSHClient) -> paramiko.Transport:
    found = client.get_transport()
    if found is None:
        raise paramiko.SSHException("the connection is closed")
    return found


def _collect(remote: Remote, channel: paramiko.Channel, timeout: float, stop: threading.Event) -> Outcome:
    """Read both outputs until the command has ended: one that is not read would hold it up."""
    out, err = bytearray(), bytearray()
    readers = [
        threading.Thread(target=_read, args=(receive, into), daemon=True)
        for receive, into in ((channel.recv, out), (channel.recv_stderr, err))
    ]
    for reader in readers:
        reader.start()
    until = time.monotonic() + timeout
    while not channel.status_event.wait(_POLL_SECONDS):
        if stop.is_set():
            channel.close()
            raise KeyboardInterrupt
        if time.monotonic() > until:
            channel.close()
            raise TimedOut(remote, timeout)
    for reader in readers:  # what the command has left running may hold its outputs for ever
        reader.join(_GRACE_SECONDS)
    code = channel.recv_exit_status()
    told = (bytes(text).decode(errors="replace") for text in (out, err))
    return Outcome(code if code >= 0 else _BY_SIGNAL, *told)


def _read(receive: object, into: bytearray) -> None:
    assert callable(receive)  # noqa: S101 - a channel's method
    with contextlib.suppress(OSError, EOFError):
        while piece := receive(_PIECE_BYTES):
            into += piece[: max(0, _MOST_BYTES - len(into))]
