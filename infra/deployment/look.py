"""One look at the accounts: stacks, nodes, ways to the hub; what does not answer is said, and the rest is shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from infra.accounts import Accounts, check_credentials, explained
from infra.deployment.condition import Stacks
from infra.deployment.ways import UNKNOWN, HubSide, SiteSide, Way, hub_side, site_side, way
from infra.errors import FederateError
from infra.federation.derive import AGGREGATOR_ID
from infra.nodes.certified import Certified, certified
from infra.nodes.remote import Remote, Report
from node_bootstrap import contract
from node_bootstrap.contract import Desired, Unreadable
from stacks.plan import StackPlan

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Sight:
    """One node and its account, as far as they answer.

    Args:
        remote: the node.
        stacks: construct id to status, None for one that does not exist; empty where nobody answers.
        instance: EC2's state of the instance; empty where there is none, ``unknown`` where it could not be asked.
        desired: what is wanted of the node; empty where nothing ever was.
        report: what the node last published.
        certificate: None where it has none.
        approved: digest of the release that the account approved; empty where it has approved none.
        is_heard: whether the account told what its node says.
        way: None at the aggregator, and where it could not be asked at all.
        troubles: what did not answer, and why.
    """

    remote: Remote
    stacks: Mapping[str, str | None] = field(default_factory=dict)
    instance: str = UNKNOWN
    desired: str = ""
    report: Report = Report(None)  # noqa: RUF009 - it is frozen
    certificate: Certified | None = None
    approved: str = ""
    is_heard: bool = False
    way: Way | None = None
    troubles: tuple[FederateError, ...] = ()

    @property
    def is_deployed(self) -> bool:
        """Whether any stack is there."""
        return any(self.stacks.values())


def look(
    remotes: Sequence[Remote], planned: Sequence[StackPlan], accounts: Accounts, revoked: Collection[str]
) -> list[Sight]:
    """Look at all accounts side by side. None that fails hides another.

    Args:
        remotes: all nodes; the aggregator first. Of a site that its own admin operates, the hub's side alone is seen.
        planned: the federation's stacks.
        accounts: AWS's APIs.
        revoked: serial numbers of revoked certificates.
    """
    with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(remotes)))) as pool:
        looks = list(pool.map(lambda remote: _Look(remote, planned, accounts, remotes[0]).all(revoked), remotes))
    hub = looks[0].hub
    for found in looks:
        subnet = str(found.remote.node.subnet)
        if not found.remote.node.is_operated_here and hub is not None:
            found.side = hub.site_side(subnet)
        if found.side is not None:
            found.sight = replace(found.sight, way=way(found.side, hub.routes if hub else None, subnet))
    return [found.sight for found in looks]


class _Look:
    """Asks one account for one thing after the other."""

    def __init__(self, remote: Remote, planned: Sequence[StackPlan], accounts: Accounts, hub: Remote) -> None:
        self.remote = remote
        self.sight = Sight(remote)
        self.side: SiteSide | None = None
        self.hub: HubSide | None = None
        self._planned = [stack for stack in planned if stack.node == remote.node.id]
        self._accounts = accounts
        self._hub_subnet = str(hub.node.subnet)

    def all(self, revoked: Collection[str]) -> _Look:
        """Ask everything; without credentials for this very account, nothing."""
        if not self.remote.node.is_operated_here:
            return self
        if not self._try(lambda: check_credentials(self._accounts, [self.remote.node])):
            return self
        outputs: dict[str, str] = {}
        self._try(lambda: outputs.update(self._stacks()))
        self._try(lambda: self._node(revoked))
        if self.sight.stacks:
            self._try(lambda: self._instance(outputs))
            self._try(lambda: self._network(outputs))
        return self

    def _try(self, ask: Callable[[], None]) -> bool:
        try:
            with explained(self.remote.where, profile=self.remote.node.profile, region=self.remote.node.region):
                ask()
        except FederateError as error:
            self.sight = replace(self.sight, troubles=(*self.sight.troubles, error))
            return False
        return True

    def _stacks(self) -> dict[str, str]:
        """Ask for the stacks; return their outputs."""
        reader = Stacks(self._accounts)
        found = {stack.id: reader.describe(stack) for stack in self._planned}
        statuses = {id_: None if told is None else str(told["StackStatus"]) for id_, told in found.items()}
        self.sight = replace(self.sight, stacks=statuses)
        outputs = [output for told in found.values() if told for output in told.get("Outputs", ())]
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def _node(self, revoked: Collection[str]) -> None:
        told = self.remote.parameters()
        try:
            desired = Desired.read(told.get(contract.DESIRED))
        except Unreadable:
            desired = Desired("stopped")
        self.sight = replace(
            self.sight,
            desired=desired.state if desired.run else "",
            report=Report.read(told.get(contract.STATE)),
            certificate=certified(told, revoked),
            approved=told.get(contract.APPROVED_RELEASE, ""),
            is_heard=True,
        )

    def _instance(self, outputs: Mapping[str, str]) -> None:
        id_ = outputs.get("InstanceId", "")
        state = ""
        if id_:
            filters = [{"Name": "instance-id", "Values": [id_]}]
            found = self.remote.client("ec2").describe_instances(Filters=filters)["Reservations"]
            state = str(found[0]["Instances"][0]["State"]["Name"]) if found else "gone"
        self.sight = replace(self.sight, instance=state)

    def _network(self, outputs: Mapping[str, str]) -> None:
        ec2 = self.remote.client("ec2")
        if self.remote.node.id == AGGREGATOR_ID:
            self.hub = hub_side(ec2, outputs)
        else:
            self.side = SiteSide(outputs.get("PeeringId", ""), UNKNOWN, UNKNOWN)  # until it is known
            self.side = site_side(ec2, outputs, self._hub_subnet)
