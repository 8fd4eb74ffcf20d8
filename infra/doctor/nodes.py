"""What the accounts show of their nodes: each question for itself, so that one that is refused leaves the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.accounts import explained
from infra.doctor.pieces import Missing, Piece, document
from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID, stack_name
from infra.federation.model import Federation
from infra.nodes.certified import certified
from infra.nodes.inquest import console_of, machine_of
from infra.nodes.reach.outcome import Transport
from infra.nodes.reach.unit import Action, command
from infra.nodes.remote import Remote, Report
from node_bootstrap import contract

_EVENTS = 30
_LOG_LINES = 1000
#: A day; and of a node that has said nothing for so long, a month.
_LOG_BACK_MS = (86_400_000, 30 * 86_400_000)
_COMMAND_SECONDS = 15.0
_ELSEWHERE = "Its own admin operates it, and nobody here has credentials of its account: python3 site.py status, there."
_EVENT_FIELDS = ("Timestamp", "LogicalResourceId", "ResourceType", "ResourceStatus", "ResourceStatusReason")
#: All that is collected of a node: name, what it is.
ABOUT = {
    "stacks.json": "its stacks: status, and the last events",
    "network.json": "peerings and routes of its VPC",
    "state.json": "what it published last, and what is wanted of it",
    "certificate.json": "its certificate: serial number, from when, until when (no key)",
    "instance.json": "its instance: state, status checks, planned events",
    "console.txt": "the end of its instance's console",
    "log.txt": f"the last {_LOG_LINES} lines of its log",
    "unit.txt": "the unit of its agent, as systemd shows it",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A node to ask about."""

    remote: Remote
    federation: Federation
    transport: Transport

    def collect(self) -> Iterator[Piece | Missing]:
        """Yield what there is of it."""
        ask: Mapping[str, Callable[[], Piece | str]] = {
            "stacks.json": self._stacks,
            "network.json": self._network,
            "state.json": self._state,
            "certificate.json": self._certificate,
            "instance.json": self._instance,
            "console.txt": self._console,
            "log.txt": self._log,
            "unit.txt": self._unit,
        }
        for file, question in ask.items():
            name = f"nodes/{self.remote.node.id}/{file}"
            try:
                with explained(self.remote.where):
                    found = question()
            except (FederateError, BotoCoreError, ClientError) as error:
                yield Missing(name, ABOUT[file], str(error).partition("\n")[0])
                continue
            yield found if isinstance(found, Piece) else Piece(name, ABOUT[file], found)

    def _stacks(self) -> str:
        ids = ["HubStorage", "HubNetwork", *(f"HubLink-{site.id}" for site in self.federation.participants), "HubNode"]
        if self.remote.node.id != AGGREGATOR_ID:
            ids = [f"{kind}-{self.remote.node.id}" for kind in ("SiteStorage", "SiteNetwork", "SiteNode")]
        cloudformation = self.remote.client("cloudformation")
        return document([_stack(cloudformation, stack_name(self.federation, id_)) for id_ in ids])

    def _network(self) -> str:
        vpc = self.remote.stack_output("Network", "VpcId")
        ec2 = self.remote.client("ec2")
        ends = [{"Name": f"{end}-vpc-info.vpc-id", "Values": [vpc]} for end in ("requester", "accepter")]
        peerings = {
            peering["VpcPeeringConnectionId"]: peering
            for end in ends
            for peering in ec2.describe_vpc_peering_connections(Filters=[end])["VpcPeeringConnections"]
        }
        tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
        return document(
            {
                "vpc": vpc,
                "peerings": [_peering(peering) for peering in peerings.values()],
                "route_tables": [_table(table) for table in tables],
            }
        )

    def _state(self) -> Piece:
        told = self.remote.parameters()
        release = told.get(contract.APPROVED_RELEASE)
        content = {
            "published": Report.read(told.get(contract.STATE)).as_dict(),
            "desired": told.get(contract.DESIRED),
            "approved_release": release,
            "parameters": sorted(told),
        }
        return Piece(self._name("state.json"), ABOUT["state.json"], document(content), _words(release))

    def _certificate(self) -> Piece:
        found = certified(self.remote.parameters(), ())
        if found is None:
            return Piece(self._name("certificate.json"), ABOUT["certificate.json"], document(None))
        text = document(found.document())
        return Piece(
            self._name("certificate.json"), ABOUT["certificate.json"], text, _words(found.serial, *found.trusts)
        )

    def _instance(self) -> str:
        found = machine_of(self.remote)
        return document(
            {
                "id": found.id,
                "state": found.state,
                "reason": found.reason,
                "status_checks": dict(found.checks),
                "planned": found.events,
                **dict(found.details),
            }
        )

    def _console(self) -> str:
        return console_of(self.remote, machine_of(self.remote).id)

    def _log(self) -> str:
        now_ms = int(time.time() * 1000)
        looks = (list(self.remote.log_lines(now_ms - back_ms)) for back_ms in _LOG_BACK_MS)
        lines = sorted(next(filter(None, looks), []), key=lambda line: line.at)[-_LOG_LINES:]
        return "".join(
            f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(line.at / 1000))} "
            f"{line.stream.rpartition('/')[2]} {line.text.rstrip()}\n"
            for line in lines
        )

    def _unit(self) -> str:
        found = self.transport.run(self.remote, command(Action.STATUS), _COMMAND_SECONDS)
        return found.stdout + found.stderr

    def _name(self, file: str) -> str:
        return f"nodes/{self.remote.node.id}/{file}"


def of_nodes(chosen: Sequence[Remote], federation: Federation, transport: Transport) -> list[Piece | Missing]:
    """Return what the accounts show of nodes, asked side by side.

    Args:
        chosen: which nodes.
        federation: theirs.
        transport: how the unit is asked for.
    """

    def collect(remote: Remote) -> list[Piece | Missing]:
        if not remote.node.is_operated_here:
            return [Missing(f"nodes/{remote.node.id}", "all of this site", _ELSEWHERE)]
        return list(_Asked(remote, federation, transport).collect())

    with ThreadPoolExecutor(max(1, min(8, len(chosen)))) as pool:
        return [one for of_node in pool.map(collect, chosen) for one in of_node]


def _stack(cloudformation: Any, name: str) -> dict[str, Any]:
    try:
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return {"name": name, "status": "not there"}
        raise
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"][:_EVENTS]
    return {
        "name": name,
        "status": described["StackStatus"],
        "reason": described.get("StackStatusReason", ""),
        "events": [{field: event[field] for field in _EVENT_FIELDS if event.get(field)} for event in events],
    }


def _peering(peering: Mapping[str, Any]) -> dict[str, Any]:
    ends = {
        end: {key: peering.get(f"{end}VpcInfo", {}).get(key, "") for key in ("OwnerId", "VpcId", "CidrBlock", "Region")}
        for end in ("Requester", "Accepter")
    }
    return {"id": peering["VpcPeeringConnectionId"], "status": peering.get("Status", {}), **ends}


def _table(table: Mapping[str, Any]) -> dict[str, Any]:
    def target(route: Mapping[str, Any]) -> str:
        kinds = ("VpcPeeringConnectionId", "GatewayId", "NatGatewayId", "NetworkInterfaceId")
        return next((str(route[kind]) for kind in kinds if route.get(kind)), "")

    routes = [
        {
            "to": route.get("DestinationCidrBlock") or route.get("DestinationPrefixListId", ""),
            "over": target(route),
            "state": route.get("State", ""),
        }
        for route in table.get("Routes", [])
    ]
    return {"id": table["RouteTableId"], "routes": routes}


def _words(*texts: str | None) -> frozenset[str]:
    return frozenset(text for text in texts if text)


def states_of(pieces: Sequence[Piece | Missing]) -> dict[str, str]:
    """Return what each node says it is, for a first look at the archive."""
    found = {}
    for piece in pieces:
        if isinstance(piece, Piece) and piece.name.endswith("/state.json"):
            told = json.loads(piece.text)["published"]
            found[piece.name.split("/")[1]] = ": ".join(filter(None, [told["state"] or "silent", told["reason"]]))
    return found
