# SPDX-License-Identifier: Apache-2.0
"""Run the checks on the other Pythons that pyproject.toml names.

`make test` runs on one Python. This takes every other one that the classifiers of pyproject.toml
name, finds it on PATH or among pyenv's, and calls targets of the Makefile with it: environments of
its own (.venvs/python3.13, .venvs/antest3.13) from the pins for its version, then the tests.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import stages

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"
STAGES = ("packages", "units", "sanity")
EXAMPLES = """\
examples:
  %(prog)s                                   every Python, every stage
  %(prog)s packages                          the packages' tests only
  %(prog)s --python /opt/python3.13/bin/python3.13 sanity
"""
# A shim of pyenv is on PATH for Pythons that are not there; a Python without venv is no use.
_ASK = "import ensurepip, platform, venv; print(platform.python_version())"


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs: its release, ``3.13.0``, and where it is."""

    release: str
    path: Path

    @property
    def version(self) -> str:
        """The release without its last figure: ``3.13``."""
        return self.release.rpartition(".")[0]


def ask(path: Path) -> Interpreter | None:
    """Start the interpreter at ``path``; None if it does not run or can make no environment."""
    try:
        answer = subprocess.run([path, "-c", _ASK], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if answer.returncode else Interpreter(answer.stdout.strip(), path)


def named_versions(pyproject: Path) -> list[str]:
    """List the Pythons that the package's classifiers name: ``["3.11", "3.12", ...]``."""
    classifiers = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["classifiers"]
    last = [line.rpartition(" :: ")[2] for line in classifiers if " :: Python :: 3." in line]
    return sorted(last, key=_figures)


def candidates(version: str) -> Iterator[Path]:
    """Yield where a Python of ``version`` may be, best first: PATH, then pyenv's newest."""
    name = f"python{version}"
    for folder in os.get_exec_path():
        yield Path(folder) / name
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    releases = pyenv.glob(f"versions/{version}.*")
    yield from (
        release / "bin" / name
        for release in sorted(releases, key=lambda path: _figures(path.name), reverse=True)
    )


def find(version: str) -> Interpreter | None:
    """Return the first Python of ``version`` that runs here."""
    return next(filter(None, map(ask, candidates(version))), None)


def check(interpreter: Interpreter, wanted: list[str], junit: Path) -> list[stages.StageResult]:
    """Run targets of the Makefile with an interpreter, in environments of its own."""
    variables = [
        f"PYTHON={interpreter.path}",
        f"VENV=.venvs/python{interpreter.version}",
        f"ANTEST=.venvs/antest{interpreter.version}",
        f"JUNIT={junit}",
    ]
    return [
        stages.run_stage(name, junit, *variables, title=f"{interpreter.version} {name}")
        for name in wanted
    ]


def _figures(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in version.split("."))


def _given(paths: list[Path]) -> list[Interpreter]:
    found = []
    for path in paths:
        # Its folder is made absolute, the link not followed: a link is how venv is recognised.
        interpreter = ask(path.absolute())
        if interpreter is None:
            raise SystemExit(f"{path} is no Python that runs, with venv and ensurepip")
        found.append(interpreter)
    return found


def _others() -> list[Interpreter]:
    own = "{}.{}".format(*sys.version_info)
    wanted = [version for version in named_versions(PYPROJECT) if version != own]
    found = {version: find(version) for version in wanted}
    for version, interpreter in found.items():
        where = interpreter.path if interpreter else "not here, not tested"
        print(f"Python {version}: {where}")
    there = [interpreter for interpreter in found.values() if interpreter]
    if not there:
        raise SystemExit(f"none of Python {', '.join(wanted)} is here: name one by --python PATH")
    return there


def main() -> int:
    """Run the stages on each Python and sum up; return 1 if any failed."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--python",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="this interpreter instead; may be given more than once",
    )
    parser.add_argument(
        "--junit",
        type=Path,
        default=ROOT / ".cache" / "junit",
        help="where stages leave JUnit files (default: .cache/junit)",
    )
    parser.add_argument(
        "stages",
        nargs="*",
        default=STAGES,
        metavar="STAGE",
        help=f"a target of the Makefile (default: {', '.join(STAGES)})",
    )
    options = parser.parse_args()

    interpreters = _given(options.python) or _others()
    junit = options.junit.absolute()
    results = [
        result
        for interpreter in interpreters
        for result in check(interpreter, list(options.stages), junit)
    ]
    return stages.sum_up(results)


if __name__ == "__main__":
    sys.exit(main())
