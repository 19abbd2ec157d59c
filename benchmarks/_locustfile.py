# SPDX-License-Identifier: Apache-2.0
"""The least load for Locust that streams: ask, time the first token, read to the end.

The prompt and the tokens to ask for are in the environment: PROMPT, OUTPUT.
"""

from __future__ import annotations

import os
import time

from locust import HttpUser, constant_throughput, task

BODY = {
    "model": "mock",
    "messages": [{"role": "user", "content": os.environ["PROMPT"]}],
    "max_tokens": int(os.environ["OUTPUT"]),
    "stream": True,
}


class Asker(HttpUser):
    """Asks once a second, or less often where an answer takes longer."""

    wait_time = constant_throughput(1)

    @task
    def ask(self) -> None:
        """Ask."""
        begin, first = time.perf_counter(), None
        path = "/v1/chat/completions"
        with self.client.post(
            path, json=BODY, stream=True, name="request", catch_response=True
        ) as answer:
            for line in answer.iter_lines():
                if first is None and b'"content":"' in line and b'"content":""' not in line:
                    first = time.perf_counter()
        if first is not None:
            self.environment.events.request.fire(
                request_type="stream",
                name="first token",
                response_time=1e3 * (first - begin),
                response_length=0,
                exception=None,
            )
