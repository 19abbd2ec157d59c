# SPDX-License-Identifier: Apache-2.0
"""The built collection works elsewhere: installed by ansible-galaxy, its packages by pip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import ansible_test
import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NAME = "rcalab.llm"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command away from the checkout and return what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        # The one place of collections; a relative path of the checkout's own is no help there.
        env=os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(cwd / "collections")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the collection is installed from its tarball, as a user would."""
    folder = tmp_path_factory.mktemp("elsewhere")
    # Built from what a clone holds: a checkout that is worked in holds more.
    ansible_test.copy_tree(ROOT, folder / "source")
    galaxy = (BIN / "ansible-galaxy", "collection")
    run(*galaxy, "build", "--output-path", folder, folder / "source", cwd=folder)
    (tarball,) = folder.glob("rcalab-llm-*.tar.gz")
    collections = folder / "collections"
    # What ours depends on is there already, as in a lab without a network.
    dependencies = collections / "ansible_collections/kubernetes"
    dependencies.parent.mkdir(parents=True)
    dependencies.symlink_to(ROOT / ".collections/ansible_collections/kubernetes")
    run(*galaxy, "install", "--offline", "--collections-path", collections, tarball, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(elsewhere: Path) -> Path:
    """The installed collection."""
    return elsewhere / "collections/ansible_collections/rcalab/llm"


@pytest.fixture(scope="module")
def programs(elsewhere: Path, installed: Path) -> Path:
    """The ``bin`` of an environment with the packages, installed from the installed collection."""
    place = elsewhere / "venv"
    venv.create(place, with_pip=True)
    # What the extras ask for is in the environment that runs this test: it is lent, so that the
    # test needs no network for it.
    (lent,) = (path for path in sys.path if path.endswith("site-packages"))
    (site,) = place.glob("lib/python*/site-packages")
    run(place / "bin/pip", "install", "--quiet", "--no-deps", installed, cwd=elsewhere)
    (site / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    return place / "bin"


@pytest.mark.parametrize(
    ("kind", "pattern"), {"module": "plugins/modules/[!_]*.py", "role": "roles/[!.]*"}.items()
)
def test_everything_is_documented(
    kind: str, pattern: str, elsewhere: Path, installed: Path
) -> None:
    doc = (BIN / "ansible-doc", "--type", kind)
    documented = json.loads(run(*doc, "--list", "--json", NAME, cwd=elsewhere))
    assert sorted(documented) == sorted(f"{NAME}.{path.stem}" for path in installed.glob(pattern))
    run(*doc, *documented, cwd=elsewhere)


def test_every_playbook_is_found_by_its_name(elsewhere: Path, installed: Path) -> None:
    names = [f"{NAME}.{playbook.stem}" for playbook in sorted(installed.glob("playbooks/*.yml"))]
    assert names
    run(BIN / "ansible-playbook", "--syntax-check", *names, cwd=elsewhere)


def test_the_lab_of_a_machine_needs_no_other_collection(installed: Path, tmp_path: Path) -> None:
    alone = tmp_path / "collections/ansible_collections/rcalab"
    alone.mkdir(parents=True)
    (alone / "llm").symlink_to(installed)
    names = [
        "prepare",
        "lab_up",
        "experiment",
        "suite_rca",
        "diagnose",
        "evaluate",
        "lab_down",
        "uninstall",
    ]
    playbooks = [f"{NAME}.{name}" for name in [*names, "revert_faults"]]
    run(BIN / "ansible-playbook", "--syntax-check", *playbooks, cwd=tmp_path)


def test_the_packages_come_from_the_installed_collection(programs: Path, elsewhere: Path) -> None:
    code = "import loadgen, rca_engine, rcalab_common; print(rca_engine.__path__[0])"
    assert run(programs / "python", "-c", code, cwd=elsewhere).startswith(str(programs.parent))


def test_loadgen_runs(programs: Path, elsewhere: Path) -> None:
    assert "usage" in run(programs / "loadgen", "--help", cwd=elsewhere).lower()


def test_rca_engine_knows_its_methods(programs: Path, elsewhere: Path) -> None:
    assert "baro" in run(programs / "rca-engine", "methods", cwd=elsewhere)


def test_using_it_leaves_the_collection_as_it_was(programs: Path, elsewhere: Path) -> None:
    assert programs.is_dir()  # pip has built and installed from it
    run(BIN / "ansible-galaxy", "collection", "verify", "--offline", NAME, cwd=elsewhere)
