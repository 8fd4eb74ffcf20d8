#!/bin/bash
# Makes this machine the source of Federate's machine image: run as root, from a checkout, on an instance that has the
# internet and no patient's data. The image is made from it afterwards; see docs/machine-image.md.
#   sudo node_bootstrap/image/install.sh [PYTHON]        PYTHON: 3.11 or newer; python3 if left out
# Without the internet: PIP_NO_INDEX=1 and PIP_FIND_LINKS=folder with wheels, which pip reads by itself.
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
install -m 0755 "$here"/federate-{bootstrap,state,failed} "$target/bin/"
install -m 0644 "$here"/federate-{state,agent}.service /etc/systemd/system/
install -D -m 0644 "$here/federate-sysctl.conf" /etc/sysctl.d/60-federate.conf # read at every boot

# Where there is an SSH server, it admits federate-operator alone, by keys that EC2 Instance Connect holds for a minute.
if [ -d /etc/ssh/sshd_config.d ]; then
    id federate-operator >/dev/null 2>&1 || useradd --create-home --shell /bin/bash federate-operator
    usermod --append --groups systemd-journal federate-operator # reads the log, which holds nobody's data
    keys_command=/usr/share/ec2-instance-connect/eic_run_authorized_keys
    keys_user=ec2-instance-connect
    keys_arguments="%u %f"
    if [ ! -x "$keys_command" ]; then
        keys_command=$target/bin/federate-ssh-keys
        keys_user=federate-ssh-keys
        keys_arguments="%u"
        install -m 0755 "$here/federate-ssh-keys" "$keys_command"
        id "$keys_user" >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$keys_user"
    fi
    # sshd takes the first value that it reads, and reads these files in the order of their names.
    {
        cat "$here/federate-sshd.conf"
        echo "AuthorizedKeysCommand $keys_command $keys_arguments"
        echo "AuthorizedKeysCommandUser $keys_user"
    } > /etc/ssh/sshd_config.d/00-federate.conf
    if [ -d /etc/sudoers.d ]; then
        install -m 0440 "$here/federate-operator.sudoers" /etc/sudoers.d/federate-operator
    fi
fi

"$target/venv/bin/python" - <<'PYTHON' > "$target/image.json"
import importlib.metadata as installed
import json
import os
import platform

packages = ("federate", "fedml", "torch", "boto3")
marker = {"python": platform.python_version(), **{name: installed.version(name) for name in packages}}
if source := os.environ.get("FEDERATE_SOURCE_DIGEST"):
    marker["source"] = source
print(json.dumps(marker))
PYTHON
echo "Installed: $(cat "$target/image.json")"
