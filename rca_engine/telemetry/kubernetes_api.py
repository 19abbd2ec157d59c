# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes API: let in as ``kubectl`` is, read in pages.

The ``kubernetes`` package reads kubeconfig files, with all their ways to authenticate. Requests go
through the harvest's own connection: that package's models refuse events that every cluster has.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rca_engine.errors import TelemetryError
from rca_engine.telemetry.http import Connection, Deadline, Endpoint

_log = logging.getLogger(__name__)

_PAGE = 500
_RESTARTS = 3
"""How often a list whose token expired is begun again."""
_EXPIRED = 410


@dataclass(frozen=True)
class Source:
    """Where the API is: at an endpoint, else as a kubeconfig file says.

    Parameters
    ----------
    namespace
        Of the lab.
    endpoint
        An address of one's own, such as that of ``kubectl proxy``.
    kubeconfig, context
        The user's defaults if None.
    components
        (component, labels) of pods: which pods are what. ``{label}`` in a component stands for the
        value of a pod's label.
    events
        Whether to fetch events.
    """

    namespace: str
    endpoint: Endpoint | None = None
    kubeconfig: Path | None = None
    context: str | None = None
    components: tuple[tuple[str, Mapping[str, str]], ...] = ()
    events: bool = True


def connect(source: Source, deadline: Deadline) -> Connection:
    """Return a connection to the API.

    Raises
    ------
    TelemetryError
        If there is no kubeconfig that leads to a cluster, or the package that reads it is missing.
    """
    if source.endpoint is not None:
        return Connection(source.endpoint, deadline, "the Kubernetes API")
    try:
        from kubernetes import client, config
    except ImportError:
        raise TelemetryError(
            "a kubeconfig file is read by the package kubernetes: install "
            "'rcalab-llm[kubernetes]', or give the `url` of `kubectl proxy`"
        ) from None
    settings = client.Configuration()
    path = None if source.kubeconfig is None else str(source.kubeconfig.expanduser())
    try:
        load: Any = config.load_kube_config
        load(path, source.context, client_configuration=settings)
    except (config.ConfigException, OSError) as error:
        raise TelemetryError(f"kubeconfig {path or '(default)'}: {error}") from None
    connection = Connection(Endpoint(settings.host), deadline, "the Kubernetes API")
    session = connection.session
    session.verify = (settings.ssl_ca_cert or True) if settings.verify_ssl else False
    if settings.cert_file and settings.key_file:
        session.cert = (settings.cert_file, settings.key_file)
    ways: Mapping[str, Any] = settings.auth_settings()
    for each in ways.values():
        session.headers[each["key"]] = each["value"]
    return connection


@dataclass
class Lister:
    """Reads whole lists."""

    connection: Connection
    warnings: list[str] = field(default_factory=list)

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the objects of a list, each in its latest version.

        A token for the next page expires after some minutes: then the list is begun again, and
        what was read of it before is kept where it has vanished since.

        Raises
        ------
        TelemetryError
            If the API refuses, or the token expires again and again.
        """
        found: dict[str, dict[str, Any]] = {}
        token, restarts = "", 0
        while True:
            params = {"limit": _PAGE, **({"continue": token} if token else {})}
            answer = self.connection.get(path, params, note=path)
            if answer.status == _EXPIRED and token and restarts < _RESTARTS:
                restarts, token = restarts + 1, ""
                _log.warning("Kubernetes: the list of %s expired, beginning again", path)
                continue
            document = self.connection.json(answer)
            try:
                items = document["items"] or []
                for item in items:
                    found[item["metadata"]["uid"]] = item
                token = document["metadata"].get("continue") or ""
            except (LookupError, TypeError, AttributeError) as error:
                raise TelemetryError(
                    f"{self.connection.url}{path}: not a list of Kubernetes: {error!r}"
                ) from None
            self.connection.rows(len(items))
            if not token:
                break
        if restarts:
            self.warnings.append(f"the list of {path} expired {restarts} times and was read again")
        return list(found.values())
