# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bandwidth limits of a cgroup on a block device, version 1 (blkio) and 2 (io)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import RefusedError

_DEVICES = Path("/sys/dev/block")
_READ_V1, _WRITE_V1 = "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device"
_V2 = "io.max"


def device_of(path: Path) -> str:
    """Return the disk that a path is on, as ``major:minor``.

    Raises
    ------
    RefusedError
        If it is on no block device (a tmpfs, an overlay, a network file system).
    """
    number = path.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    folder = _DEVICES / device
    if not folder.exists():
        raise RefusedError(f"{path} is on no block device ({device}): there is no disk to slow")
    folder = folder.resolve()
    # The kernel limits whole disks only.
    if (folder / "partition").exists():
        device = (folder.parent / "dev").read_text(encoding="ascii").strip()
    return device


@dataclass(frozen=True)
class IoLimit:
    """The limit of the cgroup ``folder`` on one device."""

    version: int
    folder: Path
    device: str

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold it."""
        names = (_READ_V1, _WRITE_V1) if self.version == 1 else (_V2,)
        return tuple(self.folder / name for name in names)

    def lines(self) -> list[str]:
        """Return what they say of the device; nothing where it is not limited."""
        return [
            line
            for file in self.files
            for line in file.read_text(encoding="ascii").splitlines()
            if line.split()[0] == self.device
        ]

    def set(self, bytes_per_s: int) -> None:
        """Hold reads, and writes too, to a rate."""
        rate = "rbps={0} wbps={0}" if self.version == 2 else "{0}"
        for file in self.files:
            file.write_text(f"{self.device} {rate.format(bytes_per_s)}\n", encoding="ascii")

    def lift(self) -> None:
        """Take the limit away."""
        value = "rbps=max wbps=max" if self.version == 2 else "0"
        for file in self.files:
            file.write_text(f"{self.device} {value}\n", encoding="ascii")
