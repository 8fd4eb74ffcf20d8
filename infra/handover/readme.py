"""README.md of a startup kit: what its reader has in hand, and the commands in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PAGE = """\
# {site} joins the federation {federation}

For whoever administers account {account}. Everything is deployed by you, with your credentials, into {region} of that
account. Nobody else gets a role, a user or a key in it. What the templates create and allow is in `SUMMARY.md`, which
was written from the templates; the templates are in `templates/`.

You need Python 3.9 or newer with boto3 and credentials of the account; AWS CloudShell has all three.

## Before: is this the kit that was meant for you?

```sh
sha256sum MANIFEST.sha256      # ask the coordinator on the phone: it must be the number that `federate export` printed
sha256sum -c MANIFEST.sha256   # every other file is as this one says
```

## The two commands

```sh
python3 site.py deploy                     # 1. deploys, and writes handover.json: send it to the coordinator
python3 site.py admit certificate.json     # 2. with the coordinator's answer
```

The first asks you to approve the release that the node will run, by its SHA-256 (`--approve` in a script):

    {release}

It is the file in `release/`: Python wheels, which you may unpack and read. The node runs no other; a new release is a
new kit, and your approval anew. Nothing in `handover.json` and `certificate.json` is secret.

## Your data

You alone bring it, into your own bucket; the node reads it from there, and it does not leave the account.

```sh
aws s3 sync FOLDER s3://BUCKET/{data} --region {region}
```

BUCKET is the output {bucket_output} of the stack {bucket_stack} (`python3 site.py deploy` names it).

## Taking part, and leaving

```sh
python3 site.py start      # the node waits for the coordinator's rounds and takes part
python3 site.py status
python3 site.py stop       # in order; the next start goes on from there
python3 site.py replace    # makes the node anew, from the image of the kit; its keys and checkpoints stay
python3 site.py rotate     # a new key for the node, while it runs; writes handover.json anew
python3 site.py destroy    # leaves; what SUMMARY.md says stays is yours to keep or delete
```

A new kit (another release or run configuration) replaces this folder: `python3 site.py deploy` updates, then `stop` and
`start`. A running node keeps its machine image until `replace`.

## The same without site.py

`deploy` is this, one stack after the other, and nothing more than the uploads and parameters below it:

```sh
{commands}
aws s3 cp {release_file} s3://BUCKET/{release_key} --region {region}
aws s3 cp {run_file} s3://BUCKET/{run_key} --region {region}
aws ssm put-parameter --region {region} --type String --overwrite --name {prefix}/approved-release \\
    --value {release}
```

The script also takes the rules out of the VPC's default security group, in which nothing is, and takes over log groups
that were kept from an earlier deployment (a change set with `--import-existing-resources`).

`PREFIX_LIST` is the id of AWS's list of S3's addresses in the Region:

```sh
aws ec2 describe-managed-prefix-lists --region {region} --query 'PrefixLists[0].PrefixListId' --output text \\
    --filters Name=prefix-list-name,Values=com.amazonaws.{region}.s3
```

The coordinator then needs {hand_over}, and the node's signing request, the parameter `{prefix}/csr`. The answer's
`authority` and `certificate` go into the parameters `{prefix}/authority` and `{prefix}/certificate`.

## What your credentials must be allowed to do

CloudFormation on the stacks above; what the templates create in EC2, S3, KMS, CloudWatch and IAM; `ssm:PutParameter`,
`ssm:GetParametersByPath` and `ssm:DeleteParameter` on `{prefix}/*`; `s3:PutObject` in the bucket; and
`sts:AssumeRole` on the role of account {hub} that accepts your peering request, and can do nothing else.
"""


def readme(kit: Mapping[str, Any], hub_account: str) -> str:
    """Return the page.

    Args:
        kit: the kit's own description, as it stands in ``kit.json``.
        hub_account: the aggregator's account.
    """
    return _PAGE.format(
        **{key: kit[key] for key in ("site", "federation", "account", "region")},
        prefix=kit["parameter_prefix"],
        release=kit["release"]["sha256"],
        release_file=kit["release"]["file"],
        release_key=kit["release"]["key"],
        run_file=kit["run"]["file"],
        run_key=kit["run"]["key"],
        data=kit["data"],
        bucket_output=kit["bucket"]["output"],
        bucket_stack=kit["bucket"]["name"],
        commands="\n".join(_command(stack, kit["region"]) for stack in kit["stacks"]),
        hand_over=" and ".join(f"{one['output']} of {one['name']}" for one in kit["hand_over"].values()),
        hub=hub_account,
    )


def _command(stack: Mapping[str, Any], region: str) -> str:
    values = [f"{name}={_value(source)}" for name, source in stack["parameters"].items()]
    overrides = f" \\\n    --parameter-overrides {' '.join(values)}" if values else ""
    return (
        f"aws cloudformation deploy --region {region} --stack-name {stack['name']} \\\n"
        f"    --template-file {stack['template']} --capabilities CAPABILITY_NAMED_IAM{overrides}"
    )


def _value(source: Mapping[str, str]) -> str:
    if "value" in source:
        return source["value"]
    return "PREFIX_LIST" if "managed_prefix_list" in source else f"OUTPUT_{source['output']}_OF_{source['name']}"
