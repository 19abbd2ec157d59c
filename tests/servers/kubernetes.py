# SPDX-License-Identifier: Apache-2.0
"""Plays the Kubernetes API: lists in pages whose tokens expire."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from servers.http import Asked, Reply, as_json


@dataclass
class Kubernetes:
    lists: dict[str, list[dict[str, Any]]]
    """Path to objects."""
    page: int = 500
    expire: int = 0
    """How many of the tokens are expired when they come back."""
    token: str | None = None
    asked: list[str] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Reply:
        self.asked.append(asked.path)
        if self.token is not None and asked.headers.get("authorization") != f"Bearer {self.token}":
            return self._status(401, "Unauthorized")
        if asked.path not in self.lists:
            return self._status(404, "the server could not find the requested resource")
        start = 0
        if "continue" in asked.params:
            if self.expire:
                self.expire -= 1
                return self._status(410, "The provided continue parameter is too old")
            start = json.loads(asked.params["continue"])["start"]
        size = min(self.page, int(asked.params.get("limit", self.page)))
        items = self.lists[asked.path]
        metadata: dict[str, Any] = {"resourceVersion": "1"}
        if start + size < len(items):
            metadata["continue"] = json.dumps({"start": start + size})
        return as_json({"kind": "List", "metadata": metadata, "items": items[start : start + size]})

    @staticmethod
    def _status(code: int, message: str) -> Reply:
        return as_json({"kind": "Status", "status": "Failure", "message": message}, code)


def made(name: str, **more: Any) -> dict[str, Any]:
    """An object's metadata."""
    created = "2026-11-22T10:00:00Z"
    return {"name": name, "uid": f"uid-{name}", "creationTimestamp": created, **more}


def pod(name: str, node: str, address: str, created: str, **labels: str) -> dict[str, Any]:
    marked = {key.replace("__", "/").replace("_", "-"): value for key, value in labels.items()}
    return {
        "metadata": made(name, labels=marked) | {"creationTimestamp": created},
        "spec": {"nodeName": node},
        "status": {"podIP": address},
    }


def node(name: str, address: str, gpus: int = 0) -> dict[str, Any]:
    capacity = {"cpu": "8", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    addresses = [
        {"type": "InternalIP", "address": address},
        {"type": "Hostname", "address": name},
    ]
    return {"metadata": made(name), "status": {"addresses": addresses, "capacity": capacity}}
