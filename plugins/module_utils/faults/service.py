# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The LLM service of the lab: which replicas run, and how it is deployed again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import web
from .errors import RefusedError

KINDS = ("serve", "http")
# States of a Serve application in which the configuration has to be sent (once) more.
_NOT_DEPLOYED = ("NOT_STARTED", "DEPLOY_FAILED")


@dataclass(frozen=True)
class Application:
    """An application as Ray Serve tells of it.

    Attributes
    ----------
    status, message
        ``RUNNING`` once every deployment is as it should be, and why it is not.
    config
        What Serve was last asked to deploy, such as ``import_path`` and ``args``.
    limits
        Deployment -> how many requests each of its replicas is given at a time.
    """

    status: str
    message: str
    config: Mapping[str, Any]
    limits: Mapping[str, int]

    def runs(self, wanted: Mapping[str, Any]) -> bool:
        """Say whether it is what was last asked for, wherever the rollout is."""
        return _told(self.config) == _told(wanted)


def _told(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a configuration says: Serve may add what is empty, or leave it out."""
    return {name: value for name, value in config.items() if value not in (None, [], {})}


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

    def application(self, name: str) -> Application:
        """Return how Serve sees an application.

        Raises
        ------
        OSError
            If Serve does not answer, or knows no application of that name.
        """
        try:
            found = self._applications()[name]
            return Application(
                status=str(found["status"]),
                message=str(found.get("message", "")),
                config=found.get("deployed_app_config") or {},
                limits={
                    deployment: int(each["deployment_config"]["max_ongoing_requests"])
                    for deployment, each in found.get("deployments", {}).items()
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise OSError(f"{self.url} does not tell of application {name}: {error!r}") from error

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Ask Serve to deploy a configuration (``ServeDeploySchema``), and do not wait for it.

        Raises
        ------
        OSError
            If Serve does not answer, or refuses it.
        """
        self._request("PUT", self.url, json.dumps(config).encode())

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
