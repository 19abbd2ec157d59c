# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time that a packet takes to a pod and back, as ping measures it."""

from __future__ import annotations

import os
import select
import socket
import statistics
import struct
import time

_ECHO_REQUEST, _ECHO_REPLY = 8, 0


def round_trip_s(address: str, tries: int = 3, timeout_s: float = 3.0) -> float | None:
    """Return the median round trip of some echo requests in seconds; None if none came back.

    Raises
    ------
    OSError
        If this process may not send any (it needs root).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as handle:
        handle.connect((address, 0))
        answers = [_one(handle, number, timeout_s) for number in range(tries)]
    seen = [answer for answer in answers if answer is not None]
    return statistics.median(seen) if seen else None


def _one(handle: socket.socket, number: int, timeout_s: float) -> float | None:
    name = os.getpid() & 0xFFFF
    header = struct.pack(">BBHHH", _ECHO_REQUEST, 0, 0, name, number)
    begin = time.monotonic()
    handle.send(struct.pack(">BBHHH", _ECHO_REQUEST, 0, _checksum(header), name, number))
    while (left := begin + timeout_s - time.monotonic()) > 0:
        if not select.select([handle], [], [], left)[0]:
            return None
        data = handle.recv(2048)
        answer = data[(data[0] & 0x0F) * 4 :]
        if answer[:1] == bytes([_ECHO_REPLY]) and struct.unpack(">HH", answer[4:8]) == (
            name,
            number,
        ):
            return time.monotonic() - begin
    return None


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
