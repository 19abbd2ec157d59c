# SPDX-License-Identifier: Apache-2.0
"""Misbehaviour on demand.

A script is a list of rules. Each says which objects or requests it is about and one thing that goes
wrong with them:

    - match: {kind: Deployment, name: loki}    # kind, name, namespace, each optional
      never_ready: true
    - match: {kind: Secret}
      verbs: [create]    # optional; get, list, watch, create, update, patch, delete
      error: 500         # answered so many times, then no longer
      times: 3
    - match: {kind: Pod}
      delay_s: 0.5       # each such request takes so much longer

The first rule that fits a request is the one that acts.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EFFECTS = ("never_ready", "error", "delay_s")
_KEYS = {"match", "verbs", "times", *_EFFECTS}
_VERBS = {"get", "list", "watch", "create", "update", "patch", "delete"}


class ScriptError(ValueError):
    """A script that says nothing sensible."""


@dataclass
class Rule:
    """One thing that goes wrong."""

    match: dict[str, str] = field(default_factory=dict)
    verbs: frozenset[str] = frozenset(_VERBS)
    never_ready: bool = False
    error: int = 0
    # None: always.
    times: int | None = None
    delay_s: float = 0.0

    def fits(self, kind: str, namespace: str, name: str) -> bool:
        """Whether it is about this object."""
        facts = {"kind": kind, "namespace": namespace, "name": name}
        return all(facts[key] == value for key, value in self.match.items())


def read(rules: Any) -> list[Rule]:
    """Read the rules of a script.

    Raises
    ------
    ScriptError
        If one of them is none.
    """
    if not isinstance(rules, list):
        raise ScriptError("a script is a list of rules")
    found = []
    for number, rule in enumerate(rules, start=1):
        if not isinstance(rule, dict) or not rule.keys() <= _KEYS:
            raise ScriptError(f"rule {number}: its keys are among {', '.join(sorted(_KEYS))}")
        if sum(key in rule for key in _EFFECTS) != 1:
            raise ScriptError(f"rule {number}: needs one of {', '.join(_EFFECTS)}")
        match, verbs = rule.get("match", {}), set(rule.get("verbs", _VERBS))
        if not match.keys() <= {"kind", "name", "namespace"}:
            raise ScriptError(f"rule {number}: match knows kind, name and namespace")
        if not verbs <= _VERBS:
            raise ScriptError(f"rule {number}: verbs are among {', '.join(sorted(_VERBS))}")
        found.append(Rule(**{**rule, "match": match, "verbs": frozenset(verbs)}))
    return found


class Script:
    """The rules in force."""

    def __init__(self, rules: list[Rule] | None = None) -> None:
        self._rules = rules or []
        self._lock = threading.Lock()

    @classmethod
    def from_file(cls, path: Path) -> Script:
        """Read a script from a YAML file."""
        return cls(read(yaml.safe_load(path.read_text(encoding="utf-8"))))

    def replace(self, rules: list[Rule]) -> None:
        """Put other rules into force."""
        with self._lock:
            self._rules = rules

    def never_ready(self, kind: str, namespace: str, name: str) -> bool:
        """Whether an object is to stay unready."""
        return any(rule.never_ready and rule.fits(kind, namespace, name) for rule in self._rules)

    def fate(self, verb: str, kind: str, namespace: str, name: str) -> tuple[float, int]:
        """Return by how many seconds a request is late, and the error it gets (0: none)."""
        with self._lock:
            for rule in self._rules:
                if rule.never_ready or verb not in rule.verbs or rule.times == 0:
                    continue
                if rule.fits(kind, namespace, name):
                    if rule.times is not None:
                        rule.times -= 1
                    return rule.delay_s, rule.error
        return 0.0, 0
