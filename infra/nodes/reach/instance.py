"""The instance that a node runs on now, and the endpoint through which its account's operators reach it."""

from __future__ import annotations

from dataclasses import dataclass

from infra.accounts import explained
from infra.nodes.reach.outcome import NobodyAnswers
from infra.nodes.remote import NotDeployed, Remote


@dataclass(frozen=True, slots=True)
class Instance:
    """A running instance: its id and private address."""

    id: str
    address: str


@dataclass(frozen=True, slots=True)
class ConnectEndpoint:
    """An EC2 Instance Connect Endpoint that takes tunnels: its id and host name."""

    id: str
    dns_name: str


def instance_of(remote: Remote) -> Instance:
    """Return a node's instance.

    Raises:
        NotDeployed: it has none.
        NobodyAnswers: it does not run.
    """
    id_ = remote.stack_output("Node", "InstanceId")
    with explained(remote.where):
        filters = [{"Name": "instance-id", "Values": [id_]}]
        found = remote.client("ec2").describe_instances(Filters=filters)["Reservations"]
    instances = [instance for reservation in found for instance in reservation["Instances"]]
    state = instances[0]["State"]["Name"] if instances else "not there"
    if state != "running":
        raise NobodyAnswers(remote, f"its instance {id_} is {state}")
    return Instance(id_, instances[0]["PrivateIpAddress"])


def endpoint_of(remote: Remote) -> ConnectEndpoint:
    """Return the Instance Connect Endpoint of a node's network.

    Raises:
        NotDeployed: the network has none.
        NobodyAnswers: it is being made, or has failed.
    """
    id_ = remote.stack_output("Network", "ConnectEndpointId")
    with explained(remote.where):
        filters = [{"Name": "instance-connect-endpoint-id", "Values": [id_]}]
        answer = remote.client("ec2").describe_instance_connect_endpoints(Filters=filters)
    found = answer["InstanceConnectEndpoints"]
    if not found:
        raise NotDeployed(
            f"{remote.node.id}: the Instance Connect Endpoint {id_} is gone.",
            remedy=f"federate deploy --only {remote.node.id} makes it anew, once its stack has been told of it.",
        )
    if found[0]["State"] != "create-complete":
        raise NobodyAnswers(remote, f"its Instance Connect Endpoint {id_} is {found[0]['State']}")
    return ConnectEndpoint(id_, found[0]["DnsName"])
