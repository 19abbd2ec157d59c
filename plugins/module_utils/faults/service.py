# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The LLM service of the lab: which replicas run, and how it is deployed again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import web
from .errors import RefusedError

KINDS = ("serve", "http")
# States of a Serve application in which the configuration has to be sent (once) more.
_NOT_DEPLOYED = ("NOT_STARTED", "DEPLOY_FAILED")


@dataclass(frozen=True)
class Service:
    """How the service is asked.

    Attributes
    ----------
    kind
        ``serve`` for Ray Serve, asked by its REST API; ``http`` for servers that answer for
        themselves.
    url
        Of Serve's applications; with ``http`` a text with ``{address}`` for the pod's address.
    token_file, config_file
        Serve's token and what Serve was asked to deploy; None with ``http``.
    """

    kind: str
    url: str
    token_file: str | None = None
    config_file: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"the service's kind is {self.kind!r}, not one of {KINDS}")

    def runs_at(self, address: str) -> bool:
        """Say whether a replica at a pod's address is ready for requests."""
        if self.kind == "http":
            try:
                self._request("GET", self.url.format(address=address))
            except OSError:
                return False
            return True
        return any(
            # One that is only being started has no address yet.
            replica.get("node_ip") == address and replica.get("state") == "RUNNING"
            for app in self._applications().values()
            for deployment in app.get("deployments", {}).values()
            for replica in deployment.get("replicas", [])
        )

    def missing(self, addresses: tuple[str, ...]) -> list[str]:
        """Return the addresses at which no replica is ready.

        Raises
        ------
        OSError
            If Serve does not answer.
        """
        return [address for address in addresses if not self.runs_at(address)]

    def deploy_again(self) -> None:
        """Send Serve its configuration, where it has lost it (a new head knows nothing).

        Raises
        ------
        OSError
            If Serve does not answer, or refuses it.
        """
        if self.kind == "http" or self.config_file is None:
            return
        apps = self._applications()
        if apps and not any(app.get("status") in _NOT_DEPLOYED for app in apps.values()):
            return
        self._request("PUT", self.url, Path(self.config_file).read_bytes())

    def check_whole(self, addresses: tuple[str, ...]) -> None:
        """Raise `RefusedError` where a replica is missing already, or nobody answers."""
        try:
            missing = self.missing(addresses)
        except OSError as error:
            raise RefusedError(f"the service does not answer ({error}): is it up?") from error
        if missing:
            raise RefusedError(
                f"no replica is ready at {', '.join(missing)}: wait until the service is whole"
            )

    def _applications(self) -> dict[str, Any]:
        try:
            found: dict[str, dict[str, Any]] = json.loads(self._request("GET", self.url))[
                "applications"
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise OSError(f"{self.url} tells of no applications: {error!r}") from error
        return found

    def _request(self, method: str, url: str, body: bytes | None = None) -> bytes:
        return web.request(url, method, body, self.token_file)
