# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: archives by whichever tool the host has, held to the registry's digest."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from .commands import RunCommand, ask
from .errors import ArtifactError

_Save = Callable[[RunCommand, str, str, Path], str]
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def find_tool() -> str:
    """Name the tool that fetches images here.

    Raises
    ------
    ArtifactError
        If there is none.
    """
    for tool in _TOOLS:
        if shutil.which(tool):
            return tool
    raise ArtifactError(
        f"no tool to fetch images with: install one of {', '.join(_TOOLS)}, or leave the images"
        " out with artifacts_images: false and bring them to the registry or the nodes yourself"
    )


def save_image(run: RunCommand, tool: str, reference: str, arch: str, part: Path) -> str:
    """Write an image's archive to `part` and return the registry's digest without its prefix.

    Raises
    ------
    ArtifactError
        If the tool fails or names no digest.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    return _TOOLS[tool](run, reference, arch, part)


def _digest_in(text: str, reference: str) -> str:
    match = _DIGEST.search(text)
    if match is None:
        raise ArtifactError(f"{reference}: the registry names no digest")
    return match[1]


def _skopeo(run: RunCommand, reference: str, arch: str, part: Path) -> str:
    source = f"docker://{reference}"
    platform = ["--override-os", "linux", "--override-arch", arch]
    text = ask(run, ["skopeo", "inspect", *platform, "--format", "{{.Digest}}", source])
    ask(run, ["skopeo", "copy", *platform, source, f"docker-archive:{part}:{reference}"])
    return _digest_in(text, reference)


def _crane(run: RunCommand, reference: str, arch: str, part: Path) -> str:
    platform = ["--platform", f"linux/{arch}"]
    text = ask(run, ["crane", "digest", *platform, reference])
    ask(run, ["crane", "pull", *platform, reference, str(part)])
    return _digest_in(text, reference)


def _engine(engine: str) -> _Save:
    def save(run: RunCommand, reference: str, arch: str, part: Path) -> str:
        ask(run, [engine, "pull", "--platform", f"linux/{arch}", reference])
        text = ask(
            run, [engine, "image", "inspect", "--format", "{{json .RepoDigests}}", reference]
        )
        repository = reference.rpartition(":")[0]
        digests = [d for d in json.loads(text) if repository.endswith(d.partition("@")[0])]
        ask(run, [engine, "save", "--output", str(part), reference])
        return _digest_in(" ".join(digests), reference)

    return save


_TOOLS: dict[str, _Save] = {
    "skopeo": _skopeo,
    "crane": _crane,
    "podman": _engine("podman"),
    "docker": _engine("docker"),
}
