# SPDX-License-Identifier: Apache-2.0
"""How a request can end: the words of the records' ``outcome``."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The end of one request.

    Two pairs are easily confused. ``truncated`` ended as HTTP says an answer ends, but without the
    provider's terminal frame; ``reset_midstream`` lost its connection before that. ``censored``
    was still in flight when the run ended by itself; ``cancelled`` when somebody ended the run.
    """

    SUCCESS = "success"
    DNS = "dns"
    REFUSED = "refused"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    RESET_BEFORE_FIRST_BYTE = "reset_before_first_byte"
    HTTP_4XX = "http_4xx"
    HTTP_429 = "http_429"
    HTTP_5XX = "http_5xx"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    STALL_TIMEOUT = "stall_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    RESET_MIDSTREAM = "reset_midstream"
    TRUNCATED = "truncated"
    INBAND_ERROR = "inband_error"
    MALFORMED = "malformed"
    EMPTY = "empty"
    CANCELLED = "cancelled"
    CENSORED = "censored"
