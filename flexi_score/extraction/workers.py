"""Extraction in worker processes, each with its own models, loaded once.

Workers hold no state that matters: one gets a recording over a pipe, and sends back what the
archive should hold of it. Only the process that started them writes. A worker that dies costs the
recording it held, which a fresh worker tries once more; one whose parent died ends itself.

Processes are spawned, not forked: torch and its threads do not survive a fork. A program that
calls this with more than one worker therefore needs the usual ``if __name__ == "__main__":``.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from flexi_score import errors
from flexi_score.errors import FlexiScoreError
from flexi_score.extraction.extractor import Setup, load_extractor
from flexi_score.extraction.ledger import Outcome, Task, attempt, died
from flexi_score.extraction.machine import count_gpus, usable_cpus
from flexi_score.extraction.recordings import read_known

#: With less audio than this, starting further processes takes longer than it saves.
_WORTH_S: Final = 300.0
#: What a worker with the packaged models needs, roughly; larger models need more.
_WORKER_BYTES: Final = 1_500_000_000
_ATTEMPTS: Final = 2


def choose_workers(requested: int, n_recordings: int, seconds: float, device: str = "auto") -> int:
    """How many worker processes to use; 1 means none but this one.

    ``seconds``: of audio, in all. ``requested``: 0 to choose: one a GPU where the recogniser runs
    on GPUs, else one a CPU as far as memory goes; only one for little audio.
    """
    if requested > 0:
        return max(1, min(requested, n_recordings))
    if seconds < _WORTH_S:
        return 1
    gpus = 0 if device == "cpu" else count_gpus()
    room = max(1, _free_bytes() // _WORKER_BYTES)
    return max(1, min(gpus or usable_cpus(), n_recordings, room))


def attempt_here(tasks: Sequence[Task], setup: Setup, take: Callable[[Outcome], None]) -> None:
    """Attempt all tasks in this process, one after another."""
    extractor = load_extractor(setup)
    known = read_known(setup.archive)
    for task in tasks:
        take(attempt(task, extractor, known))


def attempt_in_workers(
    tasks: Sequence[Task], setup: Setup, n_workers: int, take: Callable[[Outcome], None]
) -> None:
    """Attempt all tasks in worker processes; ``take`` gets each outcome, in this process.

    Raises FlexiScoreError for what stops a worker from working at all, as a model that is missing.
    """
    waiting = deque((task, 1) for task in tasks)
    with _Pool(setup, n_workers) as pool:
        while waiting or pool.busy():
            for worker in pool.idle():
                if not waiting:
                    break
                pool.give(worker, *waiting.popleft())
            for worker, message in pool.news():
                if message is not None:
                    take(message)
                    continue
                task, n_attempts = pool.replace(worker)
                if task is None:
                    continue
                if n_attempts < _ATTEMPTS:
                    waiting.appendleft((task, n_attempts + 1))
                else:
                    take(died(task, worker.how_it_ended(), worker.source_hash))


@dataclass
class _Worker:
    """A process, its pipe, and the recording that it holds."""

    number: int
    process: Any
    pipe: Connection
    ready: bool = False
    task: Task | None = None
    n_attempts: int = 0
    source_hash: str | None = None

    def how_it_ended(self) -> str:
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"signal {-code}, {signal.Signals(-code).name}"
        return f"exit code {code}"


class _Pool:
    def __init__(self, setup: Setup, n_workers: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        threads = setup.threads or max(1, usable_cpus() // n_workers)
        self._setup = replace(setup, threads=threads)
        self._gpus = 0 if setup.settings.device == "cpu" else count_gpus()
        self._deaths_while_loading = 0
        self._workers: list[_Worker] = []
        self._n_workers = n_workers

    def __enter__(self) -> "_Pool":
        self._workers = [self._start(number) for number in range(self._n_workers)]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.pipe.close()
            # One that waits ends by itself now, and tidies up; ended by a signal, it would leave
            # semaphores of its libraries behind, of which Python then warns.
            if worker.task is not None or not worker.ready:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _start(self, number: int) -> _Worker:
        ours, worker_end = self._context.Pipe()
        process = self._context.Process(
            target=_serve,
            args=(worker_end, self._setup, number % self._gpus if self._gpus else None),
            name=f"flexi-score worker {number}",
            daemon=True,
        )
        with _interrupts_held():
            process.start()
        worker_end.close()
        return _Worker(number, process, ours)

    def busy(self) -> bool:
        return any(worker.task is not None for worker in self._workers)

    def idle(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.ready and worker.task is None]

    def give(self, worker: _Worker, task: Task, n_attempts: int) -> None:
        worker.task, worker.n_attempts, worker.source_hash = task, n_attempts, None
        try:
            worker.pipe.send(task)
        except OSError:
            return  # it has died: the news will tell

    def news(self) -> Iterator[tuple[_Worker, Outcome | None]]:
        """Outcomes that have come in, and (None) deaths; waits for the first."""
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(by_pipe)):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                kind, content = worker.pipe.recv()
            except (EOFError, OSError):
                yield worker, None
                continue
            if kind == "stopped":
                raise getattr(errors, content[0], FlexiScoreError)(content[1])
            if kind == "began":
                worker.source_hash = content
                continue
            if kind == "ready":
                worker.ready = True
                self._deaths_while_loading = 0
                continue
            worker.task = None
            yield worker, content

    def replace(self, worker: _Worker) -> tuple[Task | None, int]:
        """Start another in place of one that died; returns what it held."""
        worker.pipe.close()
        worker.process.join()
        if not worker.ready:
            self._deaths_while_loading += 1
            if self._deaths_while_loading > 2 * self._n_workers:
                raise errors.PrerequisiteError(
                    f"workers end while they load their models ({worker.how_it_ended()}); memory "
                    "may be short: try fewer --workers"
                )
        self._workers[self._workers.index(worker)] = self._start(worker.number)
        return worker.task, worker.n_attempts


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C goes to the whole group of processes; one started in here never sees it.

    Nor does it break in here: a process that is started halfway would complain of it. Blocking the
    signal is not enough for that, as other threads of ours can still receive it.
    """
    main = threading.current_thread() is threading.main_thread()
    if not hasattr(signal, "pthread_sigmask") or not main:
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, signal.default_int_handler if handler is None else handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _serve(pipe: Connection, setup: Setup, gpu: int | None) -> None:
    """Life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if gpu is not None:  # before anything asks what GPUs there are
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
    try:
        with _told_to_parent(pipe):
            extractor = load_extractor(setup)
            known = read_known(setup.archive)
            pipe.send(("ready", None))
            while True:
                outcome = attempt(
                    pipe.recv(), extractor, known, lambda source: pipe.send(("began", source))
                )
                pipe.send(("outcome", outcome))
    except (EOFError, OSError):
        return  # the parent has closed the pipe


@contextmanager
def _told_to_parent(pipe: Connection) -> Iterator[None]:
    try:
        yield
    except FlexiScoreError as error:
        pipe.send(("stopped", (type(error).__name__, str(error))))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _free_bytes() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _WORKER_BYTES * usable_cpus()
