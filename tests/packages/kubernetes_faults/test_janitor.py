# SPDX-License-Identifier: Apache-2.0
"""The janitor ends what nobody else does, as its pod runs it: by the account of the pod alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.rcalab.llm.plugins.module_utils import kubernetes_faults
from ansible_collections.rcalab.llm.plugins.module_utils.faults.contract import Spec
from ansible_collections.rcalab.llm.plugins.module_utils.faults.registry import find
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults import catalogue
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.api import KINDS, Api
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.cluster import (
    find_target,
)
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.fault import (
    EXPIRES,
    LOCK,
    UNDO,
)
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults.janitor import Janitor
from ansible_collections.rcalab.llm.plugins.module_utils.zipapps import build_zipapp

from tests.fake_kubernetes import FakeKubernetes
from tests.fake_kubernetes.nodes import Node
from tests.fake_kubernetes.server import Tls
from tests.packages.kubernetes_faults.lab import COMPONENT, Lab, wait_for

pytestmark = pytest.mark.slow
ROLE = Path(__file__).parents[3] / "roles/chaos_agent/vars/main.yml"
LEASE, CHAOS = KINDS["Lease"], KINDS["NetworkChaos"]
_PATH = re.compile(
    r"/apis?/((?P<group>[^/]+)/)?v[^/]+/namespaces/llm/(?P<resource>[^/]+)(/(?P<name>[^/]+))?"
)
_LET_GO = ("coordination.k8s.io", "leases", "delete")
PERIOD_S = 0.3
# The janitor's period, and what a busy machine takes.
SOON_S = 10


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """What the API server is known by in its cluster."""
    folder = tmp_path_factory.mktemp("tls")
    tls = Tls(folder / "ca.crt", folder / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(tls.key), "-out", str(tls.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return tls


@pytest.fixture
def fake_kubernetes(tls: Tls) -> Iterator[FakeKubernetes]:
    node = Node.parse("gpu-0:cpu=64,memory=256Gi")
    with FakeKubernetes([node], tls=tls, operators_always=True) as fake:
        yield fake


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The janitor's file, as the role chaos_agent puts it into the ConfigMap."""
    path = tmp_path_factory.mktemp("janitor") / "janitor.pyz"
    package = Path(kubernetes_faults.__file__).parent
    entry_point = "kubernetes_faults.janitor:main"
    path.write_bytes(build_zipapp(package, entry_point, ["faults"], whole=False))
    return path


class Pod:
    """The janitor's pod: its program, its account, its log."""

    def __init__(self, program: Path, folder: Path, lab: Lab, tls: Tls) -> None:
        account = folder / "account"
        account.mkdir()
        (account / "token").write_text(lab.fake.token, encoding="ascii")
        (account / "ca.crt").write_bytes(tls.certificate.read_bytes())
        self._log = folder / "janitor.log"
        self._process: subprocess.Popen[bytes] | None = None
        # No package, no proxy: what an image without the collection has.
        self._command = [sys.executable, "-I", "-S", str(program), "--namespace=llm"]
        self._command += [f"--every-s={PERIOD_S}", f"--kubeconfig={account}"]
        self._environment = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT_HTTPS": str(lab.fake.port),
            "https_proxy": "http://127.0.0.1:1",
        }

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )

    def end(self) -> int:
        """Do what the kubelet does at the pod's deletion."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(timeout=SOON_S)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def states(self) -> list[str]:
        return [json.loads(line)["state"] for line in self.log().splitlines()]


@pytest.fixture
def pod(program: Path, tmp_path: Path, lab: Lab, tls: Tls) -> Iterator[Pod]:
    pod = Pod(program, tmp_path, lab, tls)
    pod.start()
    yield pod
    assert pod.end() == 0, pod.log()


@pytest.fixture
def kill(lab: Lab) -> Callable[..., None]:
    """Do a fault until it is active, and kill all that its machine has to end it."""

    def kill(fault: str, target: str = COMPONENT, **parameters: object) -> None:
        lab.kill_all(lab.run(fault, target, duration_s=60, **parameters))

    return kill


def age(lab: Lab, *kinds: str) -> None:
    """Let the time of a fault's objects be over."""
    past = {"metadata": {"annotations": {EXPIRES: "2026-01-01T00:00:00Z"}}}
    for obj in lab.objects(*kinds):
        if EXPIRES in (obj["metadata"].get("annotations") or {}):
            lab.api.patch(KINDS[obj["kind"]], "llm", obj["metadata"]["name"], past)


def spec_of(lab: Lab, kind: str) -> Any:
    [obj] = lab.objects(kind)
    return obj["spec"]


@pytest.mark.parametrize(
    ("fault", "target", "kind"),
    [
        ("F24", "service/llm", "RayService"),
        ("F29", "service/llm", "RayService"),
        ("F30", COMPONENT, "RayCluster"),
    ],
)
def test_a_change_is_given_back_once_its_time_is_over(
    lab: Lab, pod: Pod, kill: Callable[..., None], fault: str, target: str, kind: str
) -> None:
    before = spec_of(lab, kind)
    kill(fault, target)
    changed = spec_of(lab, kind)
    time.sleep(3 * PERIOD_S)
    assert changed != before
    assert spec_of(lab, kind) == changed

    age(lab, "Lease")

    wait_for(lambda: not lab.left(), "the janitor's undo", SOON_S)
    assert spec_of(lab, kind) == before
    wait_for(lambda: pod.states() == ["REVERTING", "REVERTED"], "the journal", SOON_S)
    told = {
        each["reason"]: each["message"]
        for each in lab.objects("Event")
        if each["involvedObject"]["name"] == LOCK
    }
    assert told.keys() == {"FaultReverting", "FaultReverted"}
    assert "not as before" in told["FaultReverting"]


def test_the_job_of_a_noisy_neighbour_goes_with_its_pods(
    lab: Lab, pod: Pod, kill: Callable[..., None]
) -> None:
    lab.fake.follow([{"match": {"kind": "Job"}, "never_ready": True}])
    kill("F02", "node/gpu-0", cores=2)
    assert lab.objects("Job")

    age(lab, "Lease", "Job", "Pod")

    wait_for(lambda: not lab.left(), "the janitor's undo", SOON_S)
    assert not [each for each in lab.objects("Pod") if "rcalab" in each["metadata"]["name"]]


def test_the_agent_of_a_node_is_told_to_end(lab: Lab, pod: Pod) -> None:
    fault = find("F12", catalogue)(find_target(lab.file, Spec("F12", COMPONENT)), {})
    fault.window_id = "w1"
    fault.capture()
    fault.inject()

    age(lab, "Lease", "Pod", "ConfigMap")

    wait_for(lambda: not lab.left(), "the janitor's undo", SOON_S)
    left = lab.objects("Pod", "ConfigMap")
    assert not [each for each in left if each["metadata"]["name"].startswith("rcalab")]


@pytest.mark.parametrize(
    ("fault", "target"),
    [
        ("F02", "node/gpu-0"),
        ("F06", COMPONENT),
        ("F12", COMPONENT),
        ("F24", "service/llm"),
        ("F30", COMPONENT),
    ],
)
def test_its_rights_are_what_it_needs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, fault: str, target: str
) -> None:
    given = find(fault, catalogue)(find_target(lab.file, Spec(fault, target)), {})
    given.window_id = "w1"
    given.capture()
    given.inject()
    age(lab, "Lease", "Job", "Pod", "ConfigMap", "NetworkChaos")
    asked: set[tuple[str, str, str]] = set()
    request = Api.request

    def recorded(self: Api, method: str, path: str, *rest: Any, **more: Any) -> Any:
        asked.add(right(method, path))
        return request(self, method, path, *rest, **more)

    monkeypatch.setattr(Api, "request", recorded)
    janitor = Janitor(lab.api, "llm")

    def lets_go() -> bool:
        janitor.look()
        return _LET_GO in asked

    wait_for(lets_go, "the undo", SOON_S)
    monkeypatch.undo()

    assert lab.left() == []
    objects = yaml.safe_load(ROLE.read_text(encoding="utf-8"))["_chaos_agent_objects"]
    [role] = [each for each in objects if each["kind"] == "Role"]
    allowed = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert asked - allowed == set()


def right(method: str, path: str) -> tuple[str, str, str]:
    """Return group, resource and verb that a request in the namespace needs."""
    match = _PATH.fullmatch(path)
    assert match is not None, f"{path} is not in the namespace"
    read = "get" if match["name"] else "list"
    verb = {"GET": read, "POST": "create", "PATCH": "patch", "DELETE": "delete"}[method]
    return match["group"] or "", match["resource"], verb


def test_an_experiment_that_hangs_keeps_its_lock_and_is_told_once(
    lab: Lab, pod: Pod, kill: Callable[..., None]
) -> None:
    kill("F06")
    [experiment] = lab.objects("NetworkChaos")
    name = experiment["metadata"]["name"]
    lab.api.patch(CHAOS, "llm", name, {"metadata": {"finalizers": ["example.org/hold"]}})

    age(lab, "Lease", "NetworkChaos")

    wait_for(lambda: "waits for example.org/hold" in pod.log(), "the complaint", SOON_S)
    time.sleep(3 * PERIOD_S)
    assert pod.log().count("waits for example.org/hold") == 1
    assert LOCK in lab.left()
    lab.api.patch(CHAOS, "llm", name, {"metadata": {"finalizers": []}})
    wait_for(lambda: not lab.left(), "the janitor's undo", SOON_S)


def test_a_controller_that_waits_for_pods_is_left_alone(lab: Lab, pod: Pod) -> None:
    fault = find("F11", catalogue)(find_target(lab.file, Spec("F11", COMPONENT)), {})
    fault.window_id = "w1"
    experiment = fault.capture()[0]
    # Its successor has the same name here.
    name = fault.target.describe()["pod"]
    lab.fake.follow([{"match": {"kind": "Pod", "name": name}, "never_ready": True}])
    fault.inject()
    experiment.restore()

    age(lab, "Lease")
    time.sleep(5 * PERIOD_S)

    assert LOCK in lab.left()
    assert pod.log() == ""
    lab.fake.follow([])
    wait_for(lambda: not lab.left(), "the end of the lock", SOON_S)


def test_an_undo_that_cannot_be_read_is_said_and_touches_nothing(
    lab: Lab, pod: Pod, kill: Callable[..., None]
) -> None:
    kill("F29", "service/llm")
    changed = spec_of(lab, "RayService")
    lab.api.patch(LEASE, "llm", LOCK, {"metadata": {"annotations": {UNDO: "[{}]"}}})

    age(lab, "Lease")

    wait_for(lambda: pod.states() == ["LEAKED"], "the complaint", SOON_S)
    assert "restore by hand" in pod.log()
    assert spec_of(lab, "RayService") == changed
    assert LOCK in lab.left()


def test_it_outlives_an_api_server_that_fails(
    lab: Lab, pod: Pod, kill: Callable[..., None]
) -> None:
    kill("F29", "service/llm")
    age(lab, "Lease")
    lab.fake.follow([{"match": {"kind": "Lease"}, "verbs": ["list"], "error": 500}])
    wait_for(lambda: "answers 500" in pod.log(), "the complaint", SOON_S)

    lab.fake.follow([])

    wait_for(lambda: not lab.left(), "the janitor's undo", SOON_S)


def test_one_that_may_not_look_does_not_seem_to_watch(
    program: Path, tmp_path: Path, lab: Lab, tls: Tls
) -> None:
    lab.fake.follow([{"match": {"kind": "Lease"}, "verbs": ["list"], "error": 403}])
    pod = Pod(program, tmp_path, lab, tls)
    pod.start()

    assert pod.wait() == 1
    assert "failed: the API server answers 403" in pod.log()


def test_it_says_where_it_cannot_run(program: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(program), "--namespace=llm", f"--kubeconfig={tmp_path}"]

    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "this is no pod with a service account" in done.stderr
