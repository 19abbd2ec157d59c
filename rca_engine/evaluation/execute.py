# SPDX-License-Identifier: Apache-2.0
"""Run tasks on this machine's cores or on a Ray cluster; both give the same results.

Local
    A pool of processes (joblib's loky, which needs no ``if __name__ == "__main__"``). A worker that
    dies takes the pool with it: its runs are then done one by one, and the one on which a worker
    dies again has failed. The rest goes on.
Ray
    joblib's Ray backend. Each node must see the data set under the same path, and have this
    package.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

from rca_engine.errors import RcaEngineError
from rca_engine.evaluation.plan import Task
from rca_engine.evaluation.store import Document, Store
from rca_engine.evaluation.work import lost, work

Results = list[tuple[str, Document]]

_ROUND = 8
"""Tasks a worker in a round on Ray."""
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


def local(tasks: Sequence[Task], workers: int, store: Store) -> Iterator[Results]:
    """Do tasks in a pool of ``workers`` processes and yield each task's results as it ends."""
    ended: set[str] = set()
    try:
        for task, results in _pool(tasks, workers, store):
            ended.add(task.facts_key)
            yield results
    except BrokenProcessPool:
        for task in tasks:
            if task.facts_key not in ended:
                yield _one_by_one(task, store)


def ray(
    tasks: Sequence[Task], workers: int | None, address: str | None, store: Store
) -> Iterator[Results]:
    """Do tasks on a Ray cluster and yield each task's results, a round of tasks at a time.

    Parameters
    ----------
    tasks
        What to do.
    workers
        At most so many at a time; None for all that the cluster has.
    address
        The cluster's; None to start Ray on this machine, unless it is started.
    store
        Where results are kept; the workers write to it themselves if they are on this machine.

    Raises
    ------
    RcaEngineError
        If Ray is not installed or can't be reached, or a worker died.
    """
    joblib, ray_module = _import_ray()
    started = not ray_module.is_initialized()
    if started:
        try:
            ray_module.init(address=address, num_cpus=None if address else workers)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = address or "on this machine"
            raise RcaEngineError(f"no Ray cluster {where}: {error}") from None
    do = functools.partial(work, store=None if address else store)
    try:
        count = workers or int(ray_module.cluster_resources().get("CPU", 1))
        # joblib's Ray backend gives results only when all are there: so there are rounds, each
        # long enough to keep the workers busy and short enough to lose little in a kill.
        size = _ROUND * count
        with (
            joblib.parallel_config(backend="ray", n_jobs=count),
            joblib.Parallel(batch_size=1) as parallel,
        ):
            for start in range(0, len(tasks), size):
                yield from parallel(
                    joblib.delayed(do)(task) for task in tasks[start : start + size]
                )
    except ray_module.exceptions.RayError as error:
        raise RcaEngineError(
            f"a Ray worker died: {error}; what was done is kept, start again with --executor local "
            f"to find the run that kills its worker"
        ) from error
    finally:
        if started:
            ray_module.shutdown()


def _pool(tasks: Sequence[Task], workers: int, store: Store) -> Iterator[tuple[Task, Results]]:
    from joblib.externals.loky import ProcessPoolExecutor

    do: Callable[[Task], Results] = functools.partial(work, store=store)
    with ProcessPoolExecutor(max_workers=workers, env=_ONE_THREAD) as pool:
        futures = {pool.submit(do, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            # Whoever stops listening (Ctrl-C) wants no more of it either.
            pool.shutdown(wait=False, kill_workers=True)
            raise


def _one_by_one(task: Task, store: Store) -> Results:
    """Do what is left of a task, each run in a worker of its own."""
    results: Results = []
    for run in task.runs:
        kept = store.read(run.key)
        if kept is not None:
            results.append((run.key, kept))
            continue
        single = replace(task, runs=(run,))
        try:
            for _, part in _pool([single], 1, store):
                results += part
        except BrokenProcessPool:
            results.append((run.key, lost(task, run)))
    return results


def _import_ray() -> tuple[Any, Any]:
    import joblib

    try:
        import ray as ray_module
        from ray.util.joblib import register_ray
    except ImportError:
        raise RcaEngineError("--executor ray needs Ray: pip install 'rcalab-llm[ray]'") from None
    register: Callable[[], None] = register_ray
    register()
    return joblib, ray_module
