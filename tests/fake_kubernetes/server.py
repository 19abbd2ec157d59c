# SPDX-License-Identifier: Apache-2.0
"""The server: HTTP in front of the cluster."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import ssl
import tempfile
import threading
import time
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml

from .cluster import Cluster
from .handler import Handler
from .nodes import Node, populate
from .script import Script, read


@dataclass(frozen=True)
class Tls:
    """A certificate for 127.0.0.1, its key, and what to trust for it."""

    certificate: Path
    key: Path


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class FakeKubernetes:
    """A server on a port of its own, from construction to ``stop``.

    Parameters
    ----------
    nodes
        Its nodes; by default one, `node-0`.
    script
        What goes wrong.
    port
        0 takes a free one. kubernetes.core caches what a port serves: use a new one for each test.
    tls
        Serve HTTPS. By default it is HTTP.
    operators_always
        Play what the operators of custom resources do even where none is installed. By default
        a RayService, say, is left alone until a Deployment of `kuberay-operator` is available.
    """

    def __init__(
        self,
        nodes: list[Node] | None = None,
        *,
        script: Script | None = None,
        port: int = 0,
        tls: Tls | None = None,
        operators_always: bool = False,
    ) -> None:
        self.script = script or Script()
        # Long, because kubernetes.core blackens a kubeconfig's secrets wherever it sees them.
        self.token = secrets.token_urlsafe(32)
        self._tls = tls
        self.cluster = Cluster(self.script, operators_always=operators_always)
        with self.cluster.storage.lock:
            populate(self.cluster, nodes if nodes is not None else [Node("node-0")])
        self._stopped = threading.Event()
        handler = type("BoundHandler", (Handler,), {"fake": self})
        self._http = _Server(("127.0.0.1", port), handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.port: int = self._http.server_address[1]
        self._threads = [
            threading.Thread(target=self._http.serve_forever, daemon=True),
            threading.Thread(target=self._tick, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def uses_tls(self) -> bool:
        """Whether it speaks HTTPS."""
        return self._tls is not None

    @property
    def stopped(self) -> bool:
        """Whether it is on its way out."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End it, its watches too."""
        self._stopped.set()
        with self.cluster.storage.lock:
            self.cluster.storage.lock.notify_all()
        self._http.shutdown()
        self._http.server_close()
        for thread in self._threads:
            thread.join()

    def write_kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig for it, whole and readable by its owner alone."""
        server: dict[str, Any] = {"server": self.url}
        if self._tls:
            trusted = self._tls.certificate.read_bytes()
            server["certificate-authority-data"] = base64.b64encode(trusted).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": server}],
            "users": [{"name": "fake", "user": {"token": self.token}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "current-context": "fake",
        }
        descriptor, scratch = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(config, file)
        Path(scratch).replace(path)
        return path

    def follow(self, script: Any) -> None:
        """Put other rules into force, and let what they no longer hold back go on.

        Raises
        ------
        ScriptError
            If one of them is none.
        """
        self.script.replace(read(script))
        with self.cluster.storage.lock:
            self.cluster.notice_all()
            self.cluster.settle()

    def objects(self) -> list[dict[str, str]]:
        """Return the name and a digest of every object but events.

        Equal lists mean that a cluster is as it was; the digest leaves out what the server and
        its controllers write.
        """
        with self.cluster.storage.lock:
            return [
                {
                    "apiVersion": obj["apiVersion"],
                    "kind": obj["kind"],
                    "namespace": obj["metadata"].get("namespace", ""),
                    "name": obj["metadata"]["name"],
                    "digest": digest(obj),
                }
                for place, obj in self.cluster.storage.everything()
                if place != ("", "events")
            ]

    def _tick(self) -> None:
        """Let timers act on time even where no request comes."""
        lock = self.cluster.storage.lock
        while not self.stopped:
            with lock:
                due = self.cluster.next_due()
                if due is not None and due <= time.monotonic():
                    self.cluster.settle()
                    continue
                lock.wait(None if due is None else max(due - time.monotonic(), 0))


def digest(obj: dict[str, Any]) -> str:
    """Return a digest of what an object is, less what the server writes in it."""
    written = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
    metadata = {k: v for k, v in obj["metadata"].items() if k not in written}
    bare = {k: v for k, v in obj.items() if k != "status"} | {"metadata": metadata}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()[:12]
