# SPDX-License-Identifier: Apache-2.0
"""The kinds that the server knows: the built-in ones, and those that definitions bring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import errors

# One line for each: group and version, kind, plural, short names; `+` marks a namespaced kind,
# `!` one without a status of its own.
BUILT_IN = """
v1 Namespace namespaces ns
v1 Node nodes no
v1 PersistentVolume persistentvolumes pv
v1 Pod pods+ po
v1 Service services+ svc
v1 ConfigMap configmaps+! cm
v1 Secret secrets+!
v1 ServiceAccount serviceaccounts+! sa
v1 Endpoints endpoints+! ep
v1 Event events+! ev
v1 PersistentVolumeClaim persistentvolumeclaims+ pvc
v1 ReplicationController replicationcontrollers+ rc
v1 ResourceQuota resourcequotas+ quota
v1 LimitRange limitranges+! limits
v1 PodTemplate podtemplates+!
apps/v1 Deployment deployments+ deploy
apps/v1 ReplicaSet replicasets+ rs
apps/v1 StatefulSet statefulsets+ sts
apps/v1 DaemonSet daemonsets+ ds
apps/v1 ControllerRevision controllerrevisions+!
batch/v1 Job jobs+
batch/v1 CronJob cronjobs+ cj
autoscaling/v2 HorizontalPodAutoscaler horizontalpodautoscalers+ hpa
policy/v1 PodDisruptionBudget poddisruptionbudgets+ pdb
networking.k8s.io/v1 Ingress ingresses+ ing
networking.k8s.io/v1 IngressClass ingressclasses!
networking.k8s.io/v1 NetworkPolicy networkpolicies+! netpol
discovery.k8s.io/v1 EndpointSlice endpointslices+!
coordination.k8s.io/v1 Lease leases+!
events.k8s.io/v1 Event events+! ev
rbac.authorization.k8s.io/v1 Role roles+!
rbac.authorization.k8s.io/v1 RoleBinding rolebindings+!
rbac.authorization.k8s.io/v1 ClusterRole clusterroles!
rbac.authorization.k8s.io/v1 ClusterRoleBinding clusterrolebindings!
scheduling.k8s.io/v1 PriorityClass priorityclasses! pc
storage.k8s.io/v1 StorageClass storageclasses! sc
storage.k8s.io/v1 CSIDriver csidrivers!
storage.k8s.io/v1 CSINode csinodes!
node.k8s.io/v1 RuntimeClass runtimeclasses!
apiextensions.k8s.io/v1 CustomResourceDefinition customresourcedefinitions crd,crds
apiregistration.k8s.io/v1 APIService apiservices
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration mutatingwebhookconfigurations!
admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration validatingwebhookconfigurations!
admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy validatingadmissionpolicies
admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding validatingadmissionpolicybindings!
"""

SCALED = {"deployments", "replicasets", "statefulsets", "replicationcontrollers"}


@dataclass(frozen=True)
class Kind:
    """One kind in one version of its group."""

    group: str
    version: str
    name: str
    plural: str
    namespaced: bool
    has_status: bool
    short_names: tuple[str, ...] = ()
    # Of a custom resource: its schema, and whether this is the version that is kept.
    custom: bool = False
    schema: dict[str, Any] | None = field(default=None, hash=False, compare=False)
    scaled: bool = False

    @property
    def api_version(self) -> str:
        """The apiVersion of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def place(self) -> tuple[str, str]:
        """Where its objects are kept, whatever their version."""
        # Events are one kind with two faces.
        return ("", "events") if self.plural == "events" else (self.group, self.plural)

    @property
    def path(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"


def split_api_version(api_version: str) -> tuple[str, str]:
    """Split into group and version; the group of `v1` is empty."""
    group, _, version = api_version.rpartition("/")
    return group, version


def _built_in() -> Iterator[Kind]:
    for line in BUILT_IN.strip().splitlines():
        api_version, name, plural, *short = line.split()
        group, version = split_api_version(api_version)
        bare = plural.rstrip("+!")
        yield Kind(
            group=group,
            version=version,
            name=name,
            plural=bare,
            namespaced="+" in plural,
            has_status="!" not in plural,
            short_names=tuple(short[0].split(",")) if short else (),
            scaled=bare in SCALED,
        )


def of_definition(definition: dict[str, Any]) -> list[Kind]:
    """Return the kinds, one for each served version, that a CustomResourceDefinition brings."""
    spec = definition["spec"]
    names = spec["names"]
    return [
        Kind(
            group=spec["group"],
            version=version["name"],
            name=names["kind"],
            plural=names["plural"],
            namespaced=spec["scope"] == "Namespaced",
            has_status="status" in (version.get("subresources") or {}),
            short_names=tuple(names.get("shortNames") or ()),
            custom=True,
            schema=(version.get("schema") or {}).get("openAPIV3Schema"),
        )
        for version in spec["versions"]
        if version.get("served")
    ]


class Kinds:
    """The kinds that are served now."""

    def __init__(self) -> None:
        self._kinds = {(k.group, k.version, k.plural): k for k in _built_in()}

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._kinds.values()))

    def define(self, definition: dict[str, Any]) -> None:
        """Serve what a CustomResourceDefinition defines, in place of what it did before."""
        self.forget(definition)
        for kind in of_definition(definition):
            self._kinds[kind.group, kind.version, kind.plural] = kind

    def forget(self, definition: dict[str, Any]) -> None:
        """Serve a CustomResourceDefinition's kinds no longer."""
        group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        for key in [k for k in self._kinds if (k[0], k[2]) == (group, plural)]:
            del self._kinds[key]

    def at(self, group: str, version: str, plural: str) -> Kind:
        """Return the kind that is served at a path.

        Raises
        ------
        ApiError
            If there is none: 404.
        """
        try:
            return self._kinds[group, version, plural]
        except KeyError:
            raise errors.no_such_path() from None

    def of(self, api_version: str, name: str) -> Kind | None:
        """Return the kind of an object by its own words, or None where it is not served."""
        group, version = split_api_version(api_version)
        for kind in self._kinds.values():
            if (kind.group, kind.version, kind.name) == (group, version, name):
                return kind
        return None

    def named(self, group: str, name: str) -> Kind | None:
        """Return any version of a kind, or None where it is not served."""
        for kind in self._kinds.values():
            if (kind.group, kind.name) == (group, name):
                return kind
        return None
