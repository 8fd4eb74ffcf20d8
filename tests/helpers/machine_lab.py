"""A small world for machines: a process in namespaces of its own that boots them, and answers what they ask.

Run by :class:`Lab` as a program; its network namespace is the VPC's router. It serves the metadata of EC2, a resolver
that knows every name, and the services that a node's agent talks to, all of which write down what they heard.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUDPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

METADATA, ROUTER, RESOLVER = "169.254.169.254", "10.77.0.1", "10.77.0.2"
REGION = "us-east-1"
KEYS: dict[str, list[str]] = {}


class Lab:
    """The test's side: starts the process, and calls it."""

    def __init__(self, folder: Path, *, one_tree: bool = False) -> None:
        """Start it.

        Args:
            folder: where the machines' disks and consoles are.
            one_tree: show control groups of version 2 alone, as newer systems do.
        """
        groups = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup &&" if one_tree else ""
        inside = f'{groups} mount --make-rshared / && mount -t tmpfs tmpfs /run && mkdir /run/netns && exec "$@"'
        self._process = subprocess.Popen(
            [
                *("unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", inside, "sh", sys.executable, __file__, str(folder)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        self.pid = self._process.pid

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of :class:`_World`."""
        self._process.stdin.write(json.dumps([method, arguments]) + "\n")
        self._process.stdin.flush()
        result, error = json.loads(self._process.stdout.readline())
        if error is not None:
            raise AssertionError(error)
        return result

    def until(self, what: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Wait until something is true; return what it was."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, "it did not come to be in time"
            time.sleep(0.1)
        return found

    def close(self) -> None:
        """End the world, in order."""
        self._process.stdin.close()
        self._process.wait(120)

    def kill(self) -> None:
        """End it as a crash would: the first process of its namespaces is killed."""
        self._process.kill()
        self._process.wait(30)


class _World:
    """The world's side."""

    def __init__(self, folder: Path) -> None:
        from infra.local.twin import machines

        self._machines: dict[int, machines.Machine] = {}
        self._folder = folder
        self._user_data: dict[str, str] = {}
        self._heard: list[tuple[float, str, str, str]] = []
        self._ca, context = _authority(folder)
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "vpc", "type", "bridge")
        for address in (f"{ROUTER}/24", f"{RESOLVER}/24", f"{METADATA}/32"):
            _ip("addr", "add", address, "dev", "vpc")
        _ip("link", "set", "vpc", "up")
        self._serve(METADATA, 80, _metadata(self))
        self._serve(ROUTER, 443, _services(self), context)
        resolver = ThreadingUDPServer((RESOLVER, 53), _Names)
        threading.Thread(target=resolver.serve_forever, daemon=True).start()

    def add(self, number: int, base: str, user_data: str, volume: str = "", root_gib: int = 8) -> None:
        """Make a node's interface and machine, with a state volume of 1 GiB in the named file; it stays off."""
        from infra.local.twin.machines import Identity, Machine, Spec, Volume

        address, name = f"10.77.0.{10 + number}", f"node{number}"
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", name, "master", "vpc", "up")
        for words in (("link", "set", "lo", "up"), ("addr", "add", f"{address}/24", "dev", "eth0")):
            _ip("-n", name, *words)
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "default", "via", ROUTER)
        self._user_data[address] = user_data
        self._machines[number] = Machine(
            Spec(
                identity=Identity(_instance(number), REGION, address, RESOLVER, self._ca),
                base=Path(base),
                folder=self._folder / name,
                network=Path(f"/run/netns/{name}"),
                root_gib=root_gib,
                volumes={"/dev/sdf": Volume(self._folder / (volume or f"volume{number}.img"), 1)},
                tag=f"lab{os.getppid()}-{self._folder.name}",
            )
        )

    def do(self, number: int, what: str) -> None:
        """Call a method of a machine: start, reboot, power_off, kill, wait."""
        getattr(self._machines[number], what)()

    def fault(self, number: int, name: str, *arguments: Any) -> Any:
        """Call a function of the module ``ailments``."""
        from infra.local.twin.machines import ailments

        return getattr(ailments, name)(self._machines[number], *arguments)

    def tag(self, number: int) -> str:
        return self._machines[number].spec.tag

    def is_alive(self, number: int) -> bool:
        return self._machines[number].is_alive

    def leader(self, number: int) -> int:
        return self._machines[number].leader

    def enter(self, number: int, *command: str) -> list[Any]:
        done = self._machines[number].enter(command)
        return [done.returncode, done.stdout, done.stderr]

    def try_to_enter(self, number: int, *command: str) -> bool:
        """Say whether a command succeeds; it does not in a machine that is off."""
        from infra.local.twin.machines.machine import NotRunning

        try:
            return self._machines[number].enter(command).returncode == 0
        except NotRunning:
            return False

    def console(self, number: int) -> str:
        return self._machines[number].console()

    def publish_key(self, user: str, key: str) -> None:
        """Hold a key as EC2 Instance Connect does."""
        KEYS.setdefault(user, []).append(key)

    def ssh(self, number: int, user: str, secret: str, command: str, password: str = "") -> list[Any]:
        """Run a command over SSH; return exit code, output, errors and the type of the host's key."""
        import io

        import paramiko

        with paramiko.SSHClient() as client:
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            client.connect(
                f"10.77.0.{10 + number}",
                username=user,
                pkey=None if password else paramiko.Ed25519Key.from_private_key(io.StringIO(secret)),
                password=password or None,
                look_for_keys=False,
                allow_agent=False,
                timeout=20,
            )
            _, out, error = client.exec_command(command, timeout=30)
            code = out.channel.recv_exit_status()
            return [code, out.read().decode(), error.read().decode(), client.get_transport().host_key_type]

    def heard(self, number: int) -> list[tuple[float, str, str, str]]:
        """Return what a node asked for: when, operation, path, body."""
        return [each[1:] for each in self._told(number)]

    def _told(self, number: int) -> list[Any]:
        return [each for each in self._heard if each[0] == f"10.77.0.{10 + number}"]

    def close(self) -> None:
        """Power everything off."""
        threads = [threading.Thread(target=machine.power_off) for machine in self._machines.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def hear(self, *what: Any) -> None:
        self._heard.append((what[0], time.time(), *what[1:]))

    def metadata(self, address: str, path: str) -> str | None:
        """Return what the metadata service says to the node with this address."""
        number = int(address.rsplit(".", 1)[1]) - 10
        document = {"accountId": "111111111111", "instanceId": _instance(number), "region": REGION}
        tree: dict[str, Any] = {
            "dynamic": {"instance-identity": {"document": json.dumps(document)}},
            "meta-data": {
                "ami-id": "ami-0fed0000000000001",
                "instance-id": _instance(number),
                "instance-type": "g5.xlarge",
                "local-hostname": f"ip-10-77-0-{10 + number}.ec2.internal",
                "local-ipv4": address,
                "placement": {"availability-zone": f"{REGION}a", "region": REGION},
                "iam": {"security-credentials": {"node": _credentials()}},
                "managed-ssh-keys": {"active-keys": {user: "\n".join(keys) for user, keys in KEYS.items()}},
            },
            "user-data": self._user_data[address],
        }
        found: Any = tree
        for part in [each for each in path.split("/") if each][1:]:
            if not isinstance(found, dict) or part not in found:
                return None
            found = found[part]
        if isinstance(found, dict):
            return "\n".join(f"{key}/" if isinstance(value, dict) else key for key, value in found.items())
        return str(found)

    def _serve(
        self, address: str, port: int, handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None
    ) -> None:
        server = _Server((address, port), handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A node that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_: Any) -> None:
        pass

    def say(self, code: int, text: str = "", kind: str = "text/plain", **headers: str) -> None:
        body = text.encode()
        self.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _metadata(world: _World) -> type[BaseHTTPRequestHandler]:
    class Metadata(_Handler):
        def do_PUT(self) -> None:
            seconds = self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            self.say(200, "token", **{"X-aws-ec2-metadata-token-ttl-seconds": seconds})

        def do_GET(self) -> None:
            if self.headers["X-aws-ec2-metadata-token"] != "token":
                return self.say(401)
            found = world.metadata(self.client_address[0], self.path)
            return self.say(404) if found is None else self.say(200, found)

    return Metadata


def _services(world: _World) -> type[BaseHTTPRequestHandler]:
    class Services(_Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            target = self.headers.get("X-Amz-Target", "")
            world.hear(self.client_address[0], target.rpartition(".")[2], self.path, body)
            answer = {"Parameters": []} if target.endswith("GetParametersByPath") else {}
            self.say(200, json.dumps(answer), "application/x-amz-json-1.1")

        def do_GET(self) -> None:
            world.hear(self.client_address[0], "GET", self.path, "")
            self.say(404, "<Error><Code>NoSuchKey</Code></Error>", "application/xml")

    return Services


class _Names(BaseRequestHandler):
    """Answers A for a name of AWS with the router's address, and that there is no other name."""

    def handle(self) -> None:
        question, socket = self.request
        end = question.index(b"\0", 12) + 5
        kind = question[end - 4 : end - 2]
        is_known = b"amazonaws" in question[12:end]
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + ipaddress.ip_address(ROUTER).packed
        counts = b"\0\1\0\1\0\0\0\0" if is_known and kind == b"\0\1" else b"\0\1\0\0\0\0\0\0"
        flags = b"\x81\x80" if is_known else b"\x81\x83"
        said = question[:2] + flags + counts + question[12:end] + (answer if counts[3] else b"")
        socket.sendto(said, self.client_address)


def _instance(number: int) -> str:
    return f"i-{number:017x}"


def _credentials() -> str:
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=6)
    return json.dumps(
        {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "SecretAccessKey": "secret",
            "Token": "token",
            "LastUpdated": "2026-01-01T00:00:00Z",
            "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )


def _authority(folder: Path) -> tuple[str, ssl.SSLContext]:
    """Return a certificate for all of AWS that vouches for itself, as PEM, and what serves with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    now = datetime.datetime.now(datetime.UTC)
    names = [f"*.{REGION}.amazonaws.com", f"*.s3.{REGION}.amazonaws.com", "*.s3.amazonaws.com"]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "lab.pem").write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "lab.pem")
    return pem.decode(), context


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def main() -> None:
    """Answer calls from standard input until it ends."""
    answers = os.dup(1)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    world = _World(Path(sys.argv[1]))
    for line in sys.stdin:
        method, arguments = json.loads(line)
        try:
            said = [getattr(world, method)(*arguments), None]
        except Exception as error:
            said = [None, f"{type(error).__name__}: {error}"]
        os.write(answers, json.dumps(said).encode() + b"\n")
    with contextlib.suppress(Exception):
        world.close()


if __name__ == "__main__":
    main()
