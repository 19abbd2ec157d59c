# SPDX-License-Identifier: Apache-2.0
"""Build the collection and let Galaxy's importer judge it, as an upload to Galaxy would.

Runs with the Python of an environment that holds galaxy-importer (`make import-test` makes it).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import ansible_test

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# How the lines begin in which the importer does more than say what it does.
COMPLAINTS = ("WARNING: ", "ERROR: ", "CRITICAL: ")


def build(folder: Path) -> Path:
    """Build the tarball in ``folder`` from what a clone holds."""
    ansible_test.copy_tree(ROOT, folder / "source")
    program: list[str | Path] = [BIN / "ansible-galaxy", "collection", "build"]
    command = [*program, "--output-path", folder, folder / "source"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (tarball,) = folder.glob("*.tar.gz")
    return tarball


def judge(tarball: Path) -> tuple[int, list[str]]:
    """Run the importer on a tarball; return its exit status and what it said, line by line."""
    settings = {
        # ansible-doc and ansible-lint are called by name.
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "GALAXY_IMPORTER_ANSIBLE_LOCAL_TMP": str(tarball.parent / "ansible"),
        "GALAXY_IMPORTER_CHECK_REQUIRED_TAGS": "true",
        "GALAXY_IMPORTER_TMP_ROOT_DIR": str(tarball.parent),
    }
    done = subprocess.run(
        [sys.executable, "-m", "galaxy_importer.main", tarball],
        cwd=tarball.parent,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def main() -> int:
    """Say what the importer says; return 1 if it refuses the tarball or complains of it."""
    with tempfile.TemporaryDirectory() as folder:
        status, said = judge(build(Path(folder)))
    print("\n".join(said))
    # It imports what ansible-lint complains of, and shows the complaints to Galaxy's users.
    return int(bool(status) or any(line.startswith(COMPLAINTS) for line in said))


if __name__ == "__main__":
    sys.exit(main())
