# SPDX-License-Identifier: Apache-2.0
"""What the server refuses, and how it says so: Status objects with a real server's words."""

from __future__ import annotations

from typing import Any

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


class ApiError(Exception):
    """A request that is answered by a Status object."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or REASONS.get(code, "InternalError")
        self.details = details or {}

    def status(self) -> dict[str, Any]:
        """Return the Status object."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            body["details"] = self.details
        return body


def _of(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> ApiError:
    """Say that there is no such object."""
    details = {"name": name, "group": group, "kind": plural}
    return ApiError(404, f'{_of(plural, group)} "{name}" not found', details=details)


def no_such_path() -> ApiError:
    """Say that no kind is served there."""
    return ApiError(404, "the server could not find the requested resource")


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """Say that the name is taken."""
    details = {"name": name, "group": group, "kind": plural}
    message = f'{_of(plural, group)} "{name}" already exists'
    return ApiError(409, message, reason="AlreadyExists", details=details)


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    """Say that somebody else was there first."""
    details = {"name": name, "group": group, "kind": plural}
    message = f'Operation cannot be fulfilled on {_of(plural, group)} "{name}": {why}'
    return ApiError(409, message, reason="Conflict", details=details)


def invalid(group: str, kind: str, name: str, causes: list[tuple[str, str]]) -> ApiError:
    """Say which fields hold what they must not; a cause is a field and a sentence."""
    listed = ", ".join(f"{field}: {why}" for field, why in causes)
    if len(causes) > 1:
        listed = f"[{listed}]"
    details = {
        "name": name,
        "group": group,
        "kind": kind,
        "causes": [{"reason": "FieldValueInvalid", "message": w, "field": f} for f, w in causes],
    }
    return ApiError(422, f'{_of(kind, group)} "{name}" is invalid: {listed}', details=details)
