# SPDX-License-Identifier: Apache-2.0
"""Write each role's README.md from its meta/argument_specs.yml and meta/main.yml."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
HEADER = "<!-- Written from meta/argument_specs.yml by `make docs`: edit that file. -->"


def render_markup(text: str) -> str:
    """Turn Ansible's markup, such as ``O(name)``, ``V(value)`` and ``B(word)``, into Markdown."""
    text = re.sub(r"\b(?:[CEMOV]|RV)\(((?:[^()]|\([^()]*\))*)\)", r"`\1`", text)
    return re.sub(r"\bB\(([^()]*)\)", r"**\1**", text)


def as_paragraphs(description: str | list[str]) -> list[str]:
    """Return a description, which may be one text or a list of them, as paragraphs."""
    texts = [description] if isinstance(description, str) else description
    return [" ".join(render_markup(text).split()) for text in texts]


def describe_type(option: dict[str, Any]) -> str:
    """Name an option's type: ``list of dict``, ``str``."""
    kind = option.get("type", "str")
    return f"{kind} of {option['elements']}" if "elements" in option else kind


def describe_default(option: dict[str, Any]) -> str:
    """Name an option's default as YAML would have it, or say that there is none."""
    if option.get("required"):
        return "required"
    if option.get("default") is None:
        return "-"
    default = option["default"]
    return f"`{default if isinstance(default, str) and default else json.dumps(default)}`"


def option_rows(options: dict[str, dict[str, Any]], prefix: str = "") -> Iterator[str]:
    """Yield one table row for each option; an option inside another is ``outer.inner``."""
    for name, option in options.items():
        cells = [f"`{prefix}{name}`", describe_type(option), describe_default(option)]
        meaning = " ".join(as_paragraphs(option["description"]))
        if "choices" in option:
            meaning += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        cells.append(meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield from option_rows(option.get("options", {}), f"{prefix}{name}.")


def entry_point_section(name: str, spec: dict[str, Any]) -> Iterator[str]:
    """Yield the lines for one entry point: what it does and its options."""
    if name != "main":
        yield from (f"## tasks_from: {name}", "")
    for paragraph in as_paragraphs(spec.get("description", spec["short_description"])):
        yield from (paragraph, "")
    if spec.get("options"):
        yield "| variable | type | default | meaning |"
        yield "|---|---|---|---|"
        yield from option_rows(spec["options"])
        yield ""


def render(role: Path) -> str:
    """Return the text of a role's README.md."""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    lines = [HEADER, "", f"# rcalab.llm.{role.name}", ""]
    for name, spec in specs["argument_specs"].items():
        lines += entry_point_section(name, spec)
    return "\n".join(lines).rstrip() + "\n"


def roles(root: Path = ROOT) -> list[Path]:
    """List the roles' folders."""
    return sorted(path.parent.parent for path in root.glob("roles/*/meta/argument_specs.yml"))


def stale(folders: Iterable[Path]) -> list[Path]:
    """List the READMEs that are missing or differ from what their role says."""
    readmes = [(folder / "README.md", render(folder)) for folder in folders]
    return [
        path
        for path, text in readmes
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Write the READMEs, or with ``--check`` name those that are out of date."""
    parser = argparse.ArgumentParser(description="Write the roles' READMEs.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one is stale")
    options = parser.parse_args()

    outdated = stale(roles())
    for readme in outdated:
        print(readme.relative_to(ROOT))
        if not options.check:
            readme.write_text(render(readme.parent), encoding="utf-8")
    return int(options.check and bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
