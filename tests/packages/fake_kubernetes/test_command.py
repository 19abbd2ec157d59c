# SPDX-License-Identifier: Apache-2.0
"""The command, its nodes, its scripts, its charts."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fake_kubernetes.charts import charts
from tests.fake_kubernetes.clock import seconds
from tests.fake_kubernetes.errors import ApiError
from tests.fake_kubernetes.nodes import Node, NodeError, quantity
from tests.fake_kubernetes.protobuf import decode
from tests.fake_kubernetes.script import ScriptError, read

ROOT = Path(__file__).resolve().parents[3]


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"tests.{module}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def get(url: str, token: str = "", **options: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http
    with urllib.request.urlopen(request, timeout=10, **options) as answer:  # noqa: S310 - http
        return json.load(answer)


@pytest.mark.slow
def test_it_runs_behind_a_kubeconfig_until_it_is_stopped(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "new" / "kubeconfig"
    where = f"--kubeconfig={kubeconfig}"
    started = run("fake_kubernetes", where, "--background", "--node=a:cpu=4", "--node=b")
    url = started.stdout.strip()
    try:
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        assert config["clusters"][0]["cluster"]["server"] == url
        assert kubeconfig.stat().st_mode & 0o777 == 0o600
        nodes = get(f"{url}/api/v1/nodes", config["users"][0]["user"]["token"])["items"]
        assert [n["metadata"]["name"] for n in nodes] == ["a", "b"]
        assert nodes[0]["status"]["allocatable"]["cpu"] == "4"
    finally:
        stopped = run("fake_kubernetes", where, "--stop")
    assert stopped.returncode == 0, stopped.stderr
    with pytest.raises(urllib.error.URLError):
        get(f"{url}/version")
    assert list(kubeconfig.parent.iterdir()) == []
    assert run("fake_kubernetes", where, "--stop").returncode == 0


@pytest.mark.slow
def test_with_tls_it_wants_the_token(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    kubeconfig = tmp_path / "kubeconfig"
    where = f"--kubeconfig={kubeconfig}"
    tls = (f"--tls-certificate={certificate}", f"--tls-key={key}")
    url = run("fake_kubernetes", where, "--background", *tls).stdout.strip()
    try:
        token = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["users"][0]["user"]["token"]
        trusted = ssl.create_default_context(cafile=str(certificate))
        assert get(f"{url}/version", token, context=trusted)["gitVersion"].startswith("v1.")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(f"{url}/version", context=trusted)
    finally:
        run("fake_kubernetes", where, "--stop")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--node=a:cpu", "'cpu' is no KEY=VALUE"),
        ("--node=a:cpu=much", "'much' is no quantity"),
        ("--script=/no/such/file", "No such file"),
    ],
)
def test_a_bad_argument_is_refused(tmp_path: Path, argument: str, says: str) -> None:
    done = run("fake_kubernetes", f"--kubeconfig={tmp_path}/kubeconfig", argument)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    where = f"--kubeconfig={tmp_path}/kubeconfig"
    done = run("fake_kubernetes", where, "--background", "--port=1000000")
    assert done.returncode == 1
    assert "port must be 0-65535" in done.stderr


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"match": {}}, "a script is a list of rules"),
        ([{"match": {}}], "needs one of"),
        ([{"never_ready": True, "kind": "Pod"}], "its keys are among"),
        ([{"never_ready": True, "match": {"label": "x"}}], "match knows"),
        ([{"error": 500, "verbs": ["read"]}], "verbs are among"),
    ],
)
def test_a_script_that_says_nothing_sensible_is_refused(rules: Any, says: str) -> None:
    with pytest.raises(ScriptError, match=says):
        read(rules)


def test_a_node_is_what_its_line_says() -> None:
    node = Node.parse(
        "gpu-0:nvidia.com/gpu=2,label/tier=gpu,taint/gpu=NoSchedule,runtime=docker://1"
    )
    made = node.object(0)
    assert made["status"]["capacity"]["nvidia.com/gpu"] == "2"
    assert made["metadata"]["labels"]["tier"] == "gpu"
    assert made["spec"]["taints"] == [{"key": "gpu", "effect": "NoSchedule"}]
    assert made["status"]["nodeInfo"]["containerRuntimeVersion"] == "docker://1"


@pytest.mark.parametrize(
    ("text", "number"), [("250m", 0.25), ("2", 2), ("1Ki", 1024), ("1.5G", 1.5e9), (3, 3)]
)
def test_quantities_are_read(text: str, number: float) -> None:
    assert quantity(text) == number


def test_a_quantity_that_is_none_is_refused() -> None:
    with pytest.raises(NodeError, match="no quantity"):
        quantity("1Gb")


@pytest.mark.parametrize(("text", "number"), [("1m30s", 90), ("100ms", 0.1), ("2h", 7200)])
def test_durations_are_read(text: str, number: float) -> None:
    assert seconds(text) == number


@pytest.mark.parametrize("text", ["", "1", "1 s", "s"])
def test_a_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)


def test_protobuf_of_an_unknown_kind_is_refused_and_not_misread() -> None:
    # Unknown{typeMeta: {apiVersion: "v1", kind: "Pod"}}
    type_meta = b"\x0a\x02v1\x12\x03Pod"
    with pytest.raises(ApiError, match="reads no protobuf of 'Pod'"):
        decode(b"k8s\x00\x0a" + bytes([len(type_meta)]) + type_meta)


def test_a_stand_in_chart_is_the_same_file_each_time(tmp_path: Path) -> None:
    pins = {"kuberay-operator": {"version": "1.7.0"}}
    (chart,) = charts(pins)
    first = chart.write(tmp_path / "a")
    assert first.name == "kuberay-operator-1.7.0.tgz"
    with tarfile.open(first) as archive:
        names = archive.getnames()
    assert "kuberay-operator/crds/rayservices.ray.io.yaml" in names
