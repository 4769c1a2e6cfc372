"""One function over many independent tasks: in this process, in a pool of processes, or on a dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing import get_context
from typing import Any, TypeVar

from ondee.errors import ConfigError, OndeeError

__all__ = ["run"]

Task = TypeVar("Task")
Result = TypeVar("Result")


def run(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int = 1, cluster: str | None = None
) -> Iterator[tuple[Task, Result]]:
    """Apply a function to each task and yield each task with its result as it is done.

    The function must be importable and must not depend on the order: where it runs changes nothing of what
    it returns or writes. Leaving the iteration early cancels what has not begun.

    Parameters
    ----------
    function
        A function of one task.
    tasks
        Independent, picklable tasks.
    workers
        Processes on this machine; 1 runs here.
    cluster
        Address of a dask scheduler (``tcp://host:8786``); `workers` is then the scheduler's affair.

    Raises
    ------
    ConfigError
        If the cluster cannot be reached or its extra is not installed, a worker process died, or there is no worker.
    """
    if workers < 1:
        raise ConfigError(f"{workers} workers do no work", where="workers", fix="use 1 or more")
    if cluster:
        yield from _on_cluster(function, tasks, cluster)
    elif workers > 1 and len(tasks) > 1:
        yield from _in_processes(function, tasks, min(workers, len(tasks)))
    else:
        for task in tasks:
            yield task, function(task)


def _in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Result]]:
    """Fresh processes, so that no lock or open file is inherited."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(function, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise ConfigError(
                "a worker process was killed, most likely for memory",
                where=f"{workers} workers",
                fix="run again with fewer workers: what was done is kept",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _on_cluster(
    function: Callable[[Task], Result], tasks: Sequence[Task], address: str
) -> Iterator[tuple[Task, Result]]:
    """Futures on a dask.distributed scheduler; no lazy graph is built."""
    try:
        import distributed
    except ImportError as error:
        raise ConfigError(
            "running on a cluster needs dask.distributed",
            where=f"--cluster {address}",
            fix="pip install 'ondee[cluster]'",
        ) from error
    try:
        client = distributed.Client(address, timeout="15s", set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"no dask scheduler answers: {error}",
            where=f"--cluster {address}",
            fix="start one with `dask scheduler` and workers with `dask worker ADDRESS`, and give its address",
        ) from error
    with closing(client):
        futures: dict[Any, Task] = {client.submit(function, task, pure=False): task for task in tasks}
        try:
            for future in distributed.as_completed(futures, loop=client.loop):
                yield futures[future], _result(future)
        finally:
            client.cancel(list(futures))


def _result(future: Any) -> Any:
    """Result of a dask future; a worker that died is our error, not dask's."""
    try:
        return future.result()
    except OndeeError:
        raise
    except Exception as error:
        if type(error).__name__ in ("KilledWorker", "CancelledError", "FutureCancelledError"):
            raise ConfigError(
                f"the cluster lost a task: {type(error).__name__}",
                where="dask cluster",
                fix="look at the workers' memory and logs, then run again: what was done is kept",
            ) from error
        raise
