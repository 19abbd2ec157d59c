# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put back whatever faults have left in a cluster, with nothing but a kubeconfig."""

from __future__ import annotations

import json
import time

from ..faults.errors import FaultError
from .api import CHAOS_KINDS, CONFIG_MAP, JOB, LEASE, POD, Api, ApiError, Kind, Object
from .fault import UNDO
from .undo_actions import (
    ACTIONS,
    WINDOW_LABEL,
    AwaitPods,
    ClusterAction,
    DeleteObject,
    SetFields,
)

_NOT_FOUND = 404
_GONE_S = 60.0
_LOOK_S = 1.0
_MADE = (*CHAOS_KINDS, JOB, POD, CONFIG_MAP)

Found = tuple[Kind, Object]


def left(api: Api, namespace: str = "") -> list[Found]:
    """Return the objects of our faults, in one namespace or in all; the locks come last.

    Raises
    ------
    OSError
        If the API server does not answer.
    """
    found: list[Found] = []
    for kind in (*_MADE, LEASE):
        try:
            found += [(kind, obj) for obj in api.objects(kind, namespace, WINDOW_LABEL)]
        except ApiError as error:
            if error.status != _NOT_FOUND:  # a cluster without Chaos Mesh has no such kind
                raise
    return found


def windows(found: list[Found]) -> list[str]:
    """Return the names of the windows that objects are of."""
    return sorted({window_of(obj) for _kind, obj in found})


def window_of(obj: Object) -> str:
    """Return the name of the window that an object is of."""
    return str(obj["metadata"]["labels"][WINDOW_LABEL])


def revert_all(api: Api, namespace: str = "", within_s: float = _GONE_S) -> list[str]:
    """Give back what was changed, delete what was made, and see that it is gone.

    Returns
    -------
    list of str
        The windows that were put back.

    Raises
    ------
    FaultError
        If something could not be put back; its lock is kept, and with it its undo.
    """
    try:
        found = left(api, namespace)
        reverted = windows(found)
        end = time.monotonic() + within_s
        while found:
            problems = revert_once(api, found)
            if problems and time.monotonic() > end:
                raise FaultError("; ".join(problems))
            if problems:
                time.sleep(_LOOK_S)
            found = left(api, namespace)
    except OSError as error:
        raise FaultError(f"the cluster can't be asked: {error}") from error
    return reverted


def revert_once(api: Api, found: list[Found], *, awaited: bool = False) -> list[str]:
    """Do it once, and return what is not back yet; the locks go when all is.

    With ``awaited`` they wait also for what others have to start again.

    Raises
    ------
    OSError
        If the API server does not answer.
    FaultError
        If a lock's undo can't be read.
    """
    actions = undo_of(api, found, awaited=awaited)
    for action in actions:
        action.restore()
    problems = remainders(actions)
    if not problems:
        for kind, obj in found:
            if kind is LEASE:
                _deletion(api, kind, obj).restore()
    return problems


def undo_of(api: Api, found: list[Found], *, awaited: bool = False) -> list[ClusterAction]:
    """Return what puts objects back, but for the locks themselves; raises as `revert_once`."""
    wanted = (SetFields, AwaitPods) if awaited else (SetFields,)
    actions: list[ClusterAction] = []
    for kind, obj in found:
        if kind is LEASE:
            # It knows of the made objects too, which are here by their label.
            actions += [each for each in _actions(api, obj) if isinstance(each, wanted)]
        else:
            actions.append(_deletion(api, kind, obj))
    return actions


def remainders(actions: list[ClusterAction]) -> list[str]:
    """Return what is not as before."""
    return [problem for each in actions if (problem := each.remainder()) is not None]


def _actions(api: Api, lease: Object) -> list[ClusterAction]:
    text = (lease["metadata"].get("annotations") or {}).get(UNDO, "[]")
    known = {action.kind: action for action in ACTIONS}
    found: list[ClusterAction] = []
    try:
        for item in json.loads(text):
            fields = {**item, "kubeconfig": api.kubeconfig, "context": api.context}
            found.append(known[fields.pop("kind")](**fields))
    except (KeyError, TypeError, ValueError) as error:
        name = lease["metadata"]["name"]
        raise FaultError(
            f"the undo in Lease {name} can't be read ({error!r}): restore by hand"
        ) from error
    return found


def _deletion(api: Api, kind: Kind, obj: Object) -> DeleteObject:
    metadata = obj["metadata"]
    return DeleteObject(
        api.kubeconfig,
        api.context,
        kind.name,
        metadata["namespace"],
        metadata["name"],
        window_of(obj),
    )
