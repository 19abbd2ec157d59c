# SPDX-License-Identifier: Apache-2.0
"""What the controllers make of objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient

from tests.fake_kubernetes import FakeKubernetes
from tests.fake_kubernetes.charts import definition
from tests.fake_kubernetes.nodes import Node
from tests.packages.fake_kubernetes.objects import deployment

pytestmark = pytest.mark.slow

NODES = ["cpu-0", "gpu-0:nvidia.com/gpu=2,label/tier=gpu,taint/nvidia.com/gpu=NoSchedule"]


@pytest.fixture
def fake_kubernetes() -> Iterator[FakeKubernetes]:
    with FakeKubernetes([Node.parse(text) for text in NODES]) as fake:
        yield fake


@pytest.fixture
def client(dynamic: DynamicClient) -> DynamicClient:
    return dynamic


def resource(client: DynamicClient, kind: str, api_version: str = "v1") -> Any:
    return client.resources.get(api_version=api_version, kind=kind)


def define(client: DynamicClient, *lines: str) -> None:
    definitions = resource(client, "CustomResourceDefinition", "apiextensions.k8s.io/v1")
    for line in lines:
        definitions.create(body=definition(line, None))


def conditions(obj: Any) -> dict[str, str]:
    return {each.type: each.status for each in obj.status.conditions}


def operator(client: DynamicClient, name: str) -> Any:
    body = deployment(name)
    body["metadata"]["labels"]["app.kubernetes.io/name"] = name
    return resource(client, "Deployment", "apps/v1").create(body=body)


def workload(kind: str, name: str = "web", **spec: Any) -> dict[str, Any]:
    body = deployment(name)
    body["kind"] = kind
    del body["spec"]["replicas"]
    body["spec"] |= spec
    return body


class TestPods:
    def test_go_where_their_needs_are_met(self, client: DynamicClient) -> None:
        pods = resource(client, "Pod")
        limits = {"limits": {"nvidia.com/gpu": 1}}
        spec = {
            "containers": [{"name": "a", "image": "none", "resources": limits}],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        }
        for number in range(3):
            body = {"metadata": {"name": f"pod-{number}"}, "spec": spec}
            pods.create(body=body, namespace="default")
        placed = [pods.get(name=f"pod-{number}", namespace="default") for number in range(3)]
        assert [pod.spec.nodeName for pod in placed] == ["gpu-0", "gpu-0", None]
        assert placed[2].status.phase == "Pending"
        assert "Insufficient nvidia.com/gpu" in placed[2].status.conditions[0].message

        pods.delete(name="pod-0", namespace="default")
        assert pods.get(name="pod-2", namespace="default").spec.nodeName == "gpu-0"

    def test_keep_off_a_taint(self, client: DynamicClient) -> None:
        resource(client, "DaemonSet", "apps/v1").create(body=workload("DaemonSet"))
        (pod,) = resource(client, "Pod").get(namespace="default").items
        assert pod.spec.nodeName == "cpu-0"


class TestWorkloads:
    def test_a_new_template_replaces_the_pods(self, client: DynamicClient) -> None:
        deployments = resource(client, "Deployment", "apps/v1")
        deployments.create(body=deployment(replicas=2))
        (before,) = resource(client, "ReplicaSet", "apps/v1").get(namespace="default").items
        deployments.patch(
            body=deployment(replicas=2, priority=1),
            namespace="default",
            content_type="application/merge-patch+json",
        )
        pods = resource(client, "Pod").get(namespace="default").items
        assert len(pods) == 2
        assert {pod.spec.priority for pod in pods} == {1}
        old = resource(client, "ReplicaSet", "apps/v1").get(
            name=before.metadata.name, namespace="default"
        )
        assert old.spec.replicas == 0

    def test_a_stateful_set_numbers_its_pods_and_keeps_their_claims(
        self, client: DynamicClient
    ) -> None:
        claim = {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        sets = resource(client, "StatefulSet", "apps/v1")
        sets.create(
            body=workload("StatefulSet", replicas=2, serviceName="x", volumeClaimTemplates=[claim])
        )
        names = [p.metadata.name for p in resource(client, "Pod").get(namespace="default").items]
        assert names == ["web-0", "web-1"]
        sets.delete(name="web", namespace="default")
        claims = resource(client, "PersistentVolumeClaim").get(namespace="default").items
        assert [(c.metadata.name, c.status.phase) for c in claims] == [
            ("data-web-0", "Bound"),
            ("data-web-1", "Bound"),
        ]

    def test_a_job_completes(self, client: DynamicClient) -> None:
        template = {"spec": {"containers": [{"name": "a"}], "restartPolicy": "Never"}}
        body = {"metadata": {"name": "one"}, "spec": {"template": template}}
        jobs = resource(client, "Job", "batch/v1")
        jobs.create(body=body, namespace="default")
        job = jobs.get(name="one", namespace="default")
        assert (job.status.succeeded, conditions(job)["Complete"]) == (1, "True")

    def test_a_load_balancer_gets_addresses(self, client: DynamicClient) -> None:
        spec = {"type": "LoadBalancer", "selector": {"a": "b"}, "ports": [{"port": 80}]}
        services = resource(client, "Service")
        services.create(body={"metadata": {"name": "one"}, "spec": spec}, namespace="default")
        service = services.get(name="one", namespace="default")
        assert len(service.status.loadBalancer.ingress) == len(NODES)
        assert service.spec.ports[0].nodePort >= 30000


class TestScript:
    def test_what_it_holds_back_comes_when_it_lets_go(
        self, client: DynamicClient, fake_kubernetes: FakeKubernetes
    ) -> None:
        deployments = resource(client, "Deployment", "apps/v1")
        rules = [{"match": {"kind": "Deployment", "name": "web"}, "never_ready": True}]
        fake_kubernetes.follow(rules)
        deployments.create(body=deployment())
        waiting = deployments.get(name="web", namespace="default")
        assert conditions(waiting)["Available"] == "False"
        assert waiting.status.readyReplicas is None

        fake_kubernetes.follow([])
        assert conditions(deployments.get(name="web", namespace="default"))["Available"] == "True"

    def test_it_answers_errors_so_many_times(
        self, client: DynamicClient, fake_kubernetes: FakeKubernetes
    ) -> None:
        pods = resource(client, "Pod")
        rule = {"match": {"kind": "Pod"}, "verbs": ["list"], "error": 503, "times": 2}
        fake_kubernetes.follow([rule])
        for _ in range(2):
            with pytest.raises(ApiException) as error:
                pods.get(namespace="default")
            assert error.value.status == 503
        assert pods.get(namespace="default").items == []


RAY_SERVICE = {
    "apiVersion": "ray.io/v1",
    "kind": "RayService",
    "metadata": {"name": "llm", "namespace": "default"},
    "spec": {
        "serveConfigV2": "applications: []",
        "rayClusterConfig": {
            "headGroupSpec": {"template": {"spec": {"containers": [{"name": "head"}]}}},
            "workerGroupSpecs": [
                {
                    "groupName": "llm-0",
                    "replicas": 1,
                    "template": {"spec": {"containers": [{"name": "worker"}]}},
                }
            ],
        },
    },
}


class TestRay:
    @pytest.fixture
    def services(self, client: DynamicClient) -> Any:
        define(client, "ray.io/v1 RayCluster", "ray.io/v1 RayService")
        return resource(client, "RayService", "ray.io/v1")

    def test_nothing_happens_without_the_operator(
        self, client: DynamicClient, services: Any
    ) -> None:
        services.create(body=RAY_SERVICE)
        assert services.get(name="llm", namespace="default").status is None
        operator(client, "kuberay-operator")
        assert conditions(services.get(name="llm", namespace="default"))["Ready"] == "True"

    def test_a_service_becomes_pods_and_is_ready(
        self, client: DynamicClient, services: Any
    ) -> None:
        operator(client, "kuberay-operator")
        services.create(body=RAY_SERVICE)
        service = services.get(name="llm", namespace="default")
        assert service.status.serviceStatus == "Running"
        assert service.status.numServeEndpoints == 2
        pods = resource(client, "Pod").get(namespace="default", label_selector="ray.io/group=llm-0")
        assert [pod.metadata.labels["ray.io/node-type"] for pod in pods.items] == ["worker"]
        names = {s.metadata.name for s in resource(client, "Service").get().items}
        assert {"llm-head-svc", "llm-serve-svc"} <= names

        services.delete(name="llm", namespace="default")
        left = resource(client, "Pod").get(label_selector="ray.io/cluster")
        assert left.items == []

    def test_another_cluster_specification_makes_another_cluster(
        self, client: DynamicClient, services: Any
    ) -> None:
        operator(client, "kuberay-operator")
        services.create(body=RAY_SERVICE)
        clusters = resource(client, "RayCluster", "ray.io/v1")
        (first,) = clusters.get().items
        version = {"spec": {"rayClusterConfig": {"rayVersion": "2.60.0"}}}
        services.patch(
            body=version,
            name="llm",
            namespace="default",
            content_type="application/merge-patch+json",
        )
        (second,) = clusters.get().items
        assert first.metadata.name != second.metadata.name

    def test_a_service_that_is_held_back_is_initializing(
        self, client: DynamicClient, services: Any, fake_kubernetes: FakeKubernetes
    ) -> None:
        rules = [{"match": {"kind": "RayService"}, "never_ready": True}]
        fake_kubernetes.follow(rules)
        operator(client, "kuberay-operator")
        services.create(body=RAY_SERVICE)
        service = services.get(name="llm", namespace="default")
        (ready,) = [c for c in service.status.conditions if c.type == "Ready"]
        assert (ready.status, ready.reason) == ("False", "Initializing")


def stress(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "StressChaos",
        "metadata": {"name": "one", "namespace": "default"},
        "spec": {"mode": "all", "selector": {"labelSelectors": {"app": "web"}}} | spec,
    }


class TestChaos:
    @pytest.fixture
    def faults(self, client: DynamicClient) -> Any:
        define(
            client,
            "chaos-mesh.org/v1alpha1 StressChaos stresschaos",
            "chaos-mesh.org/v1alpha1 PodChaos podchaos",
        )
        operator(client, "chaos-mesh")
        return resource(client, "StressChaos", "chaos-mesh.org/v1alpha1")

    @pytest.fixture
    def web(self, client: DynamicClient) -> Any:
        return resource(client, "Deployment", "apps/v1").create(body=deployment(replicas=2))

    def test_a_fault_is_injected_in_each_target(self, faults: Any, web: Any) -> None:
        faults.create(body=stress())
        fault = faults.get(name="one", namespace="default")
        assert conditions(fault) == {
            "Selected": "True",
            "AllInjected": "True",
            "AllRecovered": "False",
            "Paused": "False",
        }
        records = fault.status.experiment.containerRecords
        assert {record.phase for record in records} == {"Injected"}
        assert len(records) == 2
        assert all(record.id.startswith("default/web-") for record in records)
        assert all(record.id.endswith("/main") for record in records)
        assert [(e.operation, e.type) for e in records[0].events] == [("Apply", "Succeeded")]

    def test_a_fault_that_the_script_holds_back_says_that_it_failed(
        self, faults: Any, web: Any, fake_kubernetes: FakeKubernetes
    ) -> None:
        fake_kubernetes.follow([{"match": {"kind": "StressChaos"}, "never_ready": True}])
        faults.create(body=stress())
        fault = faults.get(name="one", namespace="default")
        assert conditions(fault)["AllInjected"] == "False"
        (event,) = fault.status.experiment.containerRecords[0].events
        assert (event.operation, event.type) == ("Apply", "Failed")

    def test_a_selector_that_finds_no_pod_injects_nothing(
        self, client: DynamicClient, faults: Any
    ) -> None:
        faults.create(body=stress())
        fault = faults.get(name="one", namespace="default")
        held = conditions(fault)
        assert (held["Selected"], held["AllInjected"]) == ("False", "False")
        assert fault.status.experiment.containerRecords is None
        (event,) = resource(client, "Event").get(field_selector="reason=Failed").items
        assert "no target has been selected" in event.message

    def test_a_fault_ends_with_its_duration(self, faults: Any, web: Any) -> None:
        faults.create(body=stress(duration="2s"))
        assert faults.get(name="one", namespace="default").status.experiment.desiredPhase == "Run"
        for event in faults.watch(namespace="default", timeout=20):
            if conditions(event["object"])["AllRecovered"] == "True":
                break
        fault = faults.get(name="one", namespace="default")
        assert fault.status.experiment.desiredPhase == "Stop"
        counts = [
            (record.injectedCount, record.recoveredCount)
            for record in fault.status.experiment.containerRecords
        ]
        assert counts == [(1, 1), (1, 1)]

    def test_a_pause_recovers_and_its_end_injects_again(self, faults: Any, web: Any) -> None:
        faults.create(body=stress())
        for value, wanted in (("true", "AllRecovered"), (None, "AllInjected")):
            annotations = {"experiment.chaos-mesh.org/pause": value}
            faults.patch(
                body={"metadata": {"annotations": annotations}},
                name="one",
                namespace="default",
                content_type="application/merge-patch+json",
            )
            assert conditions(faults.get(name="one", namespace="default"))[wanted] == "True"

    def test_a_deletion_recovers_first(self, faults: Any, web: Any) -> None:
        faults.create(body=stress())
        faults.delete(name="one", namespace="default")
        assert faults.get(namespace="default").items == []

    def test_without_the_controller_a_deletion_hangs(
        self, client: DynamicClient, faults: Any, web: Any
    ) -> None:
        faults.create(body=stress())
        resource(client, "Deployment", "apps/v1").delete(name="chaos-mesh", namespace="default")
        faults.delete(name="one", namespace="default")
        (fault,) = faults.get(namespace="default").items
        assert fault.metadata.deletionTimestamp
        assert conditions(fault)["AllInjected"] == "True"

    def test_a_killed_pod_is_replaced(self, client: DynamicClient, faults: Any, web: Any) -> None:
        pods = resource(client, "Pod")

        def names() -> set[str]:
            found = pods.get(namespace="default", label_selector="app=web").items
            return {pod.metadata.name for pod in found}

        before = names()
        body = stress(action="pod-kill", mode="one") | {"kind": "PodChaos"}
        resource(client, "PodChaos", "chaos-mesh.org/v1alpha1").create(body=body)
        assert len(names()) == 2
        assert len(names() & before) == 1


def test_a_gpu_policy_becomes_ready(client: DynamicClient) -> None:
    define(client, "nvidia.com/v1 ClusterPolicy clusterpolicies *")
    operator(client, "gpu-operator")
    policies = resource(client, "ClusterPolicy", "nvidia.com/v1")
    body = {"apiVersion": "nvidia.com/v1", "kind": "ClusterPolicy", "spec": {}}
    policies.create(body=body | {"metadata": {"name": "cluster-policy"}})
    assert policies.get(name="cluster-policy").status.state == "ready"
    classes = resource(client, "RuntimeClass", "node.k8s.io/v1")
    assert [each.metadata.name for each in classes.get().items] == ["nvidia"]


def test_nodes_say_what_the_command_line_says(client: DynamicClient) -> None:
    node = resource(client, "Node").get(name="gpu-0")
    assert node.status.allocatable["nvidia.com/gpu"] == "2"
    assert node.metadata.labels["tier"] == "gpu"
    assert node.status.nodeInfo.containerRuntimeVersion.startswith("containerd://")
