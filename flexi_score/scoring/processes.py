"""Processes of our own for work on tables: how many threads they have, and how they keep memory."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Final

#: What makes the allocators of C (numpy's) and of polars keep what is freed. Work that goes over
#: one chunk after another needs as much each time; giving memory back to the system between them
#: and asking for it again costs a quarter of the processor's time. Unknown ones are ignored.
_KEEP_MEMORY: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 31),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1",
}


@contextmanager
def table_workers(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that share the cores: polars has as many threads in each as there are for it.

    The calling script must be importable (its work under ``if __name__ == "__main__":``), as
    always where Python starts processes.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    wanted = _KEEP_MEMORY | {"POLARS_MAX_THREADS": str(threads)}
    before = {name: os.environ.get(name) for name in wanted}
    # Both are read when a process starts. What the user has set is the user's.
    os.environ.update({name: value for name, value in wanted.items() if before[name] is None})
    try:
        # Spawned, not forked: polars' threads do not survive a fork.
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            try:
                yield pool
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
