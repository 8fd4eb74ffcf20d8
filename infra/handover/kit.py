"""The startup kit: all that a hospital's admin needs to take part, and nothing of anybody else's.

A kit is a function of the federation, the release and the hub's identifiers: the same make the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from infra.errors import FederateError
from infra.federation.derive import Node, nodes
from infra.federation.model import Federation
from infra.federation.run_config import run_files
from infra.handover.readme import readme
from infra.handover.summary import summary
from infra.nodes.release import Release
from node_bootstrap import contract
from node_bootstrap.contract import Manifest, release_key
from stacks.plan import DeploymentPlan, FromOutput, ManagedPrefixList, StackPlan

FORMAT = "federate-kit/1"
MANIFEST = "MANIFEST.sha256"
#: What CloudFormation takes in a call; a larger template would have to lie in a bucket.
_TEMPLATE_BYTES = 51_200
#: What CDK's default synthesizer adds for its bootstrap stack, which plain CloudFormation does not need.
_OF_BOOTSTRAP = (("Parameters", "BootstrapVersion"), ("Rules", "CheckBootstrapVersion"))
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SCRIPT = Path(__file__).parent / "site.py"

#: Path in the kit, with slashes, to content.
Files = dict[str, bytes]


class NotExported(FederateError):
    """A kit cannot be made."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Kit:
    """A startup kit: its files, and the SHA-256 of their list, by which it is known."""

    name: str
    files: Files
    digest: str

    def write(self, path: Path) -> Path:
        """Write the kit into a folder, or a zip where the path ends so; return where.

        In a folder with an earlier kit of the same site, what that kit listed goes first; what its admin added stays.

        Raises:
            NotExported: something else is there, another site's kit included; or it cannot be written.
        """
        try:
            if path.suffix == ".zip":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self._packed())
                return path
            self._clear(path)
            for name, content in self.files.items():
                target = path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        except OSError as error:
            raise NotExported(f"{path} cannot be written: {error.strerror}.", remedy="Name another: -o.") from None
        return path

    def _clear(self, folder: Path) -> None:
        """Delete the files of an earlier kit: another release's, or a stack's that there is no more."""
        if not folder.exists() or not any(folder.iterdir()):
            return
        if not (folder / MANIFEST).is_file():
            raise NotExported(f"{folder} is there, and is no startup kit.", remedy="Name another with --output.")
        if _title(folder / "kit.json") != _title_of(self.files["kit.json"]):
            raise NotExported(
                f"{folder} is the startup kit of another site.",
                remedy="Each site has a folder of its own: name another with --output.",
            )
        for line in (folder / MANIFEST).read_text("utf-8", errors="replace").splitlines():
            name = line.partition("  ")[2]
            listed = (folder / name).resolve()
            if name not in self.files and listed.is_file() and listed.is_relative_to(folder.resolve()):
                listed.unlink()

    def _packed(self) -> bytes:
        packed = io.BytesIO()
        with ZipFile(packed, "w", ZIP_DEFLATED) as zipped:
            for name, content in self.files.items():
                info = ZipInfo(f"{self.name}/{name}", _EPOCH)
                info.compress_type, info.external_attr, info.create_system = ZIP_DEFLATED, 0o644 << 16, 3
                zipped.writestr(info, content)
        return packed.getvalue()


def make(
    federation: Federation,
    node: Node,
    plan: DeploymentPlan,
    *,
    template_of: Callable[[StackPlan], str],
    value_of: Callable[[FromOutput], str],
    release: Release,
) -> Kit:
    """Make the kit of a site.

    Args:
        federation: whose site it is.
        node: the site.
        plan: the federation's.
        template_of: the text of a stack's template.
        value_of: the value of an output of the hub's stacks.
        release: what the node is to run.

    Raises:
        NotExported: a template is too large, or the plan wires the site to what it may not know.
    """
    own = [stack for stack in plan.stacks if stack.node == node.id]
    templates = {stack.id: _plain(stack, template_of(stack)) for stack in own}
    stacks = [_stack(stack, templates[stack.id], plan, value_of) for stack in own]
    run = Manifest(release=release.digest, files=run_files(federation, node)).text().encode()
    document = {
        "format": FORMAT,
        **{"federation": federation.name, "site": node.id, "account": node.account, "region": node.region},
        "parameter_prefix": node.parameter_prefix,
        "stacks": stacks,
        "bucket": _bucket(own),
        "data": f"{node.bucket_prefix}{contract.DATA_PREFIX}",
        "release": {
            "sha256": release.digest,
            "file": f"release/{release.digest}.zip",
            "key": f"{node.bucket_prefix}{release_key(release.digest)}",
        },
        "run": {"file": "run/manifest.json", "key": f"{node.bucket_prefix}{contract.MANIFEST_KEY}"},
        "log_groups": [node.log_group, node.flow_log_group],
        "hand_over": {name: _output(plan, source) for name, source in crossing(plan, node.id).items()},
    }
    title = f"Startup kit of {node.id} for the federation {federation.name}: account {node.account}, {node.region}"
    files = {
        "SUMMARY.md": summary(
            title, node.account, {stack.name: json.loads(templates[stack.id]) for stack in own}
        ).encode(),
        "kit.json": _json(document),
        "release/" + f"{release.digest}.zip": release.path.read_bytes(),
        "run/manifest.json": run,
        "site.py": _SCRIPT.read_bytes(),
        **{f"templates/{id_}.template.json": text.encode() for id_, text in templates.items()},
    }
    files["README.md"] = readme(document, nodes(federation)[0].account).encode()
    listed = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()
    ordered = {name: files[name] for name in sorted(files)}
    return Kit(f"{federation.name}-{node.id}", {**ordered, MANIFEST: listed}, hashlib.sha256(listed).hexdigest())


def crossing(plan: DeploymentPlan, site: str) -> dict[str, FromOutput]:
    """Return what the hub's link to a site needs of the site: the link's parameter to the output that gives it."""
    own = {stack.id for stack in plan.stacks if stack.node == site}
    (link,) = (stack for stack in plan.stacks if stack.id == f"HubLink-{site}")
    return {
        name: source
        for name, source in sorted(link.parameters.items())
        if isinstance(source, FromOutput) and source.stack in own
    }


def _title(file: Path) -> tuple[Any, ...]:
    """Return whose kit a file is of; nobody's if it cannot be read."""
    try:
        return _title_of(file.read_bytes())
    except OSError:
        return ()


def _title_of(document: bytes) -> tuple[Any, ...]:
    try:
        found = json.loads(document)
        return (found["federation"], found["site"])
    except (ValueError, KeyError, TypeError):
        return ()


def _plain(stack: StackPlan, text: str) -> str:
    """Return a template as plain CloudFormation takes it, without CDK's bootstrap stack."""
    template = json.loads(text)
    for section, name in _OF_BOOTSTRAP:
        template.get(section, {}).pop(name, None)
        if not template.get(section, True):
            del template[section]
    size = len(json.dumps(template, separators=(",", ":")).encode())
    if size > _TEMPLATE_BYTES:
        raise NotExported(
            f"The template of {stack.name} has {size} bytes; CloudFormation takes {_TEMPLATE_BYTES} in a call.",
            remedy="Fewer tags make it smaller; or deploy with CDK: docs/deploy-by-hand.md.",
        )
    return json.dumps(template, indent=1) + "\n"


def _stack(
    stack: StackPlan, template: str, plan: DeploymentPlan, value_of: Callable[[FromOutput], str]
) -> dict[str, Any]:
    of_node = {other.id: other.node for other in plan.stacks}
    parameters: dict[str, dict[str, str]] = {}
    for name, source in sorted(stack.parameters.items()):
        if isinstance(source, ManagedPrefixList):
            parameters[name] = {"managed_prefix_list": f"com.amazonaws.{stack.region}.{source.service}"}
        elif of_node[source.stack] == stack.node:
            parameters[name] = _output(plan, source)
        else:
            parameters[name] = {"value": value_of(source)}
    resources: Mapping[str, Any] = json.loads(template)["Resources"]
    return {
        "name": stack.name,
        "template": f"templates/{stack.id}.template.json",
        "parameters": parameters,
        "retained": list(stack.retained),
        "key": "KeyArn" if "KeyArn" in stack.outputs else "",
        "vpc": "VpcId" if "VpcId" in stack.outputs else "",
        "buckets": [name for name, one in resources.items() if one["Type"] == "AWS::S3::Bucket"],
        "is_node": any(one["Type"] == "AWS::EC2::Instance" for one in resources.values()),
    }


def _output(plan: DeploymentPlan, source: FromOutput) -> dict[str, str]:
    name = next(stack.name for stack in plan.stacks if stack.id == source.stack)
    return {"name": name, "output": source.output}


def _bucket(own: list[StackPlan]) -> dict[str, str]:
    holder = next(stack for stack in own if "BucketName" in stack.outputs)
    return {"name": holder.name, "output": "BucketName"}


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()
