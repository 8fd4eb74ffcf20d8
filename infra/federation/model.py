"""The model of ``federation.yaml``: one aggregator and N participants, each in an AWS account of its own.

Values are checked here for their own form; how they fit together is checked in :mod:`infra.federation.checks`.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints

from infra.federation.values import (
    AccountId,
    AvailabilityZone,
    BucketName,
    Cidr,
    Deadline,
    Email,
    Flag,
    ImageId,
    KeyArn,
    KeyPrefix,
    Name,
    PolicyReference,
    PositiveFloat,
    PositiveInt,
    Profile,
    Region,
    TagKey,
    TagValue,
    TopicArn,
    Whole,
    not_a_flag,
)

#: Stands for the profile of an account that nobody here has credentials of. No profile may have this name, so that what
#: would use it all the same finds no profile, rather than somebody else's.
NO_PROFILE = "operated-by-its-site"


class Model(BaseModel):
    """Base: frozen, and a key that is not known is an error rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _plugin(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Plugin(Model):
    """A data set, model or aggregation by entry-point name, with its options. A bare string is the name."""

    name: Annotated[str, Field(min_length=1)] = Field(description="The entry point's name.")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="Passed to the plug-in as they are.")


PluginRef = Annotated[Plugin, BeforeValidator(_plugin, json_schema_input_type=str | Plugin)]


class Account(Model):
    """An AWS account that takes part, and the hardware of its node. Common to the aggregator and the participants."""

    account: AccountId = Field(
        description="The 12-digit AWS account id, in quotes: YAML reads 012345670123 as an octal number.",
        examples=["111111111111"],
    )
    profile: Profile = Field(description="The AWS profile with credentials for this account.", examples=["hospital-a"])
    region: Region | None = Field(
        default=None, description="The node's Region; the federation's if left out.", examples=["eu-central-1"]
    )
    cidr: Cidr = Field(
        description="The VPC's range: private (RFC 1918), /16 to /26, overlapping no other account's.",
        examples=["10.10.0.0/16"],
    )
    availability_zone: AvailabilityZone = Field(
        default="a", description="The zone's letter (a) or full name (us-east-1a).", examples=["a", "us-east-1a"]
    )
    instance_type: str = Field(default="g4dn.xlarge", description="The node's EC2 instance type.")
    image: ImageId | None = Field(
        default=None,
        description="The node's machine image; the one of `images` for its Region if left out.",
        examples=["ami-0123456789abcdef0"],
    )
    volume_gib: Annotated[Whole, Field(ge=30, le=16384)] = Field(
        default=100, description="Size of the node's encrypted root volume, GiB."
    )
    spot: Flag = Field(default=False, description="Use spot capacity: cheaper, and AWS may take the node back.")
    gpu_mapping: tuple[Annotated[Whole, Field(ge=0)], ...] | None = Field(
        default=None,
        description="FedML's gpu_mapping: worker processes on GPU 0, 1, … A node runs one; [] is the CPU. "
        "If left out GPU 0, or the CPU where the instance type has no GPU.",
        examples=[[1], [0, 1], []],
    )
    internet: Literal["none", "nat"] = Field(
        default="none",
        description="Whether the node may dial HTTPS on the internet. none: only its account's own services, through "
        "VPC endpoints; nat: through a NAT gateway, which AWS charges by the hour and by the GiB (`federate cost`).",
    )
    permissions_boundary: PolicyReference | None = Field(
        default=None,
        description="A managed policy of this account that bounds every role made in it: its name or ARN.",
        examples=["hospital-boundary", "arn:aws:iam::111111111111:policy/hospital-boundary"],
    )
    on_destroy: Literal["retain", "delete"] = Field(
        default="retain",
        description="What `destroy` does with this account's bucket, state volume and log, and with the key that they "
        "are encrypted by.",
    )
    bucket: BucketName | None = Field(
        default=None,
        description="An existing bucket of this account and Region for what the node reads and writes; one is made if "
        "left out. Its policy and settings are left as they are, and `destroy` never touches it.",
        examples=["hospital-a-research"],
    )
    bucket_prefix: KeyPrefix | None = Field(
        default=None,
        description="Where in the existing bucket the node's `data/`, `run/`, `releases/` and `results/` are; it may "
        "touch nothing else there. At the top if left out.",
        examples=["federate/"],
    )
    kms_key: KeyArn | None = Field(
        default=None,
        description="An existing KMS key of this account and Region that encrypts what the node keeps; one is made if "
        "left out.",
        examples=["arn:aws:kms:us-east-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef"],
    )
    alarm_topic: TopicArn | None = Field(
        default=None,
        description="An SNS topic that this account has already, for the node's alarms; one is made if left out.",
        examples=["arn:aws:sns:us-east-1:111111111111:on-call"],
    )
    alarm_email: Email | None = Field(
        default=None,
        description="Who is told of alarms by mail, once they have confirmed it; for the topic that is made.",
        examples=["it-operations@hospital-a.example"],
    )


class Aggregator(Account):
    """The coordinator's account: the hub that every site's node connects to."""

    port: Annotated[Whole, Field(ge=1024, le=65535)] = Field(
        default=8890, description="The one TCP port that sites reach."
    )
    on_destroy: Literal["retain", "delete"] = Field(
        default="delete",
        description="What `destroy` does with this account's bucket, state volume and log, and with the key that they "
        "are encrypted by.",
    )


class DataLocation(Model):
    """What a participant contributes, and where it lies before it is put into the account's own bucket."""

    source: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Folder on the operator's side to upload from, seen from this file's; for eICU it is dealt if "
        "left out.",
        examples=["data/hospital-a"],
    )
    hospitals: tuple[PositiveInt, ...] | None = Field(
        default=None,
        description="eICU hospitalids of this site; dealt by seed over the sites that name none if left out.",
        examples=[[73, 167, 420]],
    )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class Participant(Account):
    """A hospital or group of hospitals: one site of the federation."""

    id: Name = Field(
        description="The site's name, in stacks, roles, certificates and reports.", examples=["hospital-a"]
    )
    operated_by: Literal["coordinator", "site"] = Field(
        default="coordinator",
        description="Who has credentials of this account: coordinator, by `profile`; or site: nobody here, its own "
        "admin deploys and operates it with a startup kit (`federate export`).",
    )
    profile: Profile = Field(
        default=NO_PROFILE,
        description="The AWS profile with credentials for this account. Required unless `operated_by: site`.",
        examples=["hospital-a"],
        json_schema_extra=_without_default,
    )
    data: DataLocation = Field(default=DataLocation(), description="What the site contributes.")


class EarlyStopping(Model):
    """When training ends before its last round. The metric is the federation's, on the sites' held-out data."""

    metric: Literal["test_loss", "auroc", "auprc"] = Field(description="What has to get better.")
    patience: PositiveInt = Field(description="Rounds without improvement after which training ends.", examples=[10])
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(not_a_flag)] = Field(
        default=0.0, description="What counts as an improvement, in the metric's unit.", examples=[0.001]
    )


class Training(Model):
    """What is trained, and how."""

    dataset: PluginRef = Field(default=Plugin(name="eicu"), description="Entry point of group federate.datasets.")
    model: PluginRef = Field(
        default=Plugin(name="logistic_regression"), description="Entry point of group federate.models."
    )
    aggregation: PluginRef = Field(
        default=Plugin(name="fedavg"), description="Entry point of group federate.aggregations."
    )
    optimizer: Literal["sgd", "adam", "adamw"] = Field(default="adam", description="A site's local optimizer.")
    rounds: PositiveInt = Field(default=50, description="Rounds of federated training.")
    epochs: PositiveInt = Field(default=1, description="Passes over a site's data in each round.")
    batch_size: PositiveInt = Field(default=32, description="Rows per step.")
    learning_rate: PositiveFloat = Field(default=0.001, description="Step size of the local optimizer.")
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(not_a_flag)] = Field(
        default=0.0, description="L2 penalty of the local optimizer."
    )
    class_weights: Literal["balanced", "none"] = Field(
        default="balanced", description="balanced: each site weighs its classes inversely to their frequency."
    )
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = Field(
        default=0, description="Two runs with one seed give the same model."
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="End before the last round when a metric gets no better; never if left out."
    )


def _selection(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


class Selection(Model):
    """Which sites are asked in a round. A bare string is the method."""

    method: Literal["all", "fraction", "data_size"] = Field(
        default="all",
        description="all; fraction: drawn by seed, each as likely as another; data_size: in proportion to its samples.",
    )
    fraction: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), BeforeValidator(not_a_flag)] = Field(
        default=1.0, description="How many of the sites are asked, as a part of all, rounded up.", examples=[0.5]
    )


class Policy(Model):
    """Who is asked in a round, when it closes, what is kept, and how much may be sent in it."""

    quorum: PositiveInt | None = Field(
        default=None, description="Sites that must answer a round; all that are asked if left out.", examples=[2]
    )
    round_deadline_seconds: Deadline = Field(
        default="adaptive",
        description="A round closes here once the quorum has answered. adaptive: three times what the slowest site "
        "usually takes, 5 s to 1 h; none: a round waits for all that are asked.",
        examples=["adaptive", 600],
    )
    selection: Annotated[Selection, BeforeValidator(_selection, json_schema_input_type=str | Selection)] = Field(
        default=Selection(), description="Which sites are asked in a round; all if left out."
    )
    checkpoints_kept: Annotated[Whole, Field(ge=1, le=100)] = Field(
        default=3, description="How many of the newest checkpoints the aggregator keeps; one a round is made."
    )
    message_limit_mib: Annotated[Whole, Field(ge=1, le=65536)] = Field(
        default=1024, description="Largest message between a site and the aggregator, MiB."
    )
    compression: Literal["none", "bfloat16", "float16", "zstd"] = Field(
        default="none",
        description="How messages are made smaller: bfloat16 and float16 halve what a site sends, with error feedback; "
        "zstd packs both directions, exactly.",
    )


class Security(Model):
    """How the parties know each other."""

    certificate_days: Annotated[Whole, Field(ge=1, le=825)] = Field(
        default=90, description="Lifetime of a node's certificate, days."
    )


class Monitoring(Model):
    """Alarms and a dashboard in each account, of its own node alone. Whom they tell is each account's to say."""

    enabled: Flag = Field(default=True, description="Make them.")
    stalled_minutes: Annotated[Whole, Field(ge=1, le=10080)] = Field(
        default=60, description="In the middle of a run, how long there may be no new round."
    )
    disk_percent: Annotated[Whole, Field(ge=50, le=99)] = Field(
        default=85, description="How full a disk may get, percent."
    )
    certificate_days: Annotated[Whole, Field(ge=1, le=365)] | None = Field(
        default=None,
        description="How many days before a node's certificate expires; a sixth of its lifetime if left out.",
        examples=[14],
    )


def _monitoring(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value


class Privacy(Model):
    """Privacy mechanisms. None is built in yet, and FedML's own are refused: they do nothing, or harm."""

    method: Literal["none"] = Field(default="none", description="The mechanism.")


class Wandb(Model):
    """Weights & Biases. The key comes from WANDB_API_KEY on the operator's side, never from this file."""

    enabled: Flag = Field(default=False, description="Record the run for Weights & Biases.")
    project: Annotated[str, Field(min_length=1)] = Field(default="federate", description="The project's name.")
    entity: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="The user or team; the key's own if left out.", examples=["my-team"]
    )


def _wandb(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value


class Tracking(Model):
    """Where metrics go besides the report."""

    wandb: Annotated[Wandb, BeforeValidator(_wandb, json_schema_input_type=bool | Wandb)] = Field(
        default=Wandb(), description="Weights & Biases: true, false or a section."
    )


class ImagePipeline(Model):
    """An EC2 Image Builder pipeline in the aggregator's account, for every kind of image that the nodes need."""

    cidr: Cidr = Field(
        default=IPv4Network("10.255.0.0/24"),
        description="Range of the VPC in which images are built; it is connected to no other, and may overlap them.",
    )


def _image_pipeline(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    return value


class Federation(Model):
    """A whole federation, as ``federation.yaml`` describes it."""

    name: Name = Field(description="The federation's name; every resource carries it.", examples=["eicu"])
    region: Region = Field(description="The Region of all nodes that name none.", examples=["us-east-1"])
    single_account: Flag = Field(
        default=False, description="Allow the aggregator and sites to share an AWS account: to try out, not to protect."
    )
    aggregator: Aggregator = Field(description="The coordinator's account.")
    participants: Annotated[tuple[Participant, ...], Field(min_length=1)] = Field(
        description="The hospitals' accounts, one block each."
    )
    training: Training = Field(default=Training(), description="What is trained, and how.")
    policy: Policy = Field(default=Policy(), description="Who is asked in a round, and when it closes.")
    security: Security = Field(default=Security(), description="How the parties know each other.")
    monitoring: Annotated[Monitoring, BeforeValidator(_monitoring, json_schema_input_type=bool | Monitoring)] = Field(
        default=Monitoring(), description="Alarms and dashboards: true, false or a section."
    )
    privacy: Privacy = Field(default=Privacy(), description="Privacy mechanisms.")
    tracking: Tracking = Field(default=Tracking(), description="Where metrics go besides the report.")
    images: dict[Region, ImageId] = Field(
        default_factory=dict,
        description="The pinned machine image of each Region, for nodes that name none; it goes before the one of "
        "images.lock.json.",
        examples=[{"us-east-1": "ami-0123456789abcdef0"}],
    )
    image_pipeline: Annotated[
        ImagePipeline | None, BeforeValidator(_image_pipeline, json_schema_input_type=bool | ImagePipeline | None)
    ] = Field(
        default=None,
        description="Make machine images with EC2 Image Builder (true, or a section); nodes get those of "
        "images.lock.json.",
    )
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=40)] = Field(
        default_factory=dict, description="Tags put on every resource.", examples=[{"cost-centre": "4711"}]
    )
    synthesizer: Literal["legacy", "default"] = Field(
        default="legacy",
        description="CDK stack synthesizer: legacy needs no bootstrap stack in any account; default uses the "
        "organisation's.",
    )
    bootstrap_qualifier: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,10}$")] | None = Field(
        default=None,
        description="The qualifier of the organisation's bootstrap stacks, where it is not CDK's own; for "
        "`synthesizer: default`.",
        examples=["hospital1"],
    )
