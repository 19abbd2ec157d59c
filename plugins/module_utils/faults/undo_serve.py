# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The undo of a fault that deployed the service anew: the configuration that it had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .service import Application, Service
from .undo_action import UndoAction

_FAILED = "DEPLOY_FAILED"
_RUNNING = "RUNNING"


@dataclass(frozen=True)
class RestoreServeConfig(UndoAction):
    """Have Serve deploy what it had deployed, once, and see that it runs.

    ``config`` is the whole of it (``ServeDeploySchema``), with the one application ``application``.
    """

    kind = "restore_serve_config"
    service: dict[str, str | None]
    application: str
    config: dict[str, Any]

    @property
    def _service(self) -> Service:
        return Service(**self.service)  # type: ignore[arg-type]

    def _is_asked_for(self, found: Application) -> bool:
        return found.runs(self.config["applications"][0])

    def restore(self) -> None:
        found = self._service.application(self.application)
        # Asked again while it builds the application, Serve would begin anew, each time.
        if not self._is_asked_for(found) or found.status == _FAILED:
            self._service.deploy(self.config)

    def remainder(self) -> str | None:
        found = self._service.application(self.application)
        if not self._is_asked_for(found):
            return f"Serve has another configuration of {self.application} than before"
        if found.status != _RUNNING:
            return f"{self.application} is {found.status}: {found.message or 'no message'}"
        return None
