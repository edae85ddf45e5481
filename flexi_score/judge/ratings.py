"""From kept replies to :data:`flexi_score.schema.RATINGS`: one row per question and repeat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from flexi_score.config import JudgeSettings
from flexi_score.errors import InputError, ReplyError
from flexi_score.judge.request import Request, bare_json, make_request
from flexi_score.judge.rubrics import Reading, load_rubric, read_reply
from flexi_score.judge.store import Received, Store, received_from
from flexi_score.schema import RATINGS

#: Columns of the questions that are asked.
QUESTIONS = ("recording", "system", "scenario", "metric", "rubric", "rubric_version", "question")

#: Problem of what is pending.
WAITING = "waits in a batch; collect it with --judge openai-batch"


class Item(NamedTuple):
    """A row of the questions and a repeat, and the request for it."""

    row: Mapping[str, Any]
    request: Request


@dataclass(frozen=True)
class Outcome:
    """What came of a request: a reading, or the problem."""

    status: str  # rated | missing | failed | pending
    reply: str | None = None
    reading: Reading | None = None
    problem: str | None = None
    attempts: int = 0
    received: Received | None = None  # what the reply came with


def make_requests(questions: pl.DataFrame, settings: JudgeSettings) -> list[Item]:
    """The requests for all questions and repeats, in order."""
    absent = [name for name in QUESTIONS if name not in questions.columns]
    if absent:
        raise InputError(f"questions: have no column {absent[0]!r}; expected {list(QUESTIONS)}")
    items = []
    for row in questions.select(QUESTIONS).iter_rows(named=True):
        rubric = load_rubric(row["rubric"])
        if rubric.version != row["rubric_version"]:
            raise InputError(
                f"questions: recording {row['recording']!r} asks by version "
                f"{row['rubric_version']!r} of the rubric {rubric.name!r}, which is "
                f"{rubric.version!r}; make the questions again"
            )
        for repeat in range(settings.repeats):
            items.append(Item(row, make_request(rubric, row["question"], repeat, settings)))
    return items


def distinct(items: Sequence[Item]) -> list[Request]:
    """Every request once, however many recordings ask the same."""
    return list({item.request.key: item.request for item in items}.values())


def read_received(request: Request, received: Received) -> Reading:
    """Read a reply that has been paid for."""
    if received.refusal:
        raise ReplyError(f"refused: {received.refusal[:80]!a}")
    if received.finish_reason == "content_filter":
        raise ReplyError("withheld by the server's content filter")
    if received.finish_reason == "length":
        raise ReplyError("cut: longer than judge.max_tokens")
    if not received.raw:
        raise ReplyError("empty")
    return read_reply(request.rubric, request.question, bare_json(received.raw))


def first_of_use(request: Request, received: Sequence[Received]) -> Outcome:
    """The oldest reply that can be read; else ``failed`` with the newest problem, or ``missing``.

    The oldest, so that a later one never changes a score.
    """
    problem, raw, last = None, None, None
    for reply in received:
        try:
            return Outcome("rated", reply.raw, read_received(request, reply), received=reply)
        except ReplyError as error:
            last = reply
            problem, raw = str(error), reply.raw if reply.raw is not None else reply.refusal
    if problem is None:
        return Outcome("missing", problem="no reply is kept; ask with --judge openai")
    problem = f"the reply is of no use: {problem}"
    return Outcome("failed", raw, problem=problem, received=last)


class Survey(NamedTuple):
    """What of some requests is known: outcomes by key, what is left, and all that was paid for."""

    outcomes: dict[str, Outcome]
    to_ask: list[Request]
    paid: list[tuple[Request, Received]]


def survey(requests: Sequence[Request], path: Path, server: str) -> Survey:
    """What a server has answered, what waits in a batch, and what is to be asked."""
    with Store(path, write=False) as store:
        received = received_from(store, [request.key for request in requests], server)
        waiting = store.waiting(server)
    known = Survey({}, [], [])
    for request in requests:
        replies = received.get(request.key, [])
        known.paid.extend((request, reply) for reply in replies)
        outcome = first_of_use(request, replies)
        if outcome.status == "rated":
            known.outcomes[request.key] = outcome
        elif request.key in waiting:  # to ask it again now would be to pay twice
            known.outcomes[request.key] = Outcome("pending", problem=WAITING)
        else:
            known.to_ask.append(request)
    return known


def ratings_frame(
    items: Sequence[Item], outcomes: Mapping[str, Outcome], settings: JudgeSettings
) -> pl.DataFrame:
    """:data:`flexi_score.schema.RATINGS`, in the order of the questions."""
    rows = []
    for row, request in items:
        outcome = outcomes[request.key]
        reading, received = outcome.reading, outcome.received
        rows.append(
            {
                **row,
                "repeat": request.repeat,
                "model": settings.model,
                "reply": outcome.reply,
                "value": None if reading is None else reading.value,
                "positions_s": None if reading is None else reading.positions_s,
                "reason": None if reading is None else reading.reason,
                "status": outcome.status,
                "problem": outcome.problem,
                "attempts": outcome.attempts,
                "key": request.key,
                "server": None if received is None else received.server,
                "answered_by": None if received is None else received.answered_model,
                "fingerprint": None if received is None else received.fingerprint,
            }
        )
    return pl.DataFrame(rows, schema=RATINGS)
