# SPDX-License-Identifier: Apache-2.0
"""What goes wrong before or beside a run; what goes wrong within one is a request's outcome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LoadgenError(Exception):
    """Base of every error of this package: says what was wrong, where, and what to do."""


class ProfileError(LoadgenError):
    """A value of the load profile, or another input, is out of its range."""


class TargetError(LoadgenError):
    """The service can't be reached, or doesn't serve the model, before the run starts."""


class OutputError(LoadgenError):
    """The output folder holds a finished run, or can't be written."""


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Give a file or folder that can't be written its one error, :class:`OutputError`."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error
