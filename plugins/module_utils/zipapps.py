# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build a zipapp whose bytes depend on its sources only."""

from __future__ import annotations

import ast
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

_SHEBANG = b"#!/usr/bin/env python3\n"
# The oldest time that a zip file can hold.
_TIME = (1980, 1, 1, 0, 0, 0)
_IGNORED_FOLDER = "__pycache__"
_ENTRY_POINT = re.compile(r"(?P<module>(?P<package>\w+)(\.\w+)*):(?P<function>\w+)")


def build_zipapp(
    package: Path, entry_point: str, beside: Sequence[str] = (), *, whole: bool = True
) -> bytes:
    """Return a zipapp of one package, and of those that it needs beside it.

    Parameters
    ----------
    package
        The package's folder; the archive holds it under its own name.
    entry_point
        ``package.module:function``, called without arguments; it returns the exit code.
    beside
        Names of packages in the same folder, from which it imports relatively (``from ..other``).
        The archive then holds all of them in a package of that folder's name.
    whole
        False for the modules alone that the entry point's imports lead to. What it looks for at run
        time, as a registry does, is not among them.

    Raises
    ------
    ValueError
        If the folder is no package or the entry point does not lead into it.
    """
    packages = [package, *(package.with_name(name) for name in beside)]
    for each in packages:
        if not (each / "__init__.py").is_file():
            raise ValueError(f"{each} is no Python package")
    match = _ENTRY_POINT.fullmatch(entry_point)
    if match is None or match["package"] != package.name:
        raise ValueError(f"{entry_point!r} is no function of {package.name}")
    above = package.parent.name + "/" if beside else ""
    files = {
        file
        for each in packages
        for file in each.rglob("*")
        if file.is_file() and _IGNORED_FOLDER not in file.parts
    }
    if not whole:
        files &= _reached(package.parent.joinpath(*match["module"].split(".")).with_suffix(".py"))
    content = {
        f"{above}{file.relative_to(package.parent).as_posix()}": file.read_bytes() for file in files
    }
    if beside:
        content[f"{above}__init__.py"] = b""
    module, function = above.replace("/", ".") + match["module"], match["function"]
    main = f"import {module}\n\nraise SystemExit({module}.{function}())\n"
    content["__main__.py"] = main.encode()
    archive = io.BytesIO(_SHEBANG)
    archive.seek(len(_SHEBANG))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as zipped:
        for name in sorted(content):
            info = zipfile.ZipInfo(name, _TIME)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            zipped.writestr(info, content[name])
    return archive.getvalue()


def _reached(module: Path) -> set[Path]:
    """Return the files that relative imports lead to from a module, itself among them."""
    reached, left = set(), [module]
    while left:
        file = left.pop()
        if file in reached or not file.is_file():
            continue
        reached.add(file)
        left += [file.with_name("__init__.py"), *_imported(file)]
    return reached


def _imported(file: Path) -> Iterator[Path]:
    """Name the files that a module's relative imports may mean: a name is a module or in one."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for path in (folder, *(folder / alias.name for alias in node.names)):
                yield path.with_suffix(".py")
                yield path / "__init__.py"
