# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of artifacts: fetch what is missing, check what is there."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from . import charts, images
from .commands import RunCommand
from .download import discard, download, read_url
from .errors import ArtifactError
from .lock import Lock, sha256_of, write_whole
from .plan import Artifact, Mirrors

_SUM = re.compile(r"^([0-9a-fA-F]{64})(?:\s+\*?(?P<name>\S+))?\s*$")


def _names(artifact: Artifact) -> list[str]:
    return [artifact.path, *filter(None, [artifact.program])]


class Store:
    """A folder of artifacts and its lock."""

    def __init__(self, root: Path, lock: Lock, run: RunCommand) -> None:
        self.root = root
        self.lock = lock
        self._run = run

    def missing(self, plan: Iterable[Artifact]) -> list[Artifact]:
        """List what a fetch would have to get or record."""
        return [
            artifact
            for artifact in plan
            if self.lock.recorded(artifact.path) is None
            or not all((self.root / name).is_file() for name in _names(artifact))
        ]

    def fetch(self, plan: list[Artifact], arch: str, mirrors: Mirrors, helm: str) -> list[str]:
        """Get what is missing, check the rest, and return the paths that were got.

        Raises
        ------
        ArtifactError
            With everything that went wrong; the other artifacts are there then.
        """
        wanted = any(artifact.kind == "image" for artifact in self.missing(plan))
        tool = images.find_tool() if wanted else ""
        helm = helm or self._fetched_helm(plan)

        def fetch_one(artifact: Artifact) -> bool:
            if artifact.kind == "image":
                return self._fetch_image(artifact, tool, arch)
            return self._fetch_file(artifact, helm, mirrors)

        return self._each(plan, fetch_one)

    def verify(self, plan: list[Artifact]) -> None:
        """Check that all is there and right, without a network.

        Raises
        ------
        ArtifactError
            With everything that is missing or wrong.
        """
        names = [name for artifact in plan for name in _names(artifact)]
        missing = [name for name in names if not (self.root / name).is_file()]
        if missing:
            raise ArtifactError(
                f"missing in {self.root}, fetch where there is a network: {', '.join(missing)}"
            )
        self._each(plan, self._verify_one)

    def _each(self, plan: list[Artifact], act: Callable[[Artifact], bool]) -> list[str]:
        done, errors = [], []
        for artifact in plan:
            try:
                if act(artifact):
                    done.append(artifact.path)
            except ArtifactError as error:
                errors.append(str(error))
        if errors:
            raise ArtifactError("; ".join(errors))
        return done

    def _fetched_helm(self, plan: list[Artifact]) -> str:
        for artifact in plan:
            if artifact.name == "helm" and artifact.kind == "binary":
                return str(self.root / (artifact.program or artifact.path))
        return "helm"

    def _fetch_file(self, artifact: Artifact, helm: str, mirrors: Mirrors) -> bool:
        dest = self.root / artifact.path
        if dest.is_file() and self.lock.recorded(artifact.path) is not None:
            self.lock.enforce(artifact.path, sha256_of(dest))
            return self._unpack(artifact)
        # The publisher's word is asked for first: no bytes are worth having that it contradicts.
        promised = self._promised(artifact)
        part = dest.with_name(f".{dest.name}.part")
        if dest.is_file():
            found = self._accept(artifact, dest, promised)
        else:
            if artifact.kind == "chart":
                promised = charts.fetch_chart(self._run, artifact, part, helm, mirrors)
            else:
                download(artifact.location, part)
            try:
                found = self._accept(artifact, part, promised)
            except ArtifactError:
                discard(part)
                raise
            part.chmod(0o755 if artifact.kind == "binary" else 0o644)
            part.replace(dest)
        self.lock.record(
            artifact.path, found, artifact.source, "publisher" if promised else "first fetch"
        )
        self._unpack(artifact)
        return True

    def _accept(self, artifact: Artifact, file: Path, promised: str | None) -> str:
        found = sha256_of(file)
        if promised is not None and promised.lower() != found:
            raise ArtifactError(
                f"{artifact.path}: its publisher's list expects sha256 {promised}, found {found};"
                f" nothing was kept of {artifact.location}"
            )
        self.lock.enforce(artifact.path, found)
        return found

    def _promised(self, artifact: Artifact) -> str | None:
        if artifact.checksums is None:
            return None
        name = artifact.source.rpartition("/")[2]
        matches = map(_SUM.match, read_url(artifact.checksums).decode().splitlines())
        sums = [(match["name"], match[1]) for match in matches if match]
        for listed, checksum in sums:
            if listed == name or (listed is None and len(sums) == 1):
                return checksum
        raise ArtifactError(f"{artifact.checksums} has no checksum of {name}")

    def _unpack(self, artifact: Artifact) -> bool:
        """Take the program out of its archive; the lock then holds both."""
        if artifact.program is None or artifact.member is None:
            return False
        program = self.root / artifact.program
        if program.is_file() and self.lock.recorded(artifact.program) is not None:
            self.lock.enforce(artifact.program, sha256_of(program))
            return False
        try:
            with tarfile.open(self.root / artifact.path) as archive:
                member = archive.extractfile(artifact.member)
                content = member.read() if member else b""
        except (KeyError, tarfile.TarError) as error:
            raise ArtifactError(f"{artifact.path} has no {artifact.member}: {error}") from error
        write_whole(program, content, 0o755)
        self.lock.enforce(artifact.program, sha256_of(program))
        self.lock.record(artifact.program, sha256_of(program), artifact.source, "archive")
        return True

    def _fetch_image(self, artifact: Artifact, tool: str, arch: str) -> bool:
        dest = self.root / artifact.path
        if dest.is_file() and self.lock.recorded(artifact.path) is not None:
            return self._verify_one(artifact)
        part = dest.with_name(f".{dest.name}.part")
        digest = images.save_image(self._run, tool, artifact.location, arch, part)
        self.lock.enforce(artifact.path, digest)
        # Tools write the same image in different bytes, so the archive's own checksum is beside it.
        write_whole(self._sidecar(dest), f"{sha256_of(part)}  {dest.name}\n".encode())
        part.replace(dest)
        self.lock.record(artifact.path, digest, artifact.source, "registry")
        return True

    @staticmethod
    def _sidecar(archive: Path) -> Path:
        return archive.with_name(f"{archive.name}.sha256")

    def _verify_one(self, artifact: Artifact) -> bool:
        for name in _names(artifact):
            file = self.root / name
            if self.lock.recorded(name) is None:
                raise ArtifactError(f"{name} is not in {self.lock.path}: fetch it to record it")
            found = sha256_of(file)
            if artifact.kind != "image":
                self.lock.enforce(name, found)
                continue
            sidecar = self._sidecar(file)
            expected = sidecar.read_text("utf-8").split()[0] if sidecar.is_file() else "nothing"
            if expected != found:
                raise ArtifactError(
                    f"{name}: {sidecar.name} expects sha256 {expected}, found {found};"
                    " remove the archive and fetch it again"
                )
        return False
