# SPDX-License-Identifier: Apache-2.0
"""Run ansible-test on a copy of this checkout.

ansible-test insists on a real folder ``.../ansible_collections/NAMESPACE/NAME`` and looks only at
what git knows. So the files that git tracks, or would track, are copied to such a folder under
``.cache``, and ansible-test runs there: on this machine, with the Python that runs this script.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / ".cache" / "ansible_collections" / "rcalab" / "llm"

# The versions of get-pip that ansible-core 2.19 and 2.20 to 2.21 ask for.
GET_PIP_VERSIONS = ("24_2", "25_2")
GET_PIP_CACHE = Path.home() / ".ansible" / "test" / "cache"
GET_PIP_STAND_IN = '''\
"""Installs pip from the interpreter's own ensurepip; stands in for a download of get-pip.py."""
import subprocess
import sys

if __name__ == "__main__":
    wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
    # A process of its own: ensurepip points PIP_CONFIG_FILE at nothing, pip below needs it.
    subprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade"])
    sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *wanted]))
'''


def git_files(root: Path) -> list[Path]:
    """List the files that git tracks or would track in ``root``, relative to it.

    Raises
    ------
    SystemExit
        If ``root`` is no git checkout.
    """
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        raise SystemExit(f"{root} is no git checkout: {listing.stderr.strip()}")
    names = [Path(name) for name in listing.stdout.split("\0") if name]
    # A tracked file may be deleted here, a symbolic link may lead nowhere.
    return [name for name in names if os.path.lexists(root / name)]


def copy_tree(root: Path, tree: Path) -> None:
    """Make ``tree`` hold what git tracks or would track in ``root``, and nothing else."""
    names = git_files(root)
    shutil.rmtree(tree, ignore_errors=True)
    for name in names:
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, target, follow_symlinks=False)
    # A repository of its own, or ansible-test would ask the one around it, which ignores .cache.
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)


def provide_get_pip(cache: Path) -> None:
    """Put a stand-in where ansible-test looks before it downloads get-pip.py."""
    cache.mkdir(parents=True, exist_ok=True)
    for version in GET_PIP_VERSIONS:
        script = cache / f"get_pip_{version}.py"
        if not script.exists():
            script.write_text(GET_PIP_STAND_IN, encoding="utf-8")


def collect_results(tree: Path, junit: Path) -> None:
    """Copy ansible-test's JUnit files to ``junit/ansible-test-*.xml``."""
    junit.mkdir(parents=True, exist_ok=True)
    for result in (tree / "tests" / "output" / "junit").glob("*.xml"):
        shutil.copy(result, junit / result.name)


def main() -> int:
    """Run ansible-test with the arguments of the command line and return its exit status."""
    parser = argparse.ArgumentParser(description="Run ansible-test on a copy of this checkout.")
    parser.add_argument("--junit", type=Path, help="folder that gets the results as JUnit XML")
    parser.add_argument("test", help="what ansible-test is to run: sanity, units")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="more for ansible-test")
    options = parser.parse_args()

    copy_tree(ROOT, TREE)
    provide_get_pip(GET_PIP_CACHE)
    ansible_test = Path(sys.executable).parent / "ansible-test"
    python = "{}.{}".format(*sys.version_info)
    command = [ansible_test, options.test, "--local", "--python", python, *options.arguments]
    status = subprocess.run(command, cwd=TREE, check=False).returncode
    if options.junit:
        collect_results(TREE, options.junit.resolve())
    return status


if __name__ == "__main__":
    sys.exit(main())
