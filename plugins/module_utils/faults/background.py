# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that a fault does beside its window, until the window ends."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """A thread that is told when to end, and whose failure is kept for whoever looks.

    Parameters
    ----------
    work
        What to do, until the event it is given is set. An ``OSError`` ends it.
    failing
        What to say of such an end: ``the duty cycle ended``.
    """

    def __init__(self, work: Callable[[threading.Event], None], failing: str) -> None:
        self._work, self._failing = work, failing
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def is_running(self) -> bool:
        """Whether the work goes on."""
        return self._thread is not None and self._thread.is_alive()

    def end(self) -> None:
        """Tell it to end, and wait until it has; one that never began needs no end."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def let_go(self) -> None:
        """Tell it to end, and do not wait: for work that only looks, and may look for long."""
        self._ending.set()

    def _run(self) -> None:
        try:
            self._work(self._ending)
        except OSError as error:
            self.failure = f"{self._failing}: {error}"
