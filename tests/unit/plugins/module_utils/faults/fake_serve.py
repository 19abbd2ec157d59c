# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ray Serve's REST API as documented, with the LLM service behind it: what a rollout looks like.

It plays what the faults of the configuration go by (Ray 2.60): PUT takes the whole configuration
and answers at once; an application whose ``args`` changed is built and rolled out replica by
replica, and begins anew if it is asked for again before it is built; one that only changes what
``deployments`` says of a deployment that it named before is reconfigured as it runs. It does not
play proxies, autoscaling or other deployments. It is its own Prometheus, too, which has seen what
each engine told of its cache when it started.
"""

from __future__ import annotations

import copy
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

BEARER = "sesame"
APP, SERVER = "llm", "LLMServer:tiny"
BLOCK_TOKENS, BLOCKS, MAX_LEN, LIMIT = 128, 8192, 2048, 32
# What it runs at first, as the role llm_service has it deployed.
CONFIG: dict[str, Any] = {
    "proxy_location": "HeadOnly",
    "applications": [
        {
            "name": APP,
            "route_prefix": "/",
            "import_path": "ray.serve.llm:build_openai_app",
            "args": {"llm_configs": [{"engine_kwargs": {"max_model_len": 2048}}]},
            "deployments": [{"name": SERVER, "max_ongoing_requests": LIMIT}],
        }
    ],
}
_BUILD_S, _REPLICA_S = 0.4, 0.4


class FakeServe:
    """A service of some replicas.

    Parameters
    ----------
    config
        What it runs (``ServeDeploySchema``).
    addresses
        Of the replicas' nodes.
    in_flight
        Requests that clients have sent and not had answered, for the router's queue.
    """

    def __init__(
        self, config: Mapping[str, Any], addresses: tuple[str, ...], in_flight: int
    ) -> None:
        self.asked: list[dict[str, Any]] = []
        self.fails = False
        self.holds = False
        self.starts = 0
        self._in_flight = in_flight
        self._config = copy.deepcopy(dict(config))
        self._lock = threading.RLock()
        # Address -> what its engine was started with; None while it is being started.
        self._running: dict[str, dict[str, Any] | None] = dict.fromkeys(addresses, self._kwargs())
        # Address -> when which engine told how many blocks it has.
        self._told = {address: [(time.time(), self._blocks())] for address in addresses}
        self._since: float | None = None
        self._failed = False
        self._turn = 0
        handler = type("Handler", (_Handler,), {"serve": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def config(self) -> dict[str, Any]:
        """What it was last asked for."""
        with self._lock:
            return copy.deepcopy(self._config)

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def lose(self, address: str) -> None:
        """Let a replica be starting for good."""
        with self._lock:
            self._running[address] = None

    def is_whole(self) -> bool:
        """Say whether every replica runs what was asked for."""
        with self._lock:
            self._go_on()
            wanted = self._kwargs()
            return self._since is None and all(each == wanted for each in self._running.values())

    def _application(self) -> dict[str, Any]:
        app: dict[str, Any] = self._config["applications"][0]
        return app

    def _kwargs(self) -> dict[str, Any]:
        return dict(self._application()["args"]["llm_configs"][0]["engine_kwargs"])

    def _blocks(self) -> int:
        return int(self._kwargs().get("num_gpu_blocks_override", BLOCKS))

    def _limit(self) -> int:
        return int(_named(self._config).get(SERVER, {}).get("max_ongoing_requests", LIMIT))

    def deploy(self, config: dict[str, Any]) -> str | None:
        """Take a configuration; return what is wrong with it, if so."""
        with self._lock:
            self._go_on()
            self.asked.append(copy.deepcopy(config))
            try:
                args = config["applications"][0]["args"]
                numbers = args["llm_configs"][0]["engine_kwargs"]["max_model_len"] > 0
            except (KeyError, IndexError, TypeError) as error:
                return f"1 validation error for ServeDeploySchema: {error!r}"
            if not numbers:
                return "max_model_len must be positive"
            others = _named(config).keys() != _named(self._config).keys()
            same = args == self._application()["args"] and not others
            anew = not same or self._failed or self._is_building()
            self._config, self._failed = copy.deepcopy(config), False
            if anew:
                self._since = time.monotonic()
                self.starts += 1
            return None

    def _is_building(self) -> bool:
        return self._since is not None and time.monotonic() - self._since < _BUILD_S

    def _go_on(self) -> None:
        """Roll out as far as time has come, unless it holds where it is."""
        if self._since is None or self.holds:
            return
        passed = time.monotonic() - self._since - _BUILD_S
        if passed >= 0 and self.fails and len(self.asked) == 1:
            self._failed, self._since = True, None
            return
        for number, address in enumerate(self._running):
            if passed >= (number + 1) * _REPLICA_S:
                if self._running[address] != self._kwargs():
                    self._told[address].append((time.time(), self._blocks()))
                self._running[address] = self._kwargs()
            elif passed >= number * _REPLICA_S:
                self._running[address] = None
        if passed >= len(self._running) * _REPLICA_S:
            self._since = None

    def details(self) -> dict[str, Any]:
        """Return what GET answers (``ServeInstanceDetails``)."""
        with self._lock:
            self._go_on()
            status = "DEPLOYING" if self._since is not None else "RUNNING"
            replicas = [
                {"node_ip": address, "state": "STARTING" if kwargs is None else "RUNNING"}
                for address, kwargs in self._running.items()
            ]
            options = {"name": SERVER, "max_ongoing_requests": self._limit()}
            application = {
                "name": APP,
                "status": "DEPLOY_FAILED" if self._failed else status,
                "message": "the engine did not start" if self._failed else "",
                "deployed_app_config": self._application(),
                "deployments": {SERVER: {"deployment_config": options, "replicas": replicas}},
            }
            return {"applications": {APP: application}}

    def complete(self, body: Mapping[str, Any]) -> int:
        """Answer a question by the next replica that runs; return HTTP's status."""
        with self._lock:
            self._go_on()
            running = [kwargs for kwargs in self._running.values() if kwargs is not None]
            if not running:
                return 503
            self._turn += 1
            longest = running[self._turn % len(running)]["max_model_len"]
            return 200 if len(body["prompt"].split()) + body["max_tokens"] <= longest else 400

    def metrics(self, address: str) -> str:
        """Return what a pod exposes: the head the router's queue."""
        with self._lock:
            self._go_on()
            if address in self._running:
                return ""
            queued = max(0, self._in_flight - self._limit() * len(self._running))
            labels = f'deployment="{SERVER}",application="{APP}"'
            return f"ray_serve_deployment_queued_queries{{{labels}}} {queued}\n"

    def seen(self, query: str) -> dict[str, Any]:
        """Answer as Prometheus does: every engine's series is another one, by its worker's id."""
        with self._lock:
            self._go_on()
            (address,) = (
                each for each in self._running if f'"{each.replace(".", "[.]")}:[0-9]+"' in query
            )
            result = [
                {
                    "metric": {
                        "__name__": "ray_vllm_cache_config_info",
                        "WorkerId": str(number),
                        "block_size": str(BLOCK_TOKENS),
                        "num_gpu_blocks": str(blocks),
                    },
                    "values": [[at_s, "1"]],
                }
                for number, (at_s, blocks) in enumerate(self._told[address])
            ]
            return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def _named(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in config["applications"][0].get("deployments", [])}


class _Handler(http.server.BaseHTTPRequestHandler):
    serve: FakeServe

    def do_GET(self) -> None:
        if self.path.startswith("/metrics/"):
            self._answer(200, self.serve.metrics(self.path.rpartition("/")[2]))
        elif self.path.startswith("/api/v1/query?"):
            (query,) = urllib.parse.parse_qs(self.path.partition("?")[2])["query"]
            self._answer(200, json.dumps(self.serve.seen(query)))
        elif self._may():
            self._answer(200, json.dumps(self.serve.details()))

    def do_PUT(self) -> None:
        if self._may():
            problem = self.serve.deploy(self._body())
            self._answer(200 if problem is None else 400, problem or "")

    def do_POST(self) -> None:
        self._answer(self.serve.complete(self._body()), "{}")

    def _may(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {BEARER}":
            return True
        self._answer(401, "InvalidAuthToken")
        return False

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Be silent."""
