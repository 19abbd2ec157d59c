# SPDX-License-Identifier: Apache-2.0
"""Chaos Mesh: an experiment selects its targets, injects, and recovers when its time is up.

Records, conditions, events and the finalizer are those of Chaos Mesh 2.8. Of the effects only the
killing of pods is played. As there: targets are chosen once; a selector that finds none leaves an
event and no injection; without the controller nothing recovers, and a deletion waits for ever.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.fake_kubernetes import clock
from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.operators import is_watched
from tests.fake_kubernetes.selectors import labels_match
from tests.fake_kubernetes.storage import Object

from . import plays

FINALIZER = "chaos-mesh/records"
PAUSE = "experiment.chaos-mesh.org/pause"
CLEAN_FINALIZER = "chaos-mesh.chaos-mesh.org/cleanFinalizer"
INJECTED, NOT_INJECTED = "Injected", "Not Injected"

_OPERATOR = "chaos-mesh"
# These act on one container of a pod, the others on the pod.
_ON_CONTAINERS = {"DNSChaos", "IOChaos", "StressChaos", "TimeChaos"}
_ONE_SHOT = {"pod-kill", "container-kill"}


@plays(
    "chaos-mesh.org",
    "DNSChaos",
    "HTTPChaos",
    "IOChaos",
    "NetworkChaos",
    "PodChaos",
    "StressChaos",
    "TimeChaos",
)
def experiment(cluster: Cluster, obj: Object) -> None:
    """Play one experiment."""
    if not is_watched(cluster, _OPERATOR):
        return
    metadata = obj["metadata"]
    leaving = "deletionTimestamp" in metadata
    if not leaving and FINALIZER not in metadata.get("finalizers", []):
        obj = cluster.change_metadata(obj, finalizers=[*metadata.get("finalizers", []), FINALIZER])
    phase = "Stop" if leaving else _desired_phase(cluster, obj)
    records = (obj.get("status", {}).get("experiment") or {}).get("containerRecords")
    if records is None and not leaving:
        records = _select(cluster, obj)
    records = [_moved(cluster, obj, record, phase) for record in records or []]
    status = _status(obj, records, phase)
    obj = cluster.change(obj, status=status)
    forced = (metadata.get("annotations") or {}).get(CLEAN_FINALIZER) == "forced"
    if leaving and (forced or all(record["phase"] == NOT_INJECTED for record in records)):
        # Another's finalizer keeps the object.
        others = [each for each in obj["metadata"]["finalizers"] if each != FINALIZER]
        cluster.change_metadata(obj, finalizers=others or None)


def _desired_phase(cluster: Cluster, obj: Object) -> str:
    spec, metadata = obj["spec"], obj["metadata"]
    if spec.get("action") in _ONE_SHOT:
        return "Run"
    if duration := spec.get("duration"):
        created = datetime.fromisoformat(metadata["creationTimestamp"])
        age = (datetime.now(UTC) - created).total_seconds()
        left = clock.seconds(duration) - age
        if left <= 0:
            return "Stop"
        cluster.later(left, obj)
    paused = (metadata.get("annotations") or {}).get(PAUSE) == "true"
    return "Stop" if paused else "Run"


def _select(cluster: Cluster, obj: Object) -> list[dict[str, Any]] | None:
    """Choose the targets of every selector; None where one of them finds none."""
    spec = obj["spec"]
    scopes = {".": spec}
    if obj["kind"] == "NetworkChaos" and spec.get("target"):
        scopes[".Target"] = spec["target"]
    records = []
    for key, scope in scopes.items():
        pods = _limited(_matching(cluster, obj, scope["selector"]), scope)
        if not pods:
            message = "Failed to select targets: no target has been selected"
            # Said once: a controller that says it again raises the count of the event.
            if "status" not in obj:
                cluster.event(obj, "Warning", "Failed", message)
            return None
        for pod in pods:
            records += [
                {
                    "id": target,
                    "selectorKey": key,
                    "phase": NOT_INJECTED,
                    "injectedCount": 0,
                    "recoveredCount": 0,
                }
                for target in _targets(obj, pod)
            ]
    return records


def _targets(obj: Object, pod: Object) -> list[str]:
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    spec = obj["spec"]
    if obj["kind"] not in _ON_CONTAINERS and spec.get("action") != "container-kill":
        return [name]
    containers = [container["name"] for container in pod["spec"]["containers"]]
    named = spec.get("containerNames") or containers[:1]
    return [f"{name}/{container}" for container in named if container in containers]


def _matching(cluster: Cluster, obj: Object, selector: dict[str, Any]) -> list[Object]:
    if by_name := selector.get("pods"):
        found = [
            cluster.find("", "Pod", name, namespace)
            for namespace, names in by_name.items()
            for name in names
        ]
        return [pod for pod in found if pod is not None]
    namespaces = selector.get("namespaces") or [obj["metadata"]["namespace"]]
    wanted = {
        "matchLabels": selector.get("labelSelectors"),
        "matchExpressions": selector.get("expressionSelectors"),
    }
    annotations = {"matchLabels": selector.get("annotationSelectors")}
    phases = selector.get("podPhaseSelectors")
    nodes = selector.get("nodes")
    return [
        pod
        for namespace in namespaces
        for pod in cluster.objects("", "Pod", namespace, wanted)
        if labels_match(annotations, pod["metadata"].get("annotations") or {})
        and (not phases or pod.get("status", {}).get("phase") in phases)
        and (not nodes or pod["spec"].get("nodeName") in nodes)
    ]


def _limited(pods: list[Object], scope: dict[str, Any]) -> list[Object]:
    """Take as many as the mode says; the first ones, where Chaos Mesh takes any."""
    mode, value = scope.get("mode", "one"), int(scope.get("value") or 0)
    if mode == "all":
        return pods
    if mode == "one":
        return pods[:1]
    if mode == "fixed":
        return pods[:value]
    return pods[: len(pods) * value // 100]


def _moved(cluster: Cluster, obj: Object, record: dict[str, Any], phase: str) -> dict[str, Any]:
    """Bring a record to the desired phase, with what that does."""
    if phase == "Run" and record["phase"] == NOT_INJECTED:
        if cluster.is_stuck(obj):
            failed = _record_event("Apply", "Failed", "the script keeps this fault from acting")
            return record if "events" in record else record | {"events": [failed]}
        if obj["spec"].get("action") == "pod-kill":
            namespace, _, name = record["id"].partition("/")
            if pod := cluster.find("", "Pod", name, namespace):
                cluster.delete(pod)
        message = f"Successfully apply chaos for {record['id']}"
        cluster.event(obj, "Normal", "Applied", message)
        count = record["injectedCount"] + 1
        events = [*record.get("events", []), _record_event("Apply", "Succeeded")]
        return record | {"phase": INJECTED, "injectedCount": count, "events": events}
    if phase == "Stop" and record["phase"] == INJECTED:
        message = f"Successfully recover chaos for {record['id']}"
        cluster.event(obj, "Normal", "Recovered", message)
        count = record["recoveredCount"] + 1
        events = [*record.get("events", []), _record_event("Recover", "Succeeded")]
        return record | {"phase": NOT_INJECTED, "recoveredCount": count, "events": events}
    return record


def _record_event(operation: str, type_: str, message: str = "") -> dict[str, str]:
    event = {"operation": operation, "type": type_, "timestamp": clock.now()}
    return event | {"message": message} if message else event


def _status(obj: Object, records: list[dict[str, Any]], phase: str) -> dict[str, Any]:
    phases = {record["phase"] for record in records}
    paused = (obj["metadata"].get("annotations") or {}).get(PAUSE) == "true"
    held = {
        "Selected": bool(records),
        "AllInjected": phases == {INJECTED},
        "AllRecovered": phases == {NOT_INJECTED},
        "Paused": paused,
    }
    conditions = [
        {"type": name, "status": "True" if value else "False"} for name, value in held.items()
    ]
    experiment_status: dict[str, Any] = {"desiredPhase": phase}
    if records:
        experiment_status["containerRecords"] = records
    old: Object = obj.get("status", {})
    return old | {"conditions": conditions, "experiment": experiment_status}
