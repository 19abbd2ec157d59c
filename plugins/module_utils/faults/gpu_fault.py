# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the faults of a GPU have in common: its users, its settings, and looks at it under load."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from .contract import Fault, Target
from .errors import RefusedError
from .gpus import IDLE, Gpu, Look, may_change_settings, name_reasons
from .helpers import HELPER_MARGIN_S, Helpers
from .pods import Pod

# A look takes some CPU time, and the GPU renews its figures no more often than this.
_LOOK_S = 1.0
# What the CUDA context of one more process takes.
_CONTEXT_MIB = 1024


def gpu_of(target: Target) -> Gpu:
    """Return the GPU that a target is; raise `RefusedError` where it is none."""
    if target.part.uuid is None:
        raise RefusedError(f"{target.component} is no GPU")
    return Gpu(target.part.uuid)


def pods_on(gpu: Gpu, target: Target) -> list[Pod]:
    """Return the pods of the lab that compute on a GPU.

    Raises
    ------
    RefusedError
        If nobody does, or somebody else does too: the fault would hit more than the lab.
    OSError
        If ``nvidia-smi`` does not tell.
    """
    strangers = set(gpu.processes())
    users = []
    for pod in target.lab.pods:
        own = strangers.intersection(process.pid for process in pod.processes())
        if own:
            users.append(pod)
            strangers -= own
    if strangers:
        raise RefusedError(
            f"processes {sorted(strangers)} that are no pod's compute on {target.component} too: "
            f"end them, or choose another GPU"
        )
    if not users:
        raise RefusedError(
            f"no pod of the lab computes on {target.component}: nobody would feel it"
        )
    return users


def check_gpu(gpu: Gpu, target: Target) -> Look:
    """Return a look at a GPU, or raise `RefusedError` where no fault can be done to it."""
    try:
        if not gpu.is_there():
            raise RefusedError(f"the machine has no GPU {gpu.uuid}: run the role chaos_agent again")
        look = gpu.look()
        if look.mig not in (None, "Disabled"):
            raise RefusedError(
                f"{target.component} is split by MIG, and a fault would hit each part of it: "
                f"choose a GPU whose MIG mode is disabled"
            )
        pods_on(gpu, target)
    except OSError as error:
        raise RefusedError(f"{target.component} can't be asked: {error}") from error
    if str(look.index) != target.component.rpartition(".")[2]:
        raise RefusedError(
            f"{gpu.uuid} is GPU {look.index} now, and no longer {target.component}: run the role "
            f"chaos_agent again"
        )
    return look


def check_room(look: Look, target: Target) -> None:
    """Raise `RefusedError` where one more process could not compute on a GPU."""
    if look.compute_mode not in (None, "Default"):
        raise RefusedError(
            f"{target.component} is in the compute mode {look.compute_mode}, and takes no second "
            f"process: it has to be Default"
        )
    if look.free_mib is None or look.free_mib < _CONTEXT_MIB:
        free = "an unknown part" if look.free_mib is None else f"{look.free_mib:g} MiB"
        raise RefusedError(
            f"{free} of the memory of {target.component} is free, and one more process takes "
            f"{_CONTEXT_MIB} MiB to begin with: give the engine less (gpu_memory_utilization)"
        )


def check_settings(look: Look, target: Target) -> None:
    """Raise `RefusedError` where a GPU's settings can't be changed, or would not stay."""
    if not may_change_settings():
        raise RefusedError(
            "the driver lets root alone (CAP_SYS_ADMIN) change a GPU's settings: run as root"
        )
    if look.persistence != "Enabled":
        raise RefusedError(
            f"{target.component} is not in persistence mode: what is set would be lost with its "
            f"last process. Run `nvidia-smi -pm 1`, or NVIDIA's persistence daemon"
        )


class GpuFault(Fault):
    """A fault that is done to a GPU while pods compute on it."""

    layer = "gpu"
    kinds = ("gpu",)
    # Some calls of nvidia-smi, of a second each where the machine has many GPUs.
    revert_deadline_s = 10.0
    # Why the clock is held down if the fault does it.
    own_reason = 0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._gpu = gpu_of(target)
        self._helpers = Helpers(self.duration_s + HELPER_MARGIN_S)
        self._users: list[Pod] = []
        self._before: Look | None = None
        self._last: Look | None = None
        self._looked = 0.0
        self._busy: list[Look] = []
        self._reasons: Counter[str] = Counter()

    def preflight(self) -> None:
        self._check(check_gpu(self._gpu, self.target))

    def _check(self, look: Look) -> None:
        """Raise `RefusedError` where this fault can't be done."""

    def _begin(self) -> Look:
        """Take note of the GPU as it is before the dose, and of its users."""
        self._users = pods_on(self._gpu, self.target)
        self._before = self._gpu.look()
        return self._before

    def _look(self) -> Look:
        """Look at the GPU, once a second and no more."""
        if self._last is None or time.monotonic() - self._looked >= _LOOK_S:
            self._last, self._looked = self._gpu.look(), time.monotonic()
            if self._last.is_busy:
                self._busy.append(self._last)
                self._reasons.update(name_reasons(self._last.reasons & ~self.own_reason))
        return self._last

    def remarks(self) -> list[str]:
        """Tell who computed on the GPU, and what else held its clock down."""
        said = []
        if self._users:
            users = ", ".join(pod.component for pod in self._users)
            said.append(f"{self._gpu.uuid}, on which {users} computed")
        if self._before is not None and (held := name_reasons(self._before.reasons & ~IDLE)):
            said.append(f"before the dose its clock was held down by {', '.join(held)}")
        said += [
            f"its clock was held down by {name} in {count} of {len(self._busy)} looks under load"
            for name, count in sorted(self._reasons.items())
        ]
        return said


def mean(values: list[float | None]) -> float:
    """Return the mean of what was told; raise OSError where nothing was."""
    told = [value for value in values if value is not None]
    if not told:
        raise OSError("the GPU was not seen under load")
    return sum(told) / len(told)
