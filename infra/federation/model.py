"""The model of ``federation.yaml``: one aggregator and N participants, each in an AWS account of its own.

Values are checked here for their own form; how they fit together is checked in :mod:`infra.federation.checks`.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", min_length=1, max_length=20)]
AccountId = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
ImageId = Annotated[str, StringConstraints(pattern=r"^ami-[0-9a-f]{8,17}$")]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class Model(BaseModel):
    """Base: frozen, and a key that is not known is an error rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


def _plugin(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Plugin(Model):
    """A data set, model or aggregation by entry-point name, with its options. A bare string is the name."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


PluginRef = Annotated[Plugin, BeforeValidator(_plugin)]


class Account(Model):
    """An AWS account that takes part, and the hardware of its node. Common to the aggregator and the participants."""

    account: AccountId = Field(description="The 12-digit AWS account id, quoted: YAML reads 0123… as a number.")
    profile: str = Field(description="The AWS profile that holds credentials for this account.")
    region: Region | None = Field(default=None, description="The site's Region; the federation's if left out.")
    cidr: IPv4Network = Field(description="The VPC's private IPv4 range, /16 to /26; no two sites may overlap.")
    availability_zone: str = Field(default="a", description="Zone letter (a) or full name (us-east-1a).")
    instance_type: str = "g4dn.xlarge"
    image: ImageId | None = Field(
        default=None, description="Machine image with FedML; the federation's pinned image of the Region if left out."
    )
    volume_gib: Annotated[int, Field(ge=30, le=16384)] = 100
    spot: bool = False
    gpu_mapping: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(1,), description="FedML's gpu_mapping: number of worker processes on GPU 0, 1, …"
    )
    on_destroy: Literal["retain", "delete"] = Field(
        default="retain", description="What `destroy` does with this account's bucket and state volume."
    )


class Aggregator(Account):
    """The coordinator's account: the hub that every site's node connects to."""

    port: Annotated[int, Field(ge=1024, le=65535)] = 8890
    on_destroy: Literal["retain", "delete"] = "delete"


class DataLocation(Model):
    """What a participant contributes, and where it lies before it is put into the account's own bucket."""

    source: str | None = Field(
        default=None, description="Folder on the operator's side to upload from; for eICU it is dealt if left out."
    )
    hospitals: tuple[int, ...] | None = Field(
        default=None, description="eICU hospitalids of this site; dealt by seed over the sites if left out."
    )


class Participant(Account):
    """A hospital or group of hospitals: one site of the federation."""

    id: Name
    data: DataLocation = DataLocation()


class Training(Model):
    """What is trained, and how."""

    dataset: PluginRef = Plugin(name="eicu")
    model: PluginRef = Plugin(name="logistic_regression")
    aggregation: PluginRef = Plugin(name="fedavg")
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    rounds: PositiveInt = 50
    epochs: PositiveInt = 1
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 0.001
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    class_weights: Literal["balanced", "none"] = Field(
        default="balanced", description="balanced: each site weighs its classes inversely to their frequency."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Policy(Model):
    """When a round closes, and how much may be sent in it."""

    quorum: PositiveInt | None = Field(default=None, description="Sites that must answer a round; all if left out.")
    round_deadline_seconds: PositiveFloat | None = Field(
        default=None, description="A round closes here once the quorum has answered; no deadline if left out."
    )
    message_limit_mib: Annotated[int, Field(ge=1, le=65536)] = 1024


class Security(Model):
    """How the parties know each other."""

    certificate_days: Annotated[int, Field(ge=1, le=825)] = 90


class Privacy(Model):
    """Privacy mechanisms. None is built in yet, and FedML's own are refused: they do nothing, or harm."""

    method: Literal["none"] = "none"


class Wandb(Model):
    """Weights & Biases. The key comes from WANDB_API_KEY on the operator's side, never from this file."""

    enabled: bool = False
    project: str = "federate"
    entity: str | None = None


class Tracking(Model):
    """Where metrics go besides the report."""

    wandb: Annotated[Wandb, BeforeValidator(lambda v: {"enabled": v} if isinstance(v, bool) else v)] = Wandb()


class Federation(Model):
    """A whole federation, as ``federation.yaml`` describes it."""

    name: Name
    region: Region
    single_account: bool = Field(default=False, description="Allow the aggregator and all sites in one AWS account.")
    aggregator: Aggregator
    participants: Annotated[tuple[Participant, ...], Field(min_length=1)]
    training: Training = Training()
    policy: Policy = Policy()
    security: Security = Security()
    privacy: Privacy = Privacy()
    tracking: Tracking = Tracking()
    images: dict[Region, ImageId] = Field(
        default_factory=dict, description="The pinned machine image of each Region, for nodes that name none."
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Tags put on every resource.")
    synthesizer: Literal["legacy", "default"] = Field(
        default="legacy", description="CDK stack synthesizer; legacy needs no bootstrap stack in any account."
    )
