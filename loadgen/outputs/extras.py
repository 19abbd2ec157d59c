# SPDX-License-Identifier: Apache-2.0
"""Packages that only some outputs need: asked for before a run, not after it."""

from __future__ import annotations

from importlib.util import find_spec

from loadgen.errors import OutputError


def need(*packages: str, extra: str, what: str) -> None:
    """Raise if a package of an extra is missing.

    Raises
    ------
    OutputError
        With the command that installs it.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise OutputError(
            f"{what} needs {' and '.join(missing)}, not installed here: "
            f"pip install 'rcalab-llm[{extra}]'"
        )
