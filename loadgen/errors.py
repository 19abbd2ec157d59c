# SPDX-License-Identifier: Apache-2.0
"""What goes wrong before or beside a run; what goes wrong within one is a request's outcome."""

from __future__ import annotations


class LoadgenError(Exception):
    """Base of every error of this package: says what was wrong, where, and what to do."""


class ProfileError(LoadgenError):
    """A value of the load profile, or another input, is out of its range."""


class TargetError(LoadgenError):
    """The service can't be reached, or doesn't serve the model, before the run starts."""


class OutputError(LoadgenError):
    """The output folder holds a finished run, or can't be written."""
