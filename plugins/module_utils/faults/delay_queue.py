# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold packets for a while in user space, for kernels that have no netem.

A rule hands a network namespace's packets to an nfnetlink queue (``-j NFQUEUE --queue-bypass``);
this process lets each of them go on when its time has come. When it dies the kernel takes the
queue away, and packets pass at once: a dead-man's switch of its own. The protocol is that of
``linux/netfilter/nfnetlink_queue.h``; only packets' numbers are read, never their content.
"""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator

from .network import Netns

QUEUE = 7077
_NETLINK_NETFILTER = 12
_SUBSYSTEM = 3
_PACKET, _VERDICT, _CONFIG = 0, 1, 2
_NLM_F_REQUEST, _NLM_F_ACK, _NLMSG_ERROR = 1, 4, 2
_CFG_CMD, _CFG_PARAMS, _CFG_QUEUE_MAXLEN, _CFG_MASK, _CFG_FLAGS = 1, 2, 3, 4, 5
_BIND, _COPY_META, _FAIL_OPEN = 1, 1, 1
_PACKET_HEADER, _VERDICT_HEADER, _ACCEPT = 1, 2, 1
_MAX_PACKETS = 8192
_BUFFER_BYTES = 4 * 1024 * 1024


class DelayQueue:
    """Delays every packet that the queue is given.

    Parameters
    ----------
    netns
        Where the queue is.
    delay_s, jitter_s
        How long a packet is held: ``delay_s`` give or take up to ``jitter_s``, drawn evenly. No
        packet overtakes another.
    seed
        Decides the jitter.

    Raises
    ------
    OSError
        If the kernel has no such queue, or somebody else has it.
    """

    def __init__(self, netns: Netns, delay_s: float, jitter_s: float, seed: int = 0) -> None:
        self._delay_s = delay_s
        self._jitter_s = jitter_s
        self._random = random.Random(seed)  # noqa: S311 - a jitter and no secret
        self._held: deque[tuple[float, int]] = deque()
        self._ending = threading.Event()
        self._failure: str | None = None
        self.packets = 0
        self._socket = netns.open_socket(_socket)
        self._configure()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """Why packets are no longer delayed, if so."""
        return self._failure

    def close(self) -> None:
        """Let go what is held, and give the queue back."""
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _configure(self) -> None:
        command = struct.pack(">BBH", _BIND, 0, socket.AF_INET)
        self._ask(_attribute(_CFG_CMD, command))
        self._ask(
            _attribute(_CFG_PARAMS, struct.pack(">IB", 0, _COPY_META)),
            _attribute(_CFG_QUEUE_MAXLEN, struct.pack(">I", _MAX_PACKETS)),
            _attribute(_CFG_MASK, struct.pack(">I", _FAIL_OPEN)),
            _attribute(_CFG_FLAGS, struct.pack(">I", _FAIL_OPEN)),
        )

    def _ask(self, *attributes: bytes) -> None:
        self._socket.send(_message(_CONFIG, _NLM_F_REQUEST | _NLM_F_ACK, *attributes))
        for kind, body in _messages(self._socket.recv(_BUFFER_BYTES)):
            if kind == _NLMSG_ERROR and (code := -struct.unpack_from("=i", body)[0]):
                raise OSError(code, f"the kernel refuses a packet queue: {os.strerror(code)}")

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._wait()
                self._release(time.monotonic())
            self._release(float("inf"))
        except OSError as error:
            self._failure = f"the packet queue ended: {error}"

    def _wait(self) -> None:
        """Take in what comes until the first held packet is due, a tenth of a second at most."""
        due = self._held[0][0] - time.monotonic() if self._held else 0.1
        if not select.select([self._socket], [], [], min(max(due, 0.0), 0.1))[0]:
            return
        try:
            data = self._socket.recv(_BUFFER_BYTES)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return  # more came than fit: the kernel let those pass (fail open)
            raise
        now = time.monotonic()
        for kind, body in _messages(data):
            if kind == (_SUBSYSTEM << 8) | _PACKET:
                self._hold(now, _packet_number(body))

    def _hold(self, now: float, number: int) -> None:
        self.packets += 1
        due = now + self._delay_s + self._random.uniform(-self._jitter_s, self._jitter_s)
        last = self._held[-1][0] if self._held else 0.0
        self._held.append((max(due, last), number))

    def _release(self, now: float) -> None:
        while self._held and self._held[0][0] <= now:
            verdict = struct.pack(">II", _ACCEPT, self._held.popleft()[1])
            self._socket.send(
                _message(_VERDICT, _NLM_F_REQUEST, _attribute(_VERDICT_HEADER, verdict))
            )


def _socket() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    opened.bind((0, 0))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    return opened


def _attribute(kind: int, data: bytes) -> bytes:
    padding = b"\0" * (-len(data) % 4)
    return struct.pack("=HH", 4 + len(data), kind) + data + padding


def _message(kind: int, flags: int, *attributes: bytes) -> bytes:
    # nfgenmsg: family, version, and the queue's number in network order.
    body = struct.pack("=BB", socket.AF_UNSPEC, 0) + struct.pack(">H", QUEUE) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), (_SUBSYSTEM << 8) | kind, flags, 0, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]


def _packet_number(body: bytes) -> int:
    rest = body[4:]
    while len(rest) >= 4:
        length, kind = struct.unpack_from("=HH", rest)
        if kind & 0x3FFF == _PACKET_HEADER:
            return int(struct.unpack_from(">I", rest, 4)[0])
        rest = rest[(length + 3) & ~3 :]
    raise OSError("a packet came from the queue without its number")
