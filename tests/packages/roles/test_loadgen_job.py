# SPDX-License-Identifier: Apache-2.0
"""The Job's pods share one load that loadgen itself accepts, sends and puts together again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.packages.collection import cluster_roles

SHARDS = 2
ARGUMENTS = ["--model", "mock", "--rate", "8", "--duration", "2", "--output-tokens", "2"]


def job(**settings: Any) -> dict[str, Any]:
    [made] = cluster_roles.rendered(
        "loadgen_job", "objects", loadgen_job_arguments=ARGUMENTS, **settings
    )
    return dict(made)


def command(made: dict[str, Any], index: int, results: Path) -> list[str]:
    """What the container `loadgen` of a pod runs, with its index and with a folder of the test."""
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["name"] == "loadgen"
    texts = [text.replace("$(JOB_COMPLETION_INDEX)", str(index)) for text in container["args"]]
    return [sys.executable, "-m", "loadgen", *(t.replace("/results", str(results)) for t in texts)]


@pytest.fixture
def service() -> Iterator[str]:
    """The URL of a service that answers at once."""
    arguments = ["mock", "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "loadgen", *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        yield next(word for word in process.stderr.readline().split() if "://" in word)
        process.terminate()


@pytest.mark.slow
def test_two_pods_send_one_load_which_becomes_one_run(service: str, tmp_path: Path) -> None:
    start = datetime.now(UTC) + timedelta(seconds=10)
    made = job(
        loadgen_job_shards=SHARDS,
        loadgen_job_url=service,
        _loadgen_job_start=start.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    pods = [subprocess.Popen(command(made, index, tmp_path)) for index in range(SHARDS)]
    assert [pod.wait(60) for pod in pods] == [0] * SHARDS
    parts = [str(tmp_path / str(index)) for index in range(SHARDS)]
    whole = tmp_path / "whole"
    merge = [sys.executable, "-m", "loadgen", "merge", *parts, "--out", str(whole)]
    subprocess.run(merge, check=True)
    summary = json.loads((whole / "summary.json").read_text(encoding="utf-8"))
    assert summary["requests"]["success"] == 16
    records = (whole / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(record)["index"] for record in records) == list(range(16))


def test_a_pod_alone_waits_for_nobody() -> None:
    arguments = job()["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--start-at" not in arguments
    assert "--shard" not in arguments


def test_the_key_is_no_argument() -> None:
    container = job()["spec"]["template"]["spec"]["containers"][0]
    [key] = container["env"]
    assert key["valueFrom"]["secretKeyRef"] == {"name": "gateway", "key": "password"}
    assert job(loadgen_job_key_secret="")["spec"]["template"]["spec"]["containers"][0]["env"] == []


def pod(index: int, exit_code: int | None) -> dict[str, Any]:
    ended = {"terminated": {"exitCode": exit_code}}
    return {
        "metadata": {
            "name": f"loadgen-{index}-x",
            "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
        },
        "status": {
            "containerStatuses": [
                {"name": "results", "state": {"running": {}}},
                {"name": "loadgen", "state": {"running": {}} if exit_code is None else ended},
            ]
        },
    }


def test_a_part_is_over_when_its_load_is_and_a_failed_one_is_named() -> None:
    pods = {"resources": [pod(1, 3), pod(0, 0), pod(2, None)]}
    parts = cluster_roles.rendered("loadgen_job", "parts", _loadgen_job_pods=pods)
    assert [part["index"] for part in parts] == ["0", "1"]
    failed = cluster_roles.rendered("loadgen_job", "failed", _loadgen_job_pods=pods)
    assert failed == ["loadgen-1-x (exit code 3)"]
