# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin of vLLM for a machine with fewer cores than engines: nap between two looks.

For a second after each message the readers of vLLM's shared memory look at it without a pause,
giving their time slice away and taking it again (``SpinCondition`` in ``shm_broadcast``, vLLM 0.32;
no setting changes it). Where every engine has a core to itself that saves a wake-up. On two cores
three engines with two requests a second leave no core to anybody, and every latency that the lab
measures is the scheduler's.
"""

from __future__ import annotations

import time

# A step of the smallest model takes as long.
_NAP_S = 0.001


def register() -> None:
    """Let every reader in this process sleep where it would only give its time slice away."""
    from vllm.distributed.device_communicators import shm_broadcast

    shm_broadcast.sched_yield = _nap


def _nap() -> None:
    time.sleep(_NAP_S)
