#!/bin/bash
# Makes this machine the source of Federate's machine image: run as root, from a checkout, on an instance that has the
# internet and no patient's data. The image is made from it afterwards; see docs/machine-image.md.
#   sudo node_bootstrap/image/install.sh [PYTHON]        PYTHON: 3.11 or newer; python3 if left out
set -euo pipefail

python=${1:-python3}
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
target=/opt/federate

[ "$(id -u)" = 0 ] || { echo "install.sh must run as root." >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Federate needs Python 3.11 or newer; $python is $("$python" --version). Name another: install.sh python3.12" >&2
    exit 1
}

id federate >/dev/null 2>&1 || useradd --system --home-dir /var/lib/federate --shell /usr/sbin/nologin federate
install -d -m 0755 "$target" "$target/bin"
"$python" -m venv "$target/venv"
pip=("$target/venv/bin/python" -m pip --disable-pip-version-check install --quiet -c "$checkout/constraints.txt")
# torch first, so that nothing brings another build of it; fedml last and without its dependencies (docs/decisions/0001).
"${pip[@]}" setuptools wheel
"${pip[@]}" torch
"${pip[@]}" "${checkout}[node]"
"${pip[@]}" --no-deps fedml
install -m 0755 "$here/federate-bootstrap" "$target/bin/federate-bootstrap"
install -m 0644 "$here/federate-agent.service" /etc/systemd/system/federate-agent.service
"$target/venv/bin/python" - <<'PYTHON' > "$target/image.json"
import importlib.metadata as installed
import json
import platform

packages = ("federate", "fedml", "torch", "boto3")
print(json.dumps({"python": platform.python_version(), **{name: installed.version(name) for name in packages}}))
PYTHON
echo "Installed: $(cat "$target/image.json")"
