# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's NVIDIA GPUs, as ``nvidia-smi`` tells of them and changes them.

What is asked for has been there since driver 470. A GPU is named by its UUID: its index may be
another one after a restart. What ``nvidia-smi`` can't tell (``[N/A]``, ``[Unknown Error]``) is
None.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import programs

PROGRAM = "nvidia-smi"
# Why a clock is lower than it might be (nvml.h, nvmlClocksEventReason*).
IDLE, CLOCK_SETTING, POWER_CAP = 0x1, 0x2, 0x4
_REASONS = {
    IDLE: "idle",
    CLOCK_SETTING: "a clock setting",
    POWER_CAP: "the power limit",
    0x8: "a hardware slowdown",
    0x10: "a sync boost group",
    0x20: "the temperature (software)",
    0x40: "the temperature (hardware)",
    0x80: "the power brake",
    0x100: "a display",
}
# Less than what a runner's lease lasts: a program that hangs is ended by its own runner.
_TIMEOUT_S = 3.0
_NO_PERMISSION = 4
_CAP_SYS_ADMIN = 21
_UUID = re.compile(r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNSUPPORTED = "not supported"
# Attribute of a `Look` -> field of ``nvidia-smi``, and how it is read.
_FIELDS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "index": ("index", int),
    "persistence": ("persistence_mode", str),
    "mig": ("mig.mode.current", str),
    "compute_mode": ("compute_mode", str),
    "utilisation_percent": ("utilization.gpu", float),
    "sm_clock_mhz": ("clocks.sm", float),
    "max_sm_clock_mhz": ("clocks.max.sm", float),
    "power_w": ("power.draw", float),
    "power_limit": ("power.limit", str),
    "enforced_limit_w": ("enforced.power.limit", float),
    "least_limit_w": ("power.min_limit", float),
    "most_limit_w": ("power.max_limit", float),
    "memory_mib": ("memory.total", float),
    "free_mib": ("memory.free", float),
    # Its newer name, clocks_event_reasons.active, is not known to drivers before 535.
    "reasons": ("clocks_throttle_reasons.active", lambda text: int(text, 16)),
}
_NEEDED = ("index", "reasons")


class UnsupportedError(OSError):
    """The GPU has no such setting."""


@dataclass(frozen=True)
class Look:
    """One look at a GPU; None for what it does not tell.

    Attributes
    ----------
    utilisation_percent
        Share of the last second, or a part of it, in which a kernel ran.
    power_limit
        As it was printed, in watts, so that the very same can be set again.
    reasons
        Why the clock is lower than it might be, as bits; see `name_reasons`.
    """

    index: int
    persistence: str | None
    mig: str | None
    compute_mode: str | None
    utilisation_percent: float | None
    sm_clock_mhz: float | None
    max_sm_clock_mhz: float | None
    power_w: float | None
    power_limit: str | None
    enforced_limit_w: float | None
    least_limit_w: float | None
    most_limit_w: float | None
    memory_mib: float | None
    free_mib: float | None
    reasons: int

    @property
    def is_busy(self) -> bool:
        """Whether a kernel has just run, so that clock and power are those under load."""
        return bool(self.utilisation_percent) and not self.reasons & IDLE


@dataclass(frozen=True)
class Gpu:
    """One GPU of this machine, by its UUID."""

    uuid: str

    def __post_init__(self) -> None:
        if not _UUID.fullmatch(self.uuid):
            raise ValueError(f"{self.uuid!r} is no GPU's UUID")

    def is_there(self) -> bool:
        """Say whether the machine has it."""
        return self.uuid in run("--query-gpu=uuid", "--format=csv,noheader").split()

    def look(self) -> Look:
        """Look at it.

        Raises
        ------
        OSError
            If ``nvidia-smi`` is missing, fails, hangs or tells something else; so for every call.
        """
        asked = ",".join(field for field, _read in _FIELDS.values())
        text = run("-i", self.uuid, f"--query-gpu={asked}", "--format=csv,noheader,nounits")
        try:
            return Look(**dict(_values(text)))
        except (TypeError, ValueError) as error:
            raise OSError(f"{PROGRAM} tells of {self.uuid} {text.strip()!r}: {error}") from error

    def processes(self) -> dict[int, float | None]:
        """Return the processes that compute on it, and how many MiB of its memory each holds."""
        asked = "--query-compute-apps=pid,used_gpu_memory"
        text = run("-i", self.uuid, asked, "--format=csv,noheader,nounits")
        found: dict[int, float | None] = {}
        for line in filter(str.strip, text.splitlines()):
            pid, _comma, held = line.partition(",")
            try:
                found[int(pid)] = float(held) if _is_told(held.strip()) else None
            except ValueError as error:
                raise OSError(f"{PROGRAM} tells of a process {line!r}") from error
        return found

    def set_power_limit(self, watts: str, environment: Mapping[str, str] | None = None) -> None:
        """Set how much power it may draw."""
        self._change("-pl", watts, environment=environment)

    def lock_clock(self, mhz: int, environment: Mapping[str, str] | None = None) -> None:
        """Lock its clock at a frequency, or the nearest that it has."""
        self._change("-lgc", f"{mhz},{mhz}", environment=environment)

    def unlock_clock(self) -> None:
        """Let its clock go as it would by itself."""
        self._change("-rgc")

    def _change(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        said = run("-i", self.uuid, *arguments, environment=environment)
        # It is said as a warning, with the exit code 0.
        if _UNSUPPORTED in said:
            raise UnsupportedError(f"{PROGRAM} {' '.join(arguments)}: {_one_line(said)}")


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run ``nvidia-smi``, with some more environment, and return what it printed.

    Raises
    ------
    OSError
        If it is missing, fails or hangs; the text has what it said. PermissionError where it is
        not for this user.
    """
    try:
        done = programs.run(
            [PROGRAM, *arguments], _TIMEOUT_S, environment={**os.environ, **(environment or {})}
        )
    except FileNotFoundError as error:
        raise OSError(f"{PROGRAM} is not installed on this host: is NVIDIA's driver?") from error
    said = done.stdout + done.stderr
    if done.returncode != 0:
        complaint = _one_line(said) or "no message"
        kind = PermissionError if done.returncode == _NO_PERMISSION else OSError
        raise kind(f"{PROGRAM} {' '.join(arguments)}: {complaint} (exit code {done.returncode})")
    return said


def may_change_settings() -> bool:
    """Say whether the driver lets this process change settings: it asks for CAP_SYS_ADMIN."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return capabilities is not None and bool(int(capabilities[1], 16) >> _CAP_SYS_ADMIN & 1)


def name_reasons(reasons: int) -> list[str]:
    """Return in words why a clock is held down; bits that nobody has named are left out."""
    return [name for bit, name in _REASONS.items() if reasons & bit]


def _one_line(said: str) -> str:
    return "; ".join(said.split("\n")).strip("; ")


def _values(text: str) -> Iterator[tuple[str, Any]]:
    """Yield attributes of a `Look` and their values."""
    told = [value.strip() for value in text.strip().split(",")]
    for (attribute, (field, read)), value in zip(_FIELDS.items(), told, strict=True):
        if _is_told(value):
            yield attribute, read(value)
        elif attribute in _NEEDED:
            raise ValueError(f"no {field}")
        else:
            yield attribute, None


def _is_told(value: str) -> bool:
    return not value.startswith("[") and value != "N/A"
