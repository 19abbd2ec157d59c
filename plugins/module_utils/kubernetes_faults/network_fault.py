# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network faults of a cluster have in common: they act on what the pod sends."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ..faults.contract import Target
from ..faults.errors import RefusedError
from .api import Object
from .chaos_mesh import ChaosFault
from .probes import Page, page

_LOOK_S = 1.0
_TRIES = 3


class NetworkChaosFault(ChaosFault):
    """A fault of all that a pod sends: to ask for one peer would need another pod as a target.

    What it does to an answer is seen by asking the pod for its metrics through the API server.
    """

    chaos_kind = "NetworkChaos"
    requirements = (
        "Chaos Mesh (role chaos_mesh), whose nodes have `sch_netem`, `ip_set` and `xt_set`, and a "
        "port of the pod that answers over HTTP, which the API server can reach."
    )
    # How long an answer may take, in seconds.
    page_timeout_s = 5.0

    def __init__(self, target: Target, values: Mapping[str, object]) -> None:
        super().__init__(target, values)
        self.before: Page | None = None
        self.last: Page | None = None
        self._asked = 0.0

    def preflight(self) -> None:
        super().preflight()
        if self.seen and self._best() is None:
            raise RefusedError(
                f"pod {self.pod.name} answers no HTTP through the API server: the effect could not "
                f"be seen"
            )

    def _best(self) -> Page | None:
        """Return the quickest of a few answers."""
        found = [page(self.api, self.pod, self.page_timeout_s) for _try in range(_TRIES)]
        return min((each for each in found if each is not None), key=_seconds, default=None)

    def _observe(self) -> None:
        if self.seen:
            self.before = self._best()

    def _look(self) -> bool:
        if time.monotonic() - self._asked < _LOOK_S:
            return False
        self._asked = time.monotonic()
        self.last = page(self.api, self.pod, self.page_timeout_s)
        return self.before is not None and self.acts(self.before, self.last)

    def acts(self, before: Page, now: Page | None) -> bool:
        """Say whether an answer, or that there is none, shows the dose."""
        raise NotImplementedError

    def _remainder(self) -> str | None:
        self.last = page(self.api, self.pod, self.page_timeout_s)
        if self.before is None or not self.acts(self.before, self.last):
            return None
        return f"pod {self.pod.name} still answers as under the fault"

    def network(self, action: str, **what: object) -> Object:
        """Return the experiment's specification."""
        return {"action": action, "direction": "to", **what}


def _seconds(answer: Page) -> float:
    return answer.seconds
