"""The Debian root below every node: which packages, and what of Debian a node in the twin does without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from infra.local.twin.machines import tools

SUITE = "bookworm"
#: The suite's own Python, which the wheels must fit.
PYTHON = (3, 11)
PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "dbus",
    "e2fsprogs",
    "faketime",
    "iproute2",
    "less",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-venv",
    "sudo",
    "systemd",
    "systemd-sysv",
    "util-linux",
)

#: Units for hardware, consoles and updates that a node in the twin does not have; and two of cloud-init's four stages
#: that have nothing to do here, each a quarter of a second of work: sources without a network, and packages.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "cloud-config.service",
    "cloud-init-hotplugd.socket",
    "cloud-init-local.service",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-networkd.service",
    "systemd-pstore.service",
    "systemd-resolved.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)

#: What cloud-init does of what it could: the host's keys, and every way in which user data may say something. Address,
#: names and disks are given from outside, and nothing is ever installed.
_CLOUD_INIT = """\
cloud_init_modules: [bootcmd, write-files, ssh]
cloud_config_modules: []
cloud_final_modules: [runcmd, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, final-message]
users: []
ssh_genkeytypes: [ed25519]
ssh_deletekeys: true
ssh: {emit_keys_to_console: false}
disable_root: true
locale: false
"""
_JOURNAL = "[Journal]\nStorage=persistent\nSystemMaxUse=64M\n"

#: Path in the root to content.
FILES: Mapping[str, str] = {
    "etc/cloud/cloud.cfg.d/90-federate-twin.cfg": _CLOUD_INIT,
    "etc/systemd/journald.conf.d/federate-twin.conf": _JOURNAL,
}

#: What each node makes for itself, or what nobody needs again.
_NOT_SHARED = (
    "etc/machine-id",
    "etc/ssh/ssh_host_*",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "var/log/*.log",
    "var/log/apt/*",
    "root/.cache",
    "tmp/*",
)


def make(root: Path) -> None:
    """Make the root in a folder that is not there yet, from Debian's own archive.

    Raises:
        ToolFailed: mmdebstrap says why.
    """
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    tools.run([*command, SUITE, root], doing=f"make a Debian {SUITE} root", timeout_seconds=1800)


def adapt(root: Path) -> None:
    """Take out of a root what a node in the twin does without."""
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def clean(root: Path) -> None:
    """Take out of a root what must not be the same on two nodes, host keys above all, and what only building needs."""
    tools.run(
        ["rm", "-rf", "--", *(path for pattern in _NOT_SHARED for path in sorted(root.glob(pattern)))],
        doing="clean the base root",
    )
    # Empty, not missing: a missing one means "first boot" to systemd, which then enables whatever a package presets.
    (root / "etc/machine-id").touch()
