"""CDK entry point: ``federation.yaml`` in, one template per stack and the deployment plan out.

The file is ``-c federation=PATH`` of the ``cdk`` command, or ``FEDERATE_FILE``, or ``federation.yaml``. Run by itself,
``python app.py`` writes to ``cdk.out``. Every node needs a machine image, unless ``FEDERATE_WITHOUT_IMAGES`` is set:
then the stacks are made to be looked at or deleted, and whoever deploys one names its image.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from infra.errors import FederateError
from infra.federation.load import load
from stacks.nodejs import use_pinned_node


def federation_file() -> Path:
    """Return the path of the federation; the ``cdk`` command hands its ``-c`` options over as JSON."""
    context = json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}"))
    return Path(context.get("federation") or os.environ.get("FEDERATE_FILE") or "federation.yaml")


def main() -> int:
    """Synthesise, and return the exit code."""
    try:
        loaded = load(federation_file(), without_images="FEDERATE_WITHOUT_IMAGES" in os.environ)
        for notice in loaded.notices:
            print(notice, file=sys.stderr)
        # CDK takes a second to import: only once the file is known to be good.
        use_pinned_node()
        from stacks.app import synthesize

        synthesize(loaded.federation, outdir=Path(os.environ.get("CDK_OUTDIR", "cdk.out")))
    except FederateError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
