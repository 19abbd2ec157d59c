# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for charts that cannot be had offline.

A stand-in has the name and version of the chart that a role asks for. It renders all its values,
the role's and none of its own, into the ConfigMap `RELEASE-values` (key `values.json`), and makes
the workloads and definitions that ``charts.yml`` lists. What the real chart would make of the
values is not known here: `tests/packages/collection` checks that the real chart has them.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_BRINGS = Path(__file__).with_name("charts.yml")
_VALUES = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-values
  namespace: {{ .Release.Namespace }}
data:
  values.json: {{ .Values | toJson | quote }}
"""
_WORKLOAD = """\
apiVersion: apps/v1
kind: %(kind)s
metadata:
  name: %(name)s
  namespace: {{ .Release.Namespace }}
  labels: &labels
    app.kubernetes.io/name: {{ .Chart.Name }}
    app.kubernetes.io/instance: {{ .Release.Name }}
    app.kubernetes.io/managed-by: {{ .Release.Service }}
    app.kubernetes.io/component: %(component)s
spec:
  selector:
    matchLabels: *labels
  template:
    metadata:
      labels: *labels
    spec:
      containers:
        - name: main
          image: stand-in:{{ .Chart.Version }}
"""


@dataclass(frozen=True)
class Chart:
    """A chart: its name, its version, and what it brings (an entry of ``charts.yml``)."""

    name: str
    version: str
    brings: dict[str, Any]

    def files(self, definitions_dir: Path | None) -> Iterator[tuple[str, str]]:
        """Yield the path and text of each file."""
        described = {
            "apiVersion": "v2",
            "name": self.name,
            "version": self.version,
            "appVersion": self.version,
            "description": "A stand-in that renders its values.",
        }
        yield "Chart.yaml", yaml.safe_dump(described)
        yield "values.yaml", "{}\n"
        yield "templates/values.yaml", _VALUES
        for workload in self.brings.get("workloads", ["Deployment {{ .Release.Name }}"]):
            kind, _, name = workload.partition(" ")
            component = "main" if "{{" in name else name
            text = _WORKLOAD % {"kind": kind, "name": name, "component": component}
            yield f"templates/{component}-{kind.lower()}.yaml", text
        for number, obj in enumerate(self.brings.get("objects", [])):
            yield f"templates/object-{number}.yaml", yaml.safe_dump(obj)
        folder = self.brings.get("definitions_in", "crds")
        for line in self.brings.get("definitions", []):
            found = definition(line, definitions_dir)
            # Real definitions hold what Helm would read as its own language.
            text = json.dumps(found, indent=1)
            if folder == "templates":
                text = "{{ " + json.dumps(text) + " }}"
            yield f"{folder}/{found['metadata']['name']}.yaml", text

    def write(self, folder: Path, definitions_dir: Path | None = None) -> Path:
        """Write the chart to ``folder/NAME-VERSION.tgz``, the same bytes each time."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}-{self.version}.tgz"
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            for name, text in self.files(definitions_dir):
                content = text.encode()
                member = tarfile.TarInfo(f"{self.name}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path


def definition(line: str, definitions_dir: Path | None) -> dict[str, Any]:
    """Return the definition that a line of ``charts.yml`` names.

    It is the real one where ``definitions_dir`` has it, else one that allows every field.
    """
    api_version, kind, *more = line.split()
    group, version = api_version.split("/")
    plural = next((word for word in more if word != "*"), f"{kind.lower()}s")
    real = definitions_dir / f"{group}_{plural}.yaml" if definitions_dir else None
    if real is not None and real.is_file():
        text = real.read_text(encoding="utf-8")
        loaded: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
        return loaded
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster" if "*" in more else "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    },
                }
            ],
        },
    }


# Real definitions are large.


def charts(pins: dict[str, dict[str, Any]]) -> list[Chart]:
    """Return a stand-in for each chart of a table {name: {version}}."""
    brings = yaml.safe_load(_BRINGS.read_text(encoding="utf-8"))
    return [Chart(n, str(pin["version"]), brings.get(n, {})) for n, pin in pins.items()]


def write_definitions(
    pins: dict[str, dict[str, Any]], folder: Path, definitions_dir: Path | None = None
) -> None:
    """Write each pin of definitions, an entry of ``charts.yml``, to one file."""
    brings = yaml.safe_load(_BRINGS.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, pin in pins.items():
        documents = [definition(line, definitions_dir) for line in brings[name]["definitions"]]
        path = folder / f"{name}-{pin['version']}.yaml"
        path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")


def main() -> None:
    """Write a stand-in for each chart and file of definitions that the collection pins."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_kubernetes.charts")
    parser.add_argument(
        "--pins", type=Path, required=True, help="a YAML file with _artifacts_pins.charts"
    )
    parser.add_argument("--definitions", type=Path, help="a folder of real definitions")
    parser.add_argument("--to", type=Path, required=True, help="the folder that gets the charts")
    options = parser.parse_args()
    pins = yaml.safe_load(options.pins.read_text(encoding="utf-8"))["_artifacts_pins"]
    for chart in charts(pins["charts"]):
        chart.write(options.to, options.definitions)
    beside = options.to.with_name("definitions")
    write_definitions(pins.get("definitions", {}), beside, options.definitions)


if __name__ == "__main__":
    main()
