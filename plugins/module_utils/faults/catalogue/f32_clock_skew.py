# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F32: a pod's clock is wrong, and with it the times in its logs and answers."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import ClassVar

from .. import processes, web
from ..contract import ANY_ISOLATION, DURATION, Fault, Parameter, Target
from ..errors import NotRevertedError, RefusedError
from ..undo import Undo, WriteFile
from ..undo_action import UndoAction

_LIBRARY = "libfaketime"
# An answer's Date header tells whole seconds, and a server may keep it for one.
_TOLERANCE_S = 2.0


class ClockSkew(Fault):
    """Set the clock of a program off that runs under libfaketime.

    A clock namespace for the wall clock does not exist in Linux, and the machine's own clock is the
    observers' too. So the program has to be started under libfaketime, with a file that tells its
    offset; the fault writes that file.
    """

    id = "F32"
    name = "clock_skew"
    summary = "The clock of the pod's program is off by so many seconds."
    layer = "node"
    symptoms = (
        "What the pod logs and answers carries times that are off: lines out of order with others, "
        "spans that begin before their parents; the service and its clients notice nothing."
    )
    requirements = (
        "A program of the pod that was started under Debian's libfaketime and answers over HTTP "
        "with a Date (`gateway_faketime` of the role gateway starts nginx so)."
    )
    kinds = ("gateway", "head", "replica")
    mechanisms: ClassVar[Mapping[str, str | None]] = {"libfaketime": ANY_ISOLATION}
    parameters = (
        Parameter("offset_s", -30, -86400, 86400, "Clock of the pod less the true one, in s."),
        Parameter("port", 8080, 1, 65535, "Where the pod answers over HTTP."),
        DURATION,
    )

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        if abs(self.values["offset_s"]) < 2 * _TOLERANCE_S:
            raise RefusedError(
                f"offset_s must be {2 * _TOLERANCE_S:g} s or more either way: less can't be told "
                f"from a Date header"
            )
        self._file: Path | None = None
        self._seen = False

    def root_cause_metrics(self) -> tuple[str, ...]:
        return ()  # it shows in times, and in no series

    def intended_dose(self) -> dict[str, float]:
        return {"offset_s": self.values["offset_s"]}

    def _find_file(self) -> Path:
        """Return the file by which the pod's program is told its offset."""
        pod, file = self.target.pod, self.target.lab.faketime.get(self.target.component)
        if file is None or not any(processes.has_mapped(p, _LIBRARY) for p in pod.processes()):
            raise RefusedError(
                f"nothing in pod {pod.name} runs under libfaketime: install Debian's libfaketime "
                f"and start its program so (for nginx: gateway_faketime of the role gateway)"
            )
        return Path(file)

    def _offset_s(self) -> float:
        """Return how far the pod's clock is off, by what it answers."""
        url = f"http://{self.target.pod.address}:{self.values['port']:.0f}/"
        date = web.date(url)
        return parsedate_to_datetime(date).timestamp() - time.time()

    def preflight(self) -> None:
        file = self._find_file()
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise RefusedError(f"{file} can't be written")
        try:
            offset_s = self._offset_s()
        except (OSError, ValueError) as error:
            raise RefusedError(f"the pod does not tell its time: {error}") from error
        if abs(offset_s) > _TOLERANCE_S:
            raise RefusedError(f"the pod's clock is off by {offset_s:.0f} s already")

    def capture(self) -> tuple[UndoAction, ...]:
        self._file = self._find_file()
        content = self._file.read_text(encoding="utf-8") if self._file.exists() else None
        return (WriteFile(str(self._file), content),)

    def inject(self) -> None:
        if self._file is None:
            raise OSError("the offset's file is not known")
        self._file.write_text(f"{self.values['offset_s']:+g}s\n", encoding="utf-8")

    def verify_effect(self) -> bool:
        self._seen = abs(self._offset_s() - self.values["offset_s"]) <= _TOLERANCE_S
        return self._seen

    def disturbance(self) -> str | None:
        if not self.target.pod.processes():
            return f"nothing runs in pod {self.target.pod.name} any more"
        return None

    def verify_reverted(self, undo: Undo) -> None:
        super().verify_reverted(undo)
        if not self._seen:
            return
        try:
            offset_s = self._offset_s()
        except (OSError, ValueError) as error:
            raise NotRevertedError(f"the pod does not tell its time: {error}") from error
        if abs(offset_s) > _TOLERANCE_S:
            raise NotRevertedError(f"the pod's clock is still off by {offset_s:.0f} s")

    def measured_dose(self) -> dict[str, float]:
        return {"offset_s": round(self._offset_s(), 3)}
