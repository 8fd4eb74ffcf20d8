"""A hospital's node that operators can reach, in an emulated account, and all that is between."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ssh_node import SshNode, line
from stack_templates import subnet, template, vpc

from infra.federation.derive import stack_name
from infra.local.aws.accounts import SECRET
from infra.local.twin.services.operators import administrators_key, tunnel_endpoint
from infra.local.twin.services.signature import AccessKey
from infra.local.twin.services.tunnel import TunnelEndpoint, TunnelService
from infra.nodes.remote import Remote
from node_bootstrap import contract

_NETWORK = template(
    {"ConnectEndpointId": {"Value": {"Ref": "Connect"}}, "SubnetId": {"Value": {"Ref": "Subnet"}}},
    Vpc=vpc(),
    Subnet=subnet(),
    Connect={"Type": "AWS::EC2::InstanceConnectEndpoint", "Properties": {"SubnetId": {"Ref": "Subnet"}}},
)


def make(remote: Remote, federation: Any) -> str:
    """Make the stacks of a site's network and node, as small as they can be; return the instance's id."""
    cloudformation = remote.client("cloudformation")
    network = stack_name(federation, f"SiteNetwork-{remote.node.id}")
    cloudformation.create_stack(StackName=network, TemplateBody=json.dumps(_NETWORK))
    place = {"SubnetId": remote.stack_output("Network", "SubnetId"), "PrivateIpAddress": "10.10.0.10"}
    instance = {"ImageId": "ami-0fed0000000000001", "InstanceType": "g4dn.xlarge", **place}
    body = template(
        {"InstanceId": {"Value": {"Ref": "Node"}}}, Node={"Type": "AWS::EC2::Instance", "Properties": instance}
    )
    cloudformation.create_stack(
        StackName=stack_name(federation, f"SiteNode-{remote.node.id}"), TemplateBody=json.dumps(body)
    )
    return remote.stack_output("Node", "InstanceId")


@dataclass
class Reachable:
    """The node, and what is between it and the operator. ``secret`` is what the service takes for the account's."""

    remote: Remote
    instance: str
    ssh: SshNode
    address: tuple[str, int]
    secret: str = SECRET
    is_cut: bool = False

    def key_of(self, id_: str) -> AccessKey | None:
        found = administrators_key(id_)
        return found and replace(found, secret=self.secret)

    def find(self, id_: str) -> TunnelEndpoint | None:
        for one in self.remote.client("ec2").describe_instance_connect_endpoints()["InstanceConnectEndpoints"]:
            if one["InstanceConnectEndpointId"] == id_:
                return tunnel_endpoint(one, ["10.10.0.0/16"])
        return None

    def dial(self, endpoint: str, address: str, port: int) -> socket.socket:
        if self.is_cut:
            raise TimeoutError("timed out")
        assert (address, port) == ("10.10.0.10", 22)
        return socket.create_connection(self.address, 5)

    def publish(self, text: str | None = None) -> None:
        """Say what the node's host key is: the true one, or something else."""
        self.remote.put(contract.HOST_KEYS, line(self.ssh.key) if text is None else text)


@contextlib.contextmanager
def reachable(remote: Remote, federation: Any) -> Iterator[tuple[Reachable, str]]:
    """Make the node and run everything between; give it, and what ``FEDERATE_TUNNEL`` is to be."""
    from infra.local.aws.additions import ssh_keys_api

    instance = make(remote, federation)
    ssh = SshNode(lambda user: ssh_keys_api.KEYS.of(instance, user))
    with ssh.listening() as address, socket.create_server(("127.0.0.1", 0)) as listener:
        made = Reachable(remote, instance, ssh, address)
        service = TunnelService(made.key_of, made.find, made.dial)
        thread = threading.Thread(target=service.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield made, f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(15)
            assert not thread.is_alive()
