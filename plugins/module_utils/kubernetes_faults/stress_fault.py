# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults by StressChaos: programs in the pod's container, seen by what the kubelet counts."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ..faults.contract import Target
from ..faults.errors import RefusedError
from .chaos_mesh import ChaosFault
from .probes import Usage, usage

_LOOK_S = 2.0


class StressFault(ChaosFault):
    """A dose that the kubelet's counts of the container show, some ten seconds apart."""

    chaos_kind = "StressChaos"
    on_container = True

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self._before: Usage | None = None
        self._last: Usage | None = None
        self._counted = 0.0

    def preflight(self) -> None:
        super().preflight()
        try:
            self._check_room(usage(self.api, self.pod))
        except OSError as error:
            raise RefusedError(f"the effect could not be seen: {error}") from error

    def _check_room(self, now: Usage) -> None:
        """Raise `RefusedError` where the dose would not fit."""

    def _observe(self) -> None:
        self._before = self._last = usage(self.api, self.pod)

    def fresh(self) -> tuple[Usage, Usage] | None:
        """Return the counts before the dose and those of now; None if there are no new ones."""
        if self._before is None or time.monotonic() - self._counted < _LOOK_S:
            return None
        self._counted = time.monotonic()
        known, self._last = self._last, usage(self.api, self.pod)
        return None if self._last == known else (self._before, self._last)
