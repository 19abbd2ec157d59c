# SPDX-License-Identifier: Apache-2.0
"""The package's one base error."""

from __future__ import annotations


class RcaEngineError(Exception):
    """Something a user can put right: says what was wrong, where, and what to do."""


class CaseError(RcaEngineError):
    """A case is missing, broken, or of another format version."""


class TelemetryError(RcaEngineError):
    """A source of telemetry can't be reached, refuses, or has nothing for the window."""


class MethodError(RcaEngineError):
    """A method can't rank this case; the reason goes into its diagnosis."""
