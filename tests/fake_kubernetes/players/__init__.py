# SPDX-License-Identifier: Apache-2.0
"""The controllers: what becomes of an object, one file for each family of kinds.

A player gets the cluster and an object of its kind whenever that, or something that it owns, has
changed. It compares what is with what should be and makes the difference, as a controller does:
called once more, it changes nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache

from tests.fake_kubernetes.cluster import Cluster
from tests.fake_kubernetes.storage import Object

Player = Callable[[Cluster, Object], None]

_PLAYERS: dict[tuple[str, str], Player] = {}


def plays(group: str, *kinds: str) -> Callable[[Player], Player]:
    """Register a function as the player of kinds of a group."""

    def register(player: Player) -> Player:
        for kind in kinds:
            _PLAYERS[group, kind] = player
        return player

    return register


@cache
def _load() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def player_of(group: str, kind: str) -> Player | None:
    """Return the player of a kind, or None: its objects stay as they are."""
    _load()
    return _PLAYERS.get((group, kind))
