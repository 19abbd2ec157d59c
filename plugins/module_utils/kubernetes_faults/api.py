# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API as faults need it: objects as JSON, and every failure an `OSError`.

The package ``kubernetes`` reads kubeconfig files, with all their ways to authenticate, and is
imported only where a cluster is asked. Requests go through its connection pool.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from ..faults.errors import RefusedError

TIMEOUT_S = 5.0
_JSON, _MERGE_PATCH = "application/json", "application/merge-patch+json"
_NOT_FOUND = 404

Object = dict[str, Any]


class ApiError(OSError):
    """The API server answered with an error; ``status`` is its HTTP code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Kind:
    """A kind of objects, and where the API has them."""

    api_version: str
    name: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str, name: str = "") -> str:
        """Return the path of an object, or of the kind's list (of all namespaces without one)."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{self.api_version}{scope}/{self.plural}" + (f"/{name}" if name else "")


POD = Kind("v1", "Pod", "pods")
NODE = Kind("v1", "Node", "nodes", namespaced=False)
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
EVENT = Kind("v1", "Event", "events")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
JOB = Kind("batch/v1", "Job", "jobs")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
RAY_SERVICE = Kind("ray.io/v1", "RayService", "rayservices")
RAY_CLUSTER = Kind("ray.io/v1", "RayCluster", "rayclusters")
CHAOS_KINDS = tuple(
    Kind("chaos-mesh.org/v1alpha1", name, name.lower())
    for name in (
        "DNSChaos",
        "IOChaos",
        "NetworkChaos",
        "PodChaos",
        "StressChaos",
        "TimeChaos",
    )
)
KINDS = {
    kind.name: kind
    for kind in (
        *(POD, NODE, NAMESPACE, EVENT, CONFIG_MAP, JOB, LEASE, RAY_SERVICE, RAY_CLUSTER),
        *CHAOS_KINDS,
    )
}


@dataclass(frozen=True)
class Answer:
    """What came back of a request, an error too."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    def json(self) -> Object:
        """Read it as an object; raise OSError if it is none."""
        try:
            found = json.loads(self.data)
        except ValueError as error:
            raise OSError(f"the API server answers no JSON: {error}") from error
        if not isinstance(found, dict):
            raise OSError("the API server answers no object")
        return found


class Api:
    """One API server, let in as ``kubectl`` is.

    Parameters
    ----------
    kubeconfig
        The file's path.
    context
        None for the file's current one.

    Raises
    ------
    RefusedError
        If the package ``kubernetes`` is missing, or the kubeconfig leads nowhere.
    """

    def __init__(self, kubeconfig: str, context: str | None = None) -> None:
        try:
            import urllib3
            from kubernetes import client, config
        except ImportError as error:
            raise RefusedError(
                f"faults on a cluster need the Python package kubernetes on the machine that "
                f"speaks to it ({error}): pip install kubernetes"
            ) from error
        self.kubeconfig, self.context = kubeconfig, context
        self._settings: Any = client.Configuration()
        load: Any = config.load_kube_config
        try:
            load(kubeconfig, context, client_configuration=self._settings)
        except (config.ConfigException, OSError) as error:
            raise RefusedError(
                f"the kubeconfig {kubeconfig} leads to no cluster: {error}"
            ) from error
        self._http_error = urllib3.exceptions.HTTPError
        self._pool: Any = client.ApiClient(self._settings).rest_client.pool_manager

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        *,
        content_type: str = _JSON,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """Ask, and return what is answered, whatever its code.

        Raises
        ------
        OSError
            If nobody answers.
        """
        headers = {"Accept": "application/json, */*"}
        # Read each time: a token may have been renewed.
        for way in self._settings.auth_settings().values():
            headers[way["key"]] = way["value"]
        if body is not None:
            headers["Content-Type"] = content_type
        url = f"{self._settings.host.rstrip('/')}{path}"
        if query:
            url += f"?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        try:
            answer = self._pool.request(
                method, url, body=data, headers=headers, timeout=timeout_s, retries=False
            )
        except self._http_error as error:
            raise OSError(
                f"the API server {self._settings.host} does not answer: {error}"
            ) from error
        return Answer(answer.status, answer.headers, answer.data)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return an object, None if there is none.

        Raises
        ------
        OSError
            If nobody answers; `ApiError` for an error. So for every call below.
        """
        answer = self.request("GET", kind.path(namespace, name))
        return None if answer.status == _NOT_FOUND else _checked(answer).json()

    def objects(
        self, kind: Kind, namespace: str, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """Return the objects of a namespace that fit a label selector and a field selector."""
        query = {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        answer = _checked(self.request("GET", kind.path(namespace), query))
        found: list[Object] = answer.json().get("items") or []
        return found

    def create(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> Object:
        """Create an object, strictly checked; with ``dry_run`` go all the way and keep nothing."""
        query = {"fieldValidation": "Strict", "fieldManager": "rcalab"}
        query |= {"dryRun": "All"} if dry_run else {}
        path = kind.path(obj["metadata"].get("namespace", ""))
        return _checked(self.request("POST", path, query, obj)).json()

    def patch(
        self, kind: Kind, namespace: str, name: str, change: Object, *, dry_run: bool = False
    ) -> Object:
        """Change an object by a merge patch: None takes a field away."""
        query = {"fieldValidation": "Strict", "fieldManager": "rcalab"}
        query |= {"dryRun": "All"} if dry_run else {}
        path = kind.path(namespace, name)
        answer = self.request("PATCH", path, query, change, content_type=_MERGE_PATCH)
        return _checked(answer).json()

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Ask for an object's deletion; nothing happens if there is none."""
        body = {"propagationPolicy": "Background"}
        answer = self.request("DELETE", kind.path(namespace, name), body=body)
        if answer.status != _NOT_FOUND:
            _checked(answer)

    def clock_offset_ms(self) -> dict[str, float]:
        """Return the API server's clock less this host's, and how sure that is, in milliseconds.

        Its ``Date`` tells whole seconds: the middle of the second is taken, give or take half of
        it and half of the way there and back.
        """
        begin, mono = time.time(), time.monotonic()
        answer = self.request("GET", "/version")
        way = time.monotonic() - mono
        date = answer.headers.get("Date")
        if date is None:
            raise OSError("the API server answers without a Date")
        offset = parsedate_to_datetime(date).timestamp() + 0.5 - (begin + way / 2)
        return {
            "api_server": round(offset * 1000, 3),
            "api_server_uncertainty": round((0.5 + way / 2) * 1000, 3),
        }


class PodApi(Api):
    """The API server of the cluster that this process runs in, with no package at all.

    Parameters
    ----------
    account
        The folder in which a pod finds what its service account is let in with.

    Raises
    ------
    RefusedError
        If this is no pod with an account.
    """

    def __init__(self, account: str) -> None:
        self.kubeconfig, self.context = account, None
        folder = Path(account)
        self._token = folder / "token"
        try:
            self._host = os.environ["KUBERNETES_SERVICE_HOST"]
            self._port = int(os.environ["KUBERNETES_SERVICE_PORT_HTTPS"])
            self._trusted = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        except (KeyError, ValueError, OSError) as error:
            raise RefusedError(f"this is no pod with a service account: {error!r}") from error

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        *,
        content_type: str = _JSON,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        headers = {
            "Accept": "application/json, */*",
            # The kubelet renews it.
            "Authorization": f"Bearer {self._token.read_text(encoding='ascii').strip()}",
        }
        if body is not None:
            headers["Content-Type"] = content_type
        target = path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body)
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout_s, context=self._trusted
        )
        try:
            connection.request(method, target, data, headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers.items()), answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise OSError(f"the API server {self._host} does not answer: {error}") from error
        finally:
            connection.close()


@functools.cache
def connect(kubeconfig: str, context: str | None) -> Api:
    """Return the one connection of this process to a cluster; raises as `Api` does.

    ``kubeconfig`` may also be the folder of a pod's service account.
    """
    return PodApi(kubeconfig) if Path(kubeconfig).is_dir() else Api(kubeconfig, context)


def _checked(answer: Answer) -> Answer:
    if answer.status < 400:
        return answer
    try:
        message = str(json.loads(answer.data)["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.data.decode(errors="replace").strip()[:200]
    raise ApiError(answer.status, f"the API server answers {answer.status}: {message}")
