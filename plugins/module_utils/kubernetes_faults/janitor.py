# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The janitor: a pod that puts back the faults whose time is over and that nobody has ended.

It is the end of a fault that rests on no machine but the cluster's own. It looks at the objects
with the label of a window, and at nothing else; what it does is what `recovery` does by hand. Its
journal is its log, a line of JSON for each transition, and an event for each window.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from ..faults import times
from ..faults.errors import FaultError, RefusedError
from . import recovery
from .api import EVENT, LEASE, Api, connect
from .fault import EXPIRES, LOCK
from .recovery import Found

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PERIOD_S = 10.0
FAILED, REFUSED = 1, 2


def expiry(found: Iterable[Found]) -> datetime | None:
    """Return when the time of a window is over, by the last of its objects; None if none tells.

    Raises
    ------
    FaultError
        If one tells no time.
    """
    told = [
        (obj["metadata"]["name"], text)
        for _kind, obj in found
        if (text := (obj["metadata"].get("annotations") or {}).get(EXPIRES)) is not None
    ]
    try:
        return max((datetime.fromisoformat(text) for _name, text in told), default=None)
    except (TypeError, ValueError) as error:
        raise FaultError(f"{EXPIRES} of {dict(told)} can't be read: {error}") from error


class Janitor:
    """What the janitor knows between two looks: what it has said of which window."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._said: dict[str, set[tuple[str, str]]] = {}

    def look(self) -> None:
        """Put back, as far as one try goes, what is past its time; the next look goes on.

        Raises
        ------
        OSError
            If the API server does not answer.
        """
        found = recovery.left(self._api, self._namespace)
        windows = recovery.windows(found)
        self._said = {window: self._said.get(window, set()) for window in windows}
        for window in windows:
            part = [(kind, obj) for kind, obj in found if recovery.window_of(obj) == window]
            try:
                self._see_to(window, part)
            except FaultError as error:
                self._say(window, "LEAKED", str(error))

    def _see_to(self, window: str, found: list[Found]) -> None:
        end = expiry(found)
        if end is None:
            self._say(window, "LEAKED", f"nothing of it has {EXPIRES}: run revert_faults")
        elif end < datetime.now(UTC):
            # Whoever opened it may be waiting for pods: nothing is left to do then, nor to say.
            if left := recovery.remainders(recovery.undo_of(self._api, found)):
                over = f"its time was over at {end:%Y-%m-%dT%H:%M:%SZ}"
                self._say(window, "REVERTING", f"{over}, and {'; '.join(left)}")
            if not recovery.revert_once(self._api, found, awaited=True):
                self._say(window, "REVERTED", "the lock is let go")

    def _say(self, window: str, state: str, reason: str) -> None:
        """Write a transition down, once: into the journal, and as an event."""
        if (state, reason) in self._said[window]:
            return
        self._said[window].add((state, reason))
        now = times.now_text()
        line = {"time": now, "window": window, "state": state, "by": "janitor", "reason": reason}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        second = f"{now[:19]}Z"
        event = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.name,
            "metadata": {"generateName": "rcalab-janitor-", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": LEASE.api_version,
                "kind": LEASE.name,
                "namespace": self._namespace,
                "name": LOCK,
            },
            "type": "Normal" if state == "REVERTED" else "Warning",
            "reason": f"Fault{state.capitalize()}",
            "message": f"window {window}: {reason}",
            "source": {"component": "rcalab-janitor"},
            "firstTimestamp": second,
            "lastTimestamp": second,
            "count": 1,
        }
        try:
            self._api.create(EVENT, event)
        except OSError as error:
            # The target has to be put back, and that counts more than what is told about it.
            _complain(f"no event can be made: {error}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Look until told to end, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="janitor.pyz",
        description="Put back the faults of a namespace whose time is over. Its log is a journal.",
    )
    parser.add_argument("--namespace", required=True, help="where faults act")
    parser.add_argument(
        "--every-s", type=float, default=PERIOD_S, help="seconds between two looks (%(default)g)"
    )
    parser.add_argument(
        "--kubeconfig", default=ACCOUNT, help="or the folder of a pod's account (%(default)s)"
    )
    options = parser.parse_args(arguments)
    stop = threading.Event()
    # The first process of a container ends at no signal that it does not ask for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        janitor = Janitor(connect(options.kubeconfig, None), options.namespace)
        janitor.look()
    except RefusedError as error:
        _complain(f"refused: {error}")
        return REFUSED
    except OSError as error:
        # One that never could look should not seem to watch: the kubelet starts it again.
        _complain(f"failed: {error}")
        return FAILED
    while not stop.wait(options.every_s):
        try:
            janitor.look()
        except OSError as error:
            _complain(str(error))
    return 0


def _complain(text: str) -> None:
    sys.stderr.write(f"{times.now_text()} {text}\n")
    sys.stderr.flush()
