# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the table of pins to the artifacts themselves: where each comes from and where it lies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from .errors import ArtifactError

ARCHITECTURES = ("amd64", "arm64")
Entry = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Artifact:
    """One file of the artifacts' folder."""

    kind: str
    name: str
    version: str
    source: str
    """The URL, ``oci://`` reference or image as its publisher names it; the lock records it."""
    location: str
    """Where it is fetched from: the source, or its place in a mirror."""
    path: str
    """Relative to the artifacts' folder."""
    checksums: str | None = None
    """The publisher's list of checksums, where there is one."""
    program: str | None = None
    """The path of the program that an archive holds, once it is unpacked."""
    member: str | None = None
    """Where the archive holds it."""

    @property
    def reference(self) -> str:
        """Name it in one line: what a mirror has to hold."""
        if self.kind != "chart":
            return self.location
        if self.location.startswith("oci://"):
            return f"{self.location}:{self.version}"
        repository, _slash, chart = self.location.rpartition("/")
        return f"{repository}/index.yaml#{chart}-{self.version}"


@dataclasses.dataclass(frozen=True, slots=True)
class Mirrors:
    """Where a lab keeps copies. Empty: the publishers' own hosts."""

    files: str = ""
    charts: str = ""
    registry: str = ""

    def file(self, url: str) -> str:
        """Return a file's URL; a mirror keeps host and path behind its own base."""
        return _behind(self.files, url)

    def chart(self, url: str) -> str:
        """Return a chart repository's URL."""
        return _behind(self.charts, url)

    def image(self, reference: str) -> str:
        """Return an image or ``oci://`` reference; a mirror stands in for the registry's host."""
        if not self.registry:
            return reference
        scheme, separator, rest = reference.rpartition("://")
        return f"{scheme}{separator}{self.registry}/{rest.partition('/')[2]}"


def make_plan(
    pins: Mapping[str, Mapping[str, Entry]], arch: str, mirrors: Mirrors, only: list[str]
) -> list[Artifact]:
    """List what the pins name, programs first: one of them fetches the charts.

    Parameters
    ----------
    pins
        Sections ``binaries``, ``definitions``, ``charts`` and ``images``, each of entries by name.
    only
        Names to keep; empty keeps all.

    Raises
    ------
    ArtifactError
        If an entry is incomplete or floating, or a name in `only` is nobody's.
    """
    unknown = pins.keys() - _SECTIONS.keys()
    if unknown:
        sections = ", ".join(_SECTIONS)
        raise ArtifactError(f"{', '.join(sorted(unknown))} is no section of the pins: {sections}")
    names = {name for section in pins.values() for name in section}
    strange = set(only) - names
    if strange:
        raise ArtifactError(f"nothing is pinned by the name {', '.join(sorted(strange))}")
    return [
        artifact
        for section, planner in _SECTIONS.items()
        for name, entry in sorted(pins.get(section, {}).items())
        if not only or name in only
        for artifact in planner(name, entry, arch, mirrors)
    ]


def _behind(base: str, url: str) -> str:
    if not base:
        return url
    parts = urlsplit(url)
    return f"{base.rstrip('/')}/{parts.netloc}{parts.path}"


def _field(section: str, name: str, entry: Entry, field: str) -> Any:
    value = entry.get(field)
    if not value:
        raise ArtifactError(f"{section}.{name} has no {field}")
    if field in {"version", "tag"} and value in {"latest", "stable"}:
        raise ArtifactError(f"{section}.{name}: {value!r} is no version; pin one")
    return value


def _filled(template: str | Mapping[str, str], version: str, arch: str) -> str:
    text = template if isinstance(template, str) else template[arch]
    return text.format(version=quote(version, safe=""), arch=arch)


def _binary(name: str, entry: Entry, arch: str, mirrors: Mirrors) -> Iterator[Artifact]:
    version = _field("binaries", name, entry, "version")
    url = _filled(_field("binaries", name, entry, "url"), version, arch)
    listed = entry.get("checksums")
    checksums = mirrors.file(_filled(listed, version, arch)) if listed else None
    program = f"binaries/{name}-{version}"
    member = entry.get("member")
    yield Artifact(
        kind="binary",
        name=name,
        version=version,
        source=url,
        location=mirrors.file(url),
        path=f"{program}.tar.gz" if member else program,
        checksums=checksums,
        program=program if member else None,
        member=member.format(arch=arch) if member else None,
    )
    for template in entry.get("archives", []):
        archive = _filled(template, version, arch)
        yield Artifact(
            kind="archive",
            name=name,
            version=version,
            source=archive,
            location=mirrors.file(archive),
            # k3s knows an archive's format by its name: it keeps it.
            path=f"images/{name}-{version}/{archive.rpartition('/')[2]}",
            checksums=checksums,
        )


def _definition(name: str, entry: Entry, arch: str, mirrors: Mirrors) -> Iterator[Artifact]:
    version = _field("definitions", name, entry, "version")
    url = _filled(_field("definitions", name, entry, "url"), version, arch)
    path = f"definitions/{name}-{version}.yaml"
    yield Artifact("definition", name, version, url, mirrors.file(url), path)


def _chart(name: str, entry: Entry, _arch: str, mirrors: Mirrors) -> Iterator[Artifact]:
    version = str(_field("charts", name, entry, "version"))
    repository = _field("charts", name, entry, "repository").rstrip("/")
    source = f"{repository}/{entry.get('chart', name)}"
    rebased = mirrors.image if source.startswith("oci://") else mirrors.chart
    yield Artifact("chart", name, version, source, rebased(source), f"charts/{name}-{version}.tgz")


def _image(name: str, entry: Entry, arch: str, mirrors: Mirrors) -> Iterator[Artifact]:
    tag = _field("images", name, entry, "tag")
    reference = f"{_field('images', name, entry, 'repository')}:{tag}"
    path = f"images/{name}-{tag}-{arch}.tar"
    yield Artifact("image", name, tag, reference, mirrors.image(reference), path)


_SECTIONS: dict[str, Callable[[str, Entry, str, Mirrors], Iterator[Artifact]]] = {
    "binaries": _binary,
    "definitions": _definition,
    "charts": _chart,
    "images": _image,
}
