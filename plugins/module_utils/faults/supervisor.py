# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's supervisor, by its XML-RPC interface on a Unix socket (supervisord.org/api.html)."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_TIMEOUT_S = 3.0
_RUNNING, _STARTING, _BACKOFF = "RUNNING", "STARTING", "BACKOFF"
_ALREADY_STARTED, _NOT_RUNNING = 60, 70


@dataclass(frozen=True)
class Program:
    """A program as the supervisor sees it; ``pid`` is 0 where it has no process."""

    name: str
    state: str
    pid: int

    @property
    def is_running(self) -> bool:
        """Whether it runs, and has done so long enough to count."""
        return self.state == _RUNNING

    @property
    def is_meant_to_run(self) -> bool:
        """Whether it runs or is being started."""
        return self.state in (_RUNNING, _STARTING, _BACKOFF)


@dataclass(frozen=True)
class Supervisor:
    """The supervisor that listens on ``socket``."""

    socket: str

    def programs(self) -> list[Program]:
        """Return every program.

        Raises
        ------
        OSError
            If the supervisor does not answer; so for every call.
        """
        return [
            Program(str(each["name"]), str(each["statename"]), int(each["pid"]))
            for each in self._call("getAllProcessInfo")
        ]

    def program(self, name: str) -> Program:
        """Return the program of that name; raise OSError if there is none."""
        for program in self.programs():
            if program.name == name:
                return program
        raise OSError(f"the supervisor has no program {name}")

    def program_of(self, pids: Iterable[int]) -> Program | None:
        """Return the program whose own process is one of ``pids``."""
        wanted = set(pids)
        return next((each for each in self.programs() if each.pid in wanted), None)

    def start(self, name: str) -> None:
        """Ask for a program's start, and do not wait for it."""
        self._call("startProcess", name, False, ignore=_ALREADY_STARTED)

    def stop(self, name: str) -> None:
        """Ask for a program's end, and do not wait for it."""
        self._call("stopProcess", name, False, ignore=_NOT_RUNNING)

    def _call(self, method: str, *arguments: object, ignore: int | None = None) -> Any:
        server = xmlrpc.client.ServerProxy("http://supervisor", transport=_Transport(self.socket))
        try:
            with server:
                return getattr(server.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == ignore:
                return None
            raise OSError(f"the supervisor refuses {method}: {fault.faultString}") from fault
        except (http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise OSError(f"the supervisor at {self.socket} does not answer: {error}") from error


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
