# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a Kubernetes API server, for tests of what talks to one.

kubernetes.core, helm and kubectl run against it as they are. It plays documented behaviour:

- objects of the built-in kinds and of every CustomResourceDefinition that is created, with uid,
  generation, resourceVersion, finalizers, owner references and namespaces that take their objects
  along;
- list and watch with label and field selectors, limit and continue, and streaming lists;
- create, replace, delete with propagation and preconditions, and patches: merge, JSON, strategic,
  server-side apply with field owners and conflicts; `dryRun=All` of each;
- the errors of a real server, as Status objects: 400, 401, 403, 404, 405, 409, 410, 415, 422;
- custom resources checked against their schema: defaults, types, required fields, unknown fields
  pruned, or refused with `fieldValidation=Strict`;
- the controllers of ``players``: what a namespace, a workload or an operator's resource becomes.
  All of them act before the answer to a request goes out, so a test never waits for luck;
- what the kubelet counts of pods and what pods answer through the API server, as far as experiments
  of Chaos Mesh change it (``proxies``);
- misbehaviour on demand (``script``): an object that never becomes ready, errors, slowness.

What it does not play: it runs no container (no exec, no port-forward, no logs but what a test puts
into the annotation `fake/log`); it has no
authorization (every bearer of the token may do all) and no admission webhook; the built-in kinds
are not checked against their schemas (`tests/packages/collection` does that); of custom resources
it leaves out validation rules in CEL and conversion between versions; there are no quotas,
disruption budgets or autoscaling; a rolling update has no steps between its start and its end.
Of bodies in protobuf it reads those that helm sends (``protobuf``), others are refused with 415;
it has OpenAPI version 3 alone, so kubectl applies no object of kind List without
`--validate=false`.

``python -m tests.fake_kubernetes --help`` runs it; ``FakeKubernetes`` runs it in a test.
"""

from __future__ import annotations

from .server import FakeKubernetes

__all__ = ["FakeKubernetes"]
