"""Many questions sent at once: claims, attempts, pauses, and the limit of cost."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flexi_score.config import JudgeSettings
from flexi_score.judge.client import (
    GIVE_UP_AFTER,
    Fault,
    RunStopped,
    ask_once,
    longest_wait_s,
    may_retry,
    wait_s,
)
from flexi_score.judge.cost import Price, most_usd
from flexi_score.judge.ratings import WAITING, Outcome, first_of_use
from flexi_score.judge.request import Request, server_of
from flexi_score.judge.store import Received, Store, received_from
from flexi_score.judge.writer import Writer

if TYPE_CHECKING:
    from openai import AsyncOpenAI

#: On an interrupt, replies under way are waited for this long, as they are paid for.
_DRAIN_S: Final = 10.0
#: How often to look whether another process has an answer that we need, too.
_LOOK_S: Final = 0.5


@dataclass(frozen=True)
class Progress:
    """How far the judge is."""

    #: done, total: questions, repeats counted, the same question of two recordings once
    done: int
    total: int
    stored: int  # of those done, how many had an answer in the archive
    unscored: int  # of those done, how many got no rating
    calls: int  # requests sent, repeated ones included
    cost_usd: float | None  # spent by now; None where the price is not known
    seconds_left: float | None


class Dispatch:
    """Sends questions to the server, and keeps count of what they cost."""

    def __init__(
        self,
        path: Path,
        settings: JudgeSettings,
        price: Price | None,
        client: AsyncOpenAI,
        requests: Sequence[Request],
        n_stored: int,
        progress: Callable[[Progress], None],
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._path, self._settings, self._price, self._client = path, settings, price, client
        self._server = server_of(settings)
        self._requests, self._n_stored, self._progress = requests, n_stored, progress
        self._queue = deque(requests)
        self._elsewhere: deque[Request] = deque()  # claimed by other processes
        self._calls = self._in_a_row = self._unscored = 0
        self._answered = False
        self._spent = 0.0  # what is known
        self._at_risk = 0.0  # what may have been charged for replies that never came
        self._held = 0.0  # what the requests under way could cost
        self._not_before = 0.0  # the server wants a pause
        self._stopped: str | None = None
        self._lease_s = settings.timeout_s + 2 * longest_wait_s(settings) + 30
        self._began = time.monotonic()

    async def run(self, *, close: bool) -> None:
        """Ask all; on return every request has an outcome."""
        self._wake = asyncio.Event()
        self._settled = asyncio.Condition()
        self._writer = Writer(self._path)
        self._reader = Store(self._path, write=False)
        number = min(self._settings.concurrency, len(self._requests))
        workers = [asyncio.create_task(self._work()) for _ in range(number)]
        try:
            done, rest = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            errors = [error for task in done if (error := task.exception())]
            if errors:
                await self._drain(rest, "the run was stopped")
                first = errors[0]
                raise first.error if isinstance(first, RunStopped) else first
        except asyncio.CancelledError:  # Ctrl-C; a second one ends this wait, too
            await self._drain(workers, "interrupted")
            raise
        finally:
            for task in workers:
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self._reader.close()
            await self._writer.close()
            if close:
                await self._client.close()
        for request in self._requests:
            unasked = Outcome("failed", problem=f"not asked: {self._stopped}")
            self.outcomes.setdefault(request.key, unasked)

    async def _drain(self, tasks: Collection[asyncio.Task[None]], why: str) -> None:
        """Start nothing more, and wait for the replies under way: they are paid for."""
        self._stop(why)
        if tasks:
            await asyncio.wait(tasks, timeout=min(_DRAIN_S, self._settings.timeout_s))

    def _stop(self, why: str) -> None:
        self._stopped = self._stopped or why
        self._wake.set()

    async def _work(self) -> None:
        while not self._stopped and (self._queue or self._elsewhere):
            if self._queue:
                request = self._queue.popleft()
            else:
                request = self._elsewhere.popleft()
                await self._sleep(_LOOK_S)
            if not await self._writer.claim(request.key, self._server, self._lease_s):
                self._elsewhere.append(request)
                continue
            try:
                # Another process may have answered it, just before it was claimed.
                outcome = self._look_up(request) or await self._answer(request)
            finally:
                await self._writer.release(request.key, self._server)
            self.outcomes[request.key] = outcome
            self._unscored += outcome.status != "rated"
            self._report()

    def _look_up(self, request: Request) -> Outcome | None:
        received = received_from(self._reader, [request.key], self._server)
        outcome = first_of_use(request, received.get(request.key, []))
        if outcome.status == "rated":
            return outcome
        waits = self._reader.waits(request.key, self._server)
        return Outcome("pending", problem=WAITING) if waits else None

    async def _answer(self, request: Request) -> Outcome:
        """Ask until there is an answer, or the attempts are used up."""
        settings = self._settings
        attempts = 0
        problem, reply, received = "", None, None
        while True:
            await self._sleep(self._not_before - time.monotonic())
            most = 0.0 if self._price is None else most_usd(request, self._price, settings)
            if self._stopped or not await self._hold(most):
                text = f"not asked{' again' if attempts else ''}: {self._stopped}"
                text = f"{problem}; {text}" if problem else text
                return Outcome("failed", reply, None, text, attempts, received)
            attempts += 1
            self._calls += 1
            result = None
            try:
                result = await ask_once(self._client, request, settings, self._price)
                if isinstance(result, Received):
                    await self._writer.add(result)  # before anything else can go wrong
            finally:
                await self._settle(most, result)
            if isinstance(result, Received):
                self._answered, self._in_a_row = True, 0
                outcome = replace(first_of_use(request, [result]), attempts=attempts)
                if outcome.status == "rated" or not may_retry(settings, attempts):
                    return outcome
                problem, reply, received = outcome.problem or "", outcome.reply, result
                wait = wait_s(settings, attempts)
            else:
                problem = result.message
                if result.next == "stop":
                    self._stop(problem)
                if result.next != "again" or not may_retry(settings, attempts):
                    self._count_unreachable(result)
                    return Outcome("failed", reply, None, problem, attempts, received)
                wait = wait_s(settings, attempts, result.wait_s)
                if result.kind == "rate limit":  # it holds for all, not for this question alone
                    self._not_before = max(self._not_before, time.monotonic() + wait)
            await self._writer.claim(request.key, self._server, self._lease_s)
            await self._sleep(wait)

    def _count_unreachable(self, fault: Fault) -> None:
        """Give up where one question after the other finds no server that works."""
        self._in_a_row = self._in_a_row + 1 if fault.unreachable else 0
        limit = GIVE_UP_AFTER
        if not self._answered:  # nothing there, most likely: a wrong address
            limit = min(limit, self._settings.concurrency)
        if self._in_a_row >= limit:
            self._stop(f"gave up after {self._in_a_row} questions in a row: {fault.message}")

    async def _hold(self, most: float) -> bool:
        """Set money aside for a request; False where the limit does not allow it any more."""
        limit = self._settings.max_cost_usd
        async with self._settled:
            while limit is not None and self._sum() + most > limit and not self._stopped:
                if not self._held:
                    self._stop(
                        f"judge.max_cost_usd={limit:g}: {self._sum():.4f} USD are spent, and one "
                        f"more question could cost {most:.4f}"
                    )
                    break
                await self._settled.wait()
            if self._stopped:
                self._settled.notify_all()
                return False
            self._held += most
            return True

    def _sum(self) -> float:
        return self._spent + self._at_risk + self._held

    async def _settle(self, most: float, result: Received | Fault | None) -> None:
        """Book what a request has cost."""
        self._held = max(0.0, self._held - most)
        if abs(self._held) < 1e-12:
            self._held = 0.0
        if isinstance(result, Received):
            self._spent += most if result.cost_usd is None else result.cost_usd
        elif result is None or result.maybe_paid:
            self._at_risk += most
        async with self._settled:
            self._settled.notify_all()

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless all is to stop."""
        if seconds <= 0 or self._stopped:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _report(self) -> None:
        done, todo = len(self.outcomes), len(self._requests)
        seconds = (time.monotonic() - self._began) / done * (todo - done)
        self._progress(
            Progress(
                done=self._n_stored + done,
                total=self._n_stored + todo,
                stored=self._n_stored,
                unscored=self._unscored,
                calls=self._calls,
                cost_usd=None if self._price is None else self._spent,
                seconds_left=seconds,
            )
        )
