"""Writing what is asked and answered while more is being asked.

A commit that has to outlive a power cut waits for the disk, for milliseconds. So that nothing else
waits meanwhile, commits are made in a thread; and what comes in during one goes into the next, all
of it together.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flexi_score.judge.store import Received, Store, insert_received


class _Write(NamedTuple):
    work: Callable[[sqlite3.Connection], Any]
    lasting: bool
    done: "asyncio.Future[Any]"


class Writer:
    """Writes to ``judge.sqlite`` of any number of tasks; each returns when it is done."""

    def __init__(self, path: Path) -> None:
        self._store = Store(path, write=True)
        # A process killed between a reply and the end of its claim leaves the claim behind.
        self._store.drop_void_claims()
        self._waiting: list[_Write] = []
        self._writing: asyncio.Task[None] | None = None

    async def add(self, reply: Received) -> None:
        """Keep a reply: it is on the disk when this returns."""
        await self._do(lambda db: insert_received(db, [reply]), lasting=True)

    async def claim(self, key: str, server: str, seconds: float) -> bool:
        """As :meth:`Store.claim`."""
        return bool(await self._do(lambda db: self._store.claim_within(db, key, server, seconds)))

    async def release(self, key: str, server: str) -> None:
        """Give a claim up."""
        await self._do(lambda db: self._store.release_within(db, key, server))

    async def close(self) -> None:
        """Finish what is to be written, and close the store."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        self._store.close()

    async def _do(self, work: Callable[[sqlite3.Connection], Any], *, lasting: bool = False) -> Any:
        done = asyncio.get_running_loop().create_future()
        # Nothing is awaited before it is in line: a task that is cancelled has its write done.
        self._waiting.append(_Write(work, lasting, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await asyncio.shield(done)

    async def _write(self) -> None:
        try:
            while self._waiting:
                writes, self._waiting = self._waiting, []
                try:
                    results = await asyncio.to_thread(self._commit, writes)
                except Exception as error:
                    for write in writes:
                        if not write.done.done():
                            write.done.set_exception(error)
                else:
                    for write, result in zip(writes, results, strict=True):
                        if not write.done.done():
                            write.done.set_result(result)
        finally:
            self._writing = None

    def _commit(self, writes: Sequence[_Write]) -> list[Any]:
        with self._store.changing(lasting=any(write.lasting for write in writes)) as db:
            return [write.work(db) for write in writes]
