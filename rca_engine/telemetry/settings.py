# SPDX-License-Identifier: Apache-2.0
"""The settings of a cluster's harvest: one file, or the same as a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from rca_engine import schemas
from rca_engine.errors import CaseError
from rca_engine.telemetry import deepflow, kubernetes_api, loki, tempo
from rca_engine.telemetry.http import Endpoint
from rca_engine.telemetry.placement import Rule


@dataclass(frozen=True)
class Cluster:
    """Where a cluster's telemetry is, and what its labels mean.

    Parameters
    ----------
    namespace
        Where the lab's pods are.
    prometheus
        The server that scraped them.
    jobs
        Job of the vocabulary to the PromQL matchers that find its series, where they differ from
        the defaults.
    intervals_s
        What the targets of a job are scraped at, where that differs.
    rules
        What labels of any source mean, before anything else.
    loki, tempo, deepflow, kubernetes
        Further sources; None for those that there are not.
    """

    namespace: str
    prometheus: Endpoint
    jobs: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    loki: loki.Source | None = None
    tempo: tempo.Source | None = None
    deepflow: deepflow.Source | None = None
    kubernetes: kubernetes_api.Source | None = None
    engine: str = "vllm"
    scrape_interval_s: float = 5.0
    intervals_s: Mapping[str, float] = field(default_factory=dict)
    step_s: float = 1.0
    deadline_s: float = 300.0


def read(path: Path) -> Cluster:
    """Read a settings file, YAML or JSON.

    Raises
    ------
    CaseError
        If it can't be read, is no mapping, or does not fit its schema.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: settings can't be read: {error}") from None
    except yaml.YAMLError as error:
        raise CaseError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    return parse(document, str(path))


def parse(document: Any, where: str = "settings") -> Cluster:
    """Read settings given as a dictionary.

    Raises
    ------
    CaseError
        If they do not fit the schema, naming the place and what is wrong there, or an address
        holds a password.
    """
    schemas.validate(document, "harvest", where)
    namespace = document["namespace"]
    plain = {
        name: document[name]
        for name in ("engine", "scrape_interval_s", "step_s", "deadline_s")
        if name in document
    }
    return Cluster(
        namespace=namespace,
        prometheus=_endpoint(document["prometheus"]),
        jobs=document["prometheus"].get("jobs", {}),
        intervals_s=document["prometheus"].get("intervals_s", {}),
        rules=_rules(document),
        loki=_source(loki.Source, document.get("loki"), query=f'{{namespace="{namespace}"}}'),
        tempo=_source(tempo.Source, document.get("tempo")),
        deepflow=_source(
            deepflow.Source, document.get("deepflow"), where=f"pod_ns_1 = '{namespace}'"
        ),
        kubernetes=_kubernetes(document.get("kubernetes"), namespace),
        **plain,
    )


def _endpoint(section: Mapping[str, Any]) -> Endpoint:
    if urlsplit(section["url"]).username is not None:
        # The address is written into the case; what is wrong with it is not repeated here.
        raise CaseError(
            "settings: a `url` names a user; give a `token_file` or `token_env` instead"
        )
    token, ca = section.get("token_file"), section.get("ca_file")
    return Endpoint(
        section["url"],
        token_file=None if token is None else Path(token),
        token_env=section.get("token_env"),
        tenant=section.get("tenant"),
        ca_file=None if ca is None else Path(ca),
    )


def _source(kind: type[Any], section: Mapping[str, Any] | None, **defaults: Any) -> Any:
    if section is None:
        return None
    own = {name: section[name] for name in ("query", "where", "limit") if name in section}
    return kind(_endpoint(section), **{**defaults, **own})


def _kubernetes(section: Mapping[str, Any] | None, namespace: str) -> kubernetes_api.Source | None:
    if section is None:
        return None
    return kubernetes_api.Source(
        namespace,
        endpoint=_endpoint(section) if "url" in section else None,
        kubeconfig=Path(section["kubeconfig"]) if "kubeconfig" in section else None,
        context=section.get("context"),
        components=tuple((rule.component, rule.labels) for rule in _rules(section)),
        events=section.get("events", True),
    )


def _rules(section: Mapping[str, Any]) -> tuple[Rule, ...]:
    return tuple(Rule(each["component"], each["labels"]) for each in section.get("components", ()))
