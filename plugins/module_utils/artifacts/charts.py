# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts: from a repository with an index over HTTP, from a registry through helm."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urljoin

from ansible.module_utils.common.yaml import yaml_load

from .commands import RunCommand, ask
from .download import download, read_url
from .errors import ArtifactError
from .plan import Artifact, Mirrors


def fetch_chart(
    run: RunCommand, artifact: Artifact, part: Path, helm: str, mirrors: Mirrors
) -> str | None:
    """Write a chart to `part` and return the checksum that its repository gives, if it does.

    Raises
    ------
    ArtifactError
        If the repository does not have this version, or helm fails.
    """
    if artifact.location.startswith("oci://"):
        _pull(run, artifact, part, helm)
        return None
    url, digest = _look_up(artifact, mirrors)
    download(url, part)
    return digest


def _look_up(artifact: Artifact, mirrors: Mirrors) -> tuple[str, str | None]:
    repository, _slash, chart = artifact.location.rpartition("/")
    url = f"{repository}/index.yaml"
    index = yaml_load(read_url(url))
    entries = index.get("entries", {}).get(chart, []) if isinstance(index, dict) else []
    wanted = artifact.version.removeprefix("v")
    for entry in entries:
        if str(entry["version"]).removeprefix("v") == wanted:
            target = urljoin(f"{repository}/", entry["urls"][0])
            own = target.startswith(f"{repository}/")
            digest = str(entry.get("digest") or "").removeprefix("sha256:")
            return target if own else mirrors.file(target), digest or None
    raise ArtifactError(f"{url} has no {chart} {artifact.version}")


def _pull(run: RunCommand, artifact: Artifact, part: Path, helm: str) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=".pull-") as folder:
        command = [helm, "pull", artifact.location, "--version", artifact.version]
        ask(run, [*command, "--destination", folder])
        pulled = list(Path(folder).glob("*.tgz"))
        if len(pulled) != 1:
            raise ArtifactError(f"{' '.join(command)} left {len(pulled)} charts, not one")
        pulled[0].replace(part)
