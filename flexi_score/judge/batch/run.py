"""Ask through the Batch API: submit, leave, come back, collect; for half the price, within a day.

Run the same command again to collect: what is answered is kept, what waits stays ``pending``, and
what is neither is submitted. Of one batch::

    it ended as         its questions
    completed           answered, or unscored with the server's reason
    expired             those answered are kept; the others are submitted again at once
    cancelled           those answered are kept; the others are unscored
    failed              unscored, with the server's reason

Unscored questions are submitted again by the next run, never by the same one.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from flexi_score.config import JudgeSettings
from flexi_score.judge.batch import store as batches
from flexi_score.judge.batch.api import ENDPOINT, NotDone, create, find, read_file, retrieve, upload
from flexi_score.judge.batch.results import AGAIN, Results, how_it_ended, read_lines, settle
from flexi_score.judge.client import open_batch_client
from flexi_score.judge.cost import most_usd, price_needed, price_of
from flexi_score.judge.ratings import Outcome, distinct, make_requests, ratings_frame, survey
from flexi_score.judge.request import Request, server_of
from flexi_score.judge.store import About, Store

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Batch

#: Limits of one batch (OpenAI, Batch API reference).
MOST_REQUESTS: Final = 50_000
MOST_BYTES: Final = 200_000_000

_ENDED: Final = ("completed", "failed", "expired", "cancelled")
#: A process of another machine that has been preparing a batch for this long has died.
_PREPARING_S: Final = 3600.0
_BUSY: Final = "is being asked by another process; run again"


@dataclass(frozen=True)
class BatchState:
    """A batch as it stands, to be shown."""

    batch: str  # its name at the server
    state: str  # in the server's words: validating, in_progress, completed, expired, ...
    #: total, done: questions in it, and how many have been answered, as far as the server says
    total: int
    done: int
    note: str = ""


@dataclass
class Collected:
    """What :func:`collect` found."""

    ended: list[BatchState]
    waiting: list[BatchState]
    #: why a key of a batch that ended has no reply; it is not to be submitted again at once
    problems: dict[str, str]


def ask_in_batches(
    questions: pl.DataFrame,
    store: Path,
    settings: JudgeSettings,
    *,
    tell: Callable[[str], None] = lambda text: None,
    client: OpenAI | None = None,
) -> pl.DataFrame:
    """Collect the batches that have ended, submit what is to be asked, and say how it stands.

    As :func:`flexi_score.judge.ask.ask`; ``tell`` is called with a line about every batch.
    """
    items = make_requests(questions, settings)
    requests, server, path = distinct(items), server_of(settings), Path(store)
    known = survey(requests, path, server)
    if known.to_ask or any(outcome.status == "pending" for outcome in known.outcomes.values()):
        client = open_batch_client(settings) if client is None else client
        collected = collect(path, settings, client=client)
        for state in collected.ended:
            tell(
                f"batch {state.batch}: {state.state}, {state.done} of {state.total} answered"
                f"{state.note}"
            )
        for state in collected.waiting:
            if state.note:
                tell(f"batch {state.batch}: {state.state}{state.note}")
        left = [r for r in survey(requests, path, server).to_ask if r.key not in collected.problems]
        refused = submit(left, path, settings, client=client)
        # Seen anew: what was submitted waits, and so do the questions of other processes.
        known = survey(requests, path, server)
        for request in known.to_ask:
            problem = collected.problems.get(request.key) or refused.get(request.key, _BUSY)
            status = "pending" if problem == _BUSY else "failed"
            known.outcomes[request.key] = Outcome(status, problem=problem)
        states = _states(path, settings)
        for where in states.values():
            tell(f"{where}; run the same command again to collect it")
        with Store(path, write=False) as replies:
            for key, label in replies.waiting(server).items():
                if key in known.outcomes and label in states:
                    problem = f"waits in {states[label]}; run the same command again"
                    known.outcomes[key] = Outcome("pending", problem=problem)
    return ratings_frame(items, known.outcomes, settings)


def collect(store: Path, settings: JudgeSettings, *, client: OpenAI | None = None) -> Collected:
    """Keep the replies of all batches of this archive that have ended."""
    collected = Collected([], [], {})
    if not Path(store).exists():
        return collected
    with Store(Path(store), write=True) as replies:
        waiting = batches.open_batches(replies, server_of(settings))
        if not waiting:
            return collected
        client = open_batch_client(settings) if client is None else client
        _recover(replies, client, waiting, settings)
        for batch in batches.open_batches(replies, server_of(settings)):
            if batch.remote is not None:
                _collect_one(replies, client, batch, settings, collected)
    return collected


def submit(
    requests: Sequence[Request],
    store: Path,
    settings: JudgeSettings,
    *,
    client: OpenAI | None = None,
) -> dict[str, str]:
    """Submit requests, in as many batches as the API's limits want; why a key was not.

    What is kept or waits is to be left out by the caller; what another process asks is left out
    here.
    """
    refused: dict[str, str] = {}
    chosen = _affordable(requests, settings, refused)
    if not chosen:
        return refused
    client = open_batch_client(settings) if client is None else client
    with Store(Path(store), write=True) as replies:
        for part in _chunks(chosen):
            try:
                _submit_one(replies, client, part, settings)
            except NotDone as error:
                refused |= {request.key: f"not asked: {error}" for request, _ in part}
    return refused


def _affordable(
    requests: Sequence[Request], settings: JudgeSettings, refused: dict[str, str]
) -> list[tuple[Request, bytes]]:
    """As many requests as the limit of cost allows, with the lines to send."""
    chosen: list[tuple[Request, bytes]] = []
    price, total = price_needed(settings), 0.0
    for request in requests:
        most = 0.0 if price is None else most_usd(request, price, settings, batch=True)
        if settings.max_cost_usd is not None and total + most > settings.max_cost_usd:
            refused[request.key] = (
                f"not asked: judge.max_cost_usd={settings.max_cost_usd:g}: the {len(chosen)} "
                f"questions before it could cost {total:.4f} USD, and this one {most:.4f}"
            )
            continue
        total += most
        line = {"custom_id": request.key, "method": "POST", "url": ENDPOINT, "body": request.body}
        chosen.append((request, json.dumps(line).encode() + b"\n"))
    return chosen


def _chunks(lines: Sequence[tuple[Request, bytes]]) -> Iterator[list[tuple[Request, bytes]]]:
    part: list[tuple[Request, bytes]] = []
    size = 0
    for item in lines:
        if part and (len(part) >= MOST_REQUESTS or size + len(item[1]) > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += len(item[1])
    if part:
        yield part


def _submit_one(
    replies: Store, client: OpenAI, part: Sequence[tuple[Request, bytes]], settings: JudgeSettings
) -> None:
    label = uuid.uuid4().hex
    about = [About.of(request, settings, "openai-batch") for request, _ in part]
    claimed = batches.prepare(replies, label, server_of(settings), about)
    if not claimed:
        return
    data = b"".join(line for request, line in part if request.key in claimed)
    try:
        file = upload(client, label, data, settings)
        batches.note(replies, label, file=file)
        made = create(client, label, file, settings)
    except NotDone as error:
        # Of what is not certain, the next run finds out whether it was done.
        if error.certain:
            batches.close(replies, label, str(error))
        raise
    batches.note(replies, label, remote=made.id, state=made.status)


def _recover(
    replies: Store, client: OpenAI, waiting: Sequence[batches.Batch], settings: JudgeSettings
) -> None:
    """Find the batches that a process was submitting when it ended; or set their keys free."""
    for batch in waiting:
        own = (batch.host, batch.pid) == (replies.host, os.getpid())
        old = time.time() - batch.created > _PREPARING_S
        if batch.remote is not None or not (own or old or replies.is_gone(batch.host, batch.pid)):
            continue
        try:
            remote = find(client, batch.label, batch.file, settings)
        except NotDone:
            continue  # its questions go on waiting
        if remote is not None:
            batches.note(replies, batch.label, remote=remote.id, state=remote.status)
        else:
            batches.close(replies, batch.label, "was never submitted")


def _collect_one(
    replies: Store,
    client: OpenAI,
    batch: batches.Batch,
    settings: JudgeSettings,
    collected: Collected,
) -> None:
    """Ask after a batch; where it has ended, keep its replies."""
    submitted = batches.waiting_in(replies, batch.label)
    remote = str(batch.remote)
    try:
        now = retrieve(client, remote, settings)
        done = now.request_counts.completed if now.request_counts is not None else 0
        if now.status not in _ENDED:
            batches.note(replies, batch.label, state=now.status, detail=str(done))
            collected.waiting.append(BatchState(remote, now.status, len(submitted), done))
            return
        results = _read_results(client, now, submitted, settings)
    except NotDone as error:
        collected.waiting.append(BatchState(remote, batch.state, len(submitted), 0, f": {error}"))
        return
    why = how_it_ended(now, settings)
    settle(results, submitted, now, why)
    if batches.close(replies, batch.label, why, list(results.replies.values())):
        late = len(results.expired)
        note = f"; {late} were not reached in time" if late else ""
        collected.ended.append(BatchState(remote, why, len(submitted), len(results.replies), note))
    collected.problems.update(results.problems)


def _read_results(
    client: OpenAI, batch: Batch, submitted: Mapping[str, About], settings: JudgeSettings
) -> Results:
    results, price = Results(), price_of(settings)
    for name in (batch.output_file_id, batch.error_file_id):
        if name is None:
            continue
        try:
            read_lines(read_file(client, name, settings), submitted, settings, price, results)
        except NotDone as error:
            if not error.certain:  # it may be had tomorrow
                raise
            problem = f"the results of batch {batch.id} are gone: {error}; {AGAIN}"
            results.problems.update(
                {key: problem for key in submitted if key not in results.replies}
            )
    return results


def _states(path: Path, settings: JudgeSettings) -> dict[str, str]:
    """The batches that wait, as last seen, in words; by label."""
    with Store(path, write=False) as replies:
        return {
            batch.label: f"batch {batch.remote or '(being submitted)'} ({batch.state}, "
            f"{batch.detail or 0} of {len(batches.waiting_in(replies, batch.label))} answered)"
            for batch in batches.open_batches(replies, server_of(settings))
        }
