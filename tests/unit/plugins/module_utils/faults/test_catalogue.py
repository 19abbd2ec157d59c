# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue, its documentation, and the vocabulary and schema that it has to keep to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.rcalab.llm.plugins.module_utils import faults
from ansible_collections.rcalab.llm.plugins.module_utils.faults import times, truth
from ansible_collections.rcalab.llm.plugins.module_utils.faults.catalogue_pages import as_markdown
from ansible_collections.rcalab.llm.plugins.module_utils.faults.cgroups import CpuCgroup
from ansible_collections.rcalab.llm.plugins.module_utils.faults.contract import ANY_ISOLATION
from ansible_collections.rcalab.llm.plugins.module_utils.faults.registry import faults as catalogue
from ansible_collections.rcalab.llm.plugins.module_utils.faults.truth import GroundTruth

from .conftest import target_of

ROOT = Path(__file__).resolve().parents[5]
FAULTS = list(catalogue().values())


def test_every_fault_is_found_by_its_file() -> None:
    files = (Path(faults.__file__).parent / "catalogue").glob("f*.py")

    assert list(catalogue()) == sorted(f"F{file.name[1:3]}" for file in files)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_root_cause_metrics_are_of_the_one_vocabulary(fault: type, fake_cgroup: CpuCgroup) -> None:
    schema = ROOT / "rca_engine/schemas/metrics.json"
    known = json.loads(schema.read_text(encoding="utf-8"))["metrics"]

    where = fault.mechanisms.values()
    for isolation, cgroup in (("netns", fake_cgroup), ("none", None)):
        if isolation not in where and ANY_ISOLATION not in where:
            continue
        target = target_of(fault, cgroup, isolation)
        for component, metrics in fault(target, {}).root_causes().items():
            for name in metrics:
                # A method can only find what the lab measures, of what it measures it of.
                assert known[name].get("isolation", isolation) == isolation
                assert component.partition("/")[0] in known[name]["components"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_the_truth_keeps_to_its_schema(fault: type, fake_cgroup: CpuCgroup, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(
        (Path(faults.__file__).parent / "schemas/ground_truth.json").read_text(encoding="utf-8")
    )
    record = GroundTruth.of(fault(target_of(fault, fake_cgroup), {}))
    record.stamp("applied")
    record.outcome, record.reverted_by = "aborted", "watchdog"
    record.write(tmp_path / "ground_truth.json")

    jsonschema.validate(json.loads((tmp_path / "ground_truth.json").read_text()), schema)
    properties = schema["properties"]
    assert properties["outcome"]["enum"] == list(truth.OUTCOMES)
    assert properties["reverted_by"]["enum"] == list(truth.REVERTERS)
    assert properties["times"]["required"] == list(truth.TIMES)
    assert GroundTruth.read(tmp_path / "ground_truth.json") == record


def test_the_documented_catalogue_is_up_to_date() -> None:
    page = (ROOT / "docs/faults.md").read_text(encoding="utf-8")

    written = page.partition("<!-- catalogue -->\n")[2]

    assert written == as_markdown(FAULTS), "run agent.pyz list --format markdown"


def test_the_agents_version_is_the_collections() -> None:
    galaxy = (ROOT / "galaxy.yml").read_text(encoding="utf-8")

    assert f"\nversion: {truth.AGENT_VERSION}\n" in galaxy


def test_times_are_written_as_everywhere_else() -> None:
    common = pytest.importorskip("rcalab_common.times")

    for ns in (0, 1, 1_763_829_817_123_456_789):
        assert times.format_utc(ns) == common.format_utc(ns)


def test_the_agent_lists_its_catalogue(agent: Path) -> None:
    command = [sys.executable, str(agent), "list", "--format", "json"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    assert [entry["id"] for entry in listed] == list(catalogue())
    duration = listed[1]["parameters"][-1]
    assert (duration["name"], duration["default"], duration["maximum"]) == ("duration_s", 45, 300)


def test_the_agents_bytes_depend_on_its_sources_only(agent: Path, tmp_path: Path) -> None:
    build = sys.modules["ansible_collections.rcalab.llm.plugins.module_utils.zipapps"].build_zipapp
    again = build(Path(faults.__file__).parent, "faults.cli:main")

    assert again == agent.read_bytes()
    with pytest.raises(ValueError, match="no Python package"):
        build(tmp_path, "faults.cli:main")
