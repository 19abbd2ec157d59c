# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: suite_plan
short_description: Make every run of a suite of experiments, in its order
version_added: 0.1.0
description:
  - Reads a suite and its scenarios on the controller, crosses scenarios with faults, targets and
    replicas, repeats them, adds the shams, and puts all of it into an order that a seed decides.
  - Refuses, with one sentence that says what to do, a fault or a parameter that the catalogue has
    not, a target that the lab has not, names that clash, and more time than the suite allows.
  - Touches nothing. M(rcalab.llm.experiment_plan) keeps the plan beside its results.
author: The rcalab.llm authors (@rcalab)
options:
  _terms:
    description: One suite, as the path of its file or written out as a dictionary.
    type: raw
    required: true
  experiment:
    description: The experiment's name.
    type: str
    required: true
  components:
    description: The components of the lab, as C(kind/name).
    type: list
    elements: str
    required: true
  platform:
    description: Where the lab is, which decides the catalogue of faults.
    type: str
    choices: [host, kubernetes]
    default: host
  isolation:
    description: The isolation of the lab's pods, V(netns), V(none) or V(kubernetes).
    type: str
    required: true
  replicas:
    description: The numbers of replicas that the lab can serve with.
    type: list
    elements: int
    required: true
  seed:
    description: The seed of a suite that has none.
    type: int
    required: true
  load:
    description: What a scenario's load is where it does not say it.
    type: dict
    required: true
  times:
    description: Seconds of a run's parts where a scenario does not say them.
    type: dict
    required: true
  scenario_dirs:
    description: Where scenarios that a suite names are looked for, after the suite's own folder.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Show the runs of a suite
  ansible.builtin.debug:
    msg: "{{ lookup('rcalab.llm.suite_plan', 'suites/rca.yml', **about).runs }}"
  vars:
    about:
      experiment: first
      components: [replica/llm-0, replica/llm-1]
      isolation: netns
      replicas: [2]
      seed: 0
      load: {rate_per_s: 2, prompt_tokens: 64, output_tokens: 32}
      times: {warmup_s: 5, steady_state_s: 15, baseline_s: 50, fault_s: 45, recovery_s: 15}
"""

RETURN = r"""
_raw:
  description: The plan.
  type: list
  elements: dict
  contains:
    experiment:
      description: The experiment's name.
      type: str
    runs:
      description: Its runs in their order, each with all that it needs.
      type: list
      elements: dict
    notes:
      description: What of the suite is not run in this lab, and why.
      type: list
      elements: str
"""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.errors import ExperimentError
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.expand import (
    Defaults,
    Lab,
    expand,
)
from ansible_collections.rcalab.llm.plugins.module_utils.experiments.suite import (
    Times,
    read_suite,
)
from ansible_collections.rcalab.llm.plugins.module_utils.faults import catalogue, registry
from ansible_collections.rcalab.llm.plugins.module_utils.kubernetes_faults import (
    catalogue as kubernetes_catalogue,
)

_SUFFIX = ".yml"
_CATALOGUES = {"host": catalogue, "kubernetes": kubernetes_catalogue}


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    ExperimentError
        If there is none, or it is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise ExperimentError(f"{path} is no YAML: {' '.join(str(error).split())}") from error


class Scenarios:
    """The scenarios that a suite may name: files of its own folder, then of ``folders``."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders

    def find(self, name: str) -> tuple[Any, str, str]:
        """Return content, default name and place of a scenario.

        Raises
        ------
        ExperimentError
            If there is no such file, or it is not YAML.
        """
        for folder in self._folders:
            path = folder / (name if name.endswith(_SUFFIX) else f"{name}{_SUFFIX}")
            if path.is_file():
                return read_yaml(path), path.stem, str(path)
        there = ", ".join(sorted(set(self._names()))) or "none"
        raise ExperimentError(
            f"there is no scenario {name!r} in {', '.join(map(str, self._folders))}; "
            f"there are {there}"
        )

    def _names(self) -> Iterator[str]:
        for folder in self._folders:
            yield from (path.stem for path in folder.glob(f"*{_SUFFIX}"))


class LookupModule(LookupBase):
    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        if len(terms) != 1:
            raise AnsibleError(f"suite_plan takes one suite, not {len(terms)}")
        try:
            return [self._plan(terms[0])]
        except ExperimentError as error:
            raise AnsibleError(str(error)) from error

    def _plan(self, term: Any) -> dict[str, Any]:
        folders = [Path(each) for each in self.get_option("scenario_dirs")]
        data, where = term, "experiment"
        if isinstance(term, str):
            path = Path(term)
            data, where = read_yaml(path), term
            folders.insert(0, path.parent)
        suite = read_suite(data, where, Scenarios(folders).find)
        times = self.get_option("times")
        plan = expand(
            suite,
            self.get_option("experiment"),
            Lab(
                tuple(self.get_option("components")),
                self.get_option("isolation"),
                tuple(self.get_option("replicas")),
            ),
            Defaults(
                self.get_option("seed"),
                self.get_option("load"),
                Times(**{each.name: int(times[each.name]) for each in fields(Times)}),
            ),
            registry.faults(_CATALOGUES[self.get_option("platform")]),
        )
        return plan.to_json()
