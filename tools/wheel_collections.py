# SPDX-License-Identifier: Apache-2.0
"""Put the collections that tests and playbooks use beside this one, without Galaxy.

PyPI's ``ansible`` is one wheel that holds them all; single folders are taken out of it, and nothing
of it is installed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / ".collections"
WHEEL = "ansible==14.5.0"
# The Python that the wheel asks for; its collections run on older ones too.
WHEEL_PYTHON = "3.12"
# What the tests need: the connection to a systemd host that molecule boots.
COLLECTIONS = ("community.docker",)


def folder_of(collection: str) -> str:
    """Return a collection's folder in a tree and in the wheel."""
    return "ansible_collections/" + collection.replace(".", "/")


def install(collections: list[str], tree: Path) -> None:
    """Take the collections that ``tree`` lacks out of the wheel."""
    missing = [name for name in collections if not (tree / folder_of(name)).exists()]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as downloads:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", f"--python-version={WHEEL_PYTHON}", WHEEL]
        subprocess.run([*command, f"--dest={downloads}"], check=True)
        wheel = next(Path(downloads).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            for name in missing:
                _extract(archive, folder_of(name), tree)


def _extract(archive: zipfile.ZipFile, folder: str, tree: Path) -> None:
    """Take one folder out, whole or not at all."""
    members = [name for name in archive.namelist() if name.startswith(f"{folder}/")]
    if not members:
        raise SystemExit(f"{WHEEL} holds no {folder}")
    fresh = tree / ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    archive.extractall(fresh, members)
    (tree / folder).parent.mkdir(parents=True, exist_ok=True)
    (fresh / folder).rename(tree / folder)
    shutil.rmtree(fresh)


def main() -> int:
    """Install the collections that are named, or those of the tests."""
    parser = argparse.ArgumentParser(description="Install collections out of PyPI's ansible.")
    parser.add_argument("collection", nargs="*", default=list(COLLECTIONS))
    parser.add_argument("--tree", type=Path, default=TREE)
    options = parser.parse_args()
    install(options.collection, options.tree)
    return 0


if __name__ == "__main__":
    sys.exit(main())
