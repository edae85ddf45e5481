"""Ask the judge, or replay what it has answered."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from flexi_score.config import JudgeSettings
from flexi_score.errors import SettingsError
from flexi_score.judge.client import open_client
from flexi_score.judge.cost import Estimate, estimate_requests, price_needed
from flexi_score.judge.dispatch import Dispatch, Progress
from flexi_score.judge.ratings import (
    WAITING,
    Outcome,
    distinct,
    first_of_use,
    make_requests,
    ratings_frame,
    survey,
)
from flexi_score.judge.request import OPENAI_URL, server_of
from flexi_score.judge.store import Received, Store


def ask(
    questions: pl.DataFrame,
    store: Path,
    settings: JudgeSettings,
    *,
    progress: Callable[[Progress], None] = lambda progress: None,
    client: Any = None,
) -> pl.DataFrame:
    """Ratings (:data:`flexi_score.schema.RATINGS`) for questions: kept ones, the rest asked.

    ``store``: ``judge.sqlite`` of the archive; made where there is none. ``client``: in place of
    one made from the settings; for batches an ``openai.OpenAI``. What was not answered is
    ``failed``, with the problem; the next call asks it again. Raises PrerequisiteError (key, model,
    package), SettingsError (a parameter that the model refuses, a limit of cost without a price),
    ArchiveError (the store), KeyboardInterrupt (what was paid for is kept).
    """
    if settings.mode == "openai-batch":
        from flexi_score.judge.batch.run import ask_in_batches

        return ask_in_batches(questions, store, settings, client=client)
    items = make_requests(questions, settings)
    known = survey(distinct(items), Path(store), server_of(settings))
    outcomes = known.outcomes
    if known.to_ask:
        price = price_needed(settings)
        dispatch = Dispatch(
            Path(store),
            settings,
            price,
            open_client(settings) if client is None else client,
            known.to_ask,
            len(outcomes),
            progress,
        )
        _run(lambda: dispatch.run(close=client is None))
        outcomes |= dispatch.outcomes
    return ratings_frame(items, outcomes, settings)


def replay(questions: pl.DataFrame, store: Path, settings: JudgeSettings) -> pl.DataFrame:
    """Ratings for questions from kept replies alone: no network, no package openai.

    Replies may be of any server, but all of the same one: that of ``judge.base_url`` where it is
    set; else the only one that has answered any of these questions, or OpenAI's own. A rating is
    ``missing`` where nothing is kept, ``failed`` where that is of no use, ``pending`` in a batch.
    """
    items = make_requests(questions, settings)
    requests = distinct(items)
    with Store(Path(store), write=False) as replies:
        received = replies.received(request.key for request in requests)
        server = _replayed_server(received, settings)
        waiting = replies.waiting(server)
    outcomes = {}
    for request in requests:
        own = [r for r in received.get(request.key, []) if r.server == server]
        outcome = first_of_use(request, own)
        if outcome.status != "rated" and request.key in waiting:
            outcome = Outcome("pending", problem=WAITING)
        outcomes[request.key] = outcome
    return ratings_frame(items, outcomes, settings)


def _replayed_server(received: Mapping[str, Sequence[Received]], settings: JudgeSettings) -> str:
    """Whose replies to replay: never some of one server and some of another."""
    if settings.base_url is not None:
        return settings.base_url
    servers = sorted({reply.server for replies in received.values() for reply in replies})
    if OPENAI_URL in servers or not servers:
        return OPENAI_URL
    if len(servers) == 1:
        return servers[0]
    raise SettingsError(
        f"replies of several servers are kept: {', '.join(servers)}; say whose to replay with "
        f"--set judge.base_url={servers[0]}"
    )


def estimate(questions: pl.DataFrame, store: Path, settings: JudgeSettings) -> Estimate:
    """What :func:`ask` would take: calls, tokens and money; nothing is asked or written."""
    known = survey(distinct(make_requests(questions, settings)), Path(store), server_of(settings))
    pending = sum(outcome.status == "pending" for outcome in known.outcomes.values())
    return estimate_requests(
        known.to_ask, known.paid, settings, stored=len(known.outcomes) - pending, waiting=pending
    )


def _run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run to the end; from within a running event loop (a notebook), in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
        return
    loop = asyncio.new_event_loop()
    task = loop.create_task(work())
    failed: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except BaseException as error:
            failed.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="flexi_score judge")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if failed:
        raise failed[0]
