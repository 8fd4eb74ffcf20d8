"""Fill a disk and free it again: ``python filled_disk.py tmpfs|ext4 FOLDER`` in a mount namespace of its own.

Prints, as JSON, whether a byte could be written before, while and after, and how large the image of the disk was while
it was full (0 for tmpfs, which has none).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from fake_ground import FakeGround, FakeLinks  # noqa: E402

from infra.local.twin.faults import Faults  # noqa: E402


def can_write(disk: Path) -> bool:
    """Say whether a new file of 8 KiB can be written."""
    path = disk / "probe"
    try:
        path.write_bytes(bytes(8192))
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)
    return True


def main(kind: str, folder: Path) -> None:
    """Mount, fill, free."""
    disk, image = folder / "disk", folder / "image"
    disk.mkdir()
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
    else:
        subprocess.run(["truncate", "-s", "4G", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        faults = Faults(FakeGround(disks={"hospital-a": disk}), folder / "faults.json", FakeLinks())
        found = {"before": can_write(disk)}
        fault = faults.add("fill-disk", "hospital-a")
        found["filled"] = can_write(disk)
        size = image.stat().st_blocks * 512 if image.exists() else 0
        faults.clear(getattr(fault, "id", ""))
        found["freed"] = can_write(disk)
        print(json.dumps({**found, "image_bytes": size, "left": [path.name for path in disk.glob(".fed*")]}))
    finally:
        subprocess.run(["umount", disk], check=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
