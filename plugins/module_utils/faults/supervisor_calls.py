# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML-RPC with a supervisor on a Unix socket; apart, so that only who calls one loads it."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from typing import Any

_TIMEOUT_S = 3.0


def call(path: str, method: str, *arguments: object, ignore: int | None = None) -> Any:
    """Call a method of the supervisor at ``path``; a fault of the number ``ignore`` is none.

    Raises
    ------
    OSError
        If the supervisor does not answer, or refuses.
    """
    server = xmlrpc.client.ServerProxy("http://supervisor", transport=_Transport(path))
    try:
        with server:
            return getattr(server.supervisor, method)(*arguments)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode == ignore:
            return None
        raise OSError(f"the supervisor refuses {method}: {fault.faultString}") from fault
    except (http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
        raise OSError(f"the supervisor at {path} does not answer: {error}") from error


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("supervisor", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        del host  # the socket's path says it all
        return _Connection(self._path)
