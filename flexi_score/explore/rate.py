"""Ratings of people, for ``flexi-score agree``: asked what the judge is asked, blind to its answer.

What a rater sees is the rubric and the question, in an order that does not depend on systems, and
the sound; never a name, a system, a score or the judge's words. Ratings go into ``labels.csv`` of
the run folder, one row per recording, metric and rater, as they are given.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from flexi_score.aggregate.labels import TOP, read_labels
from flexi_score.errors import InputError
from flexi_score.explore.session import Session
from flexi_score.judge.questions import REFERENCE
from flexi_score.judge.rubrics import load_rubric
from flexi_score.output import locked, write_text
from flexi_score.report.sections import question_pairs
from flexi_score.scoring.engine import find_questions

#: File of the run folder that ratings go into.
FILE: Final = "labels.csv"
_COLUMNS: Final = ("recording", "metric", "rater", "value")
_MOST_NAME: Final = 80


def rate(session: Session, body: Mapping[str, Any]) -> dict[str, Any]:
    """Take a rating, where the request has one (``item``, ``value``), and say what is next.

    ``body``: ``rater``, a name; ``after``: the item that was shown before (it may be passed over).
    Returns ``done`` and ``total``, and the next item: its number, rubric, question and sound.
    """
    rater = body.get("rater")
    if not isinstance(rater, str) or not 0 < len(rater.strip()) <= _MOST_NAME:
        raise InputError(f"rater: expected a name, of up to {_MOST_NAME} characters")
    rater = " ".join(rater.split())
    items = _items(session)
    if body.get("item") is not None:
        _keep(session, items.row(_place(body, "item", len(items)), named=True), rater, body)
    done = _labels(session).filter(rater=rater)
    left = items.join(done, on=["recording", "metric"], how="anti", maintain_order="left")
    reply: dict[str, Any] = {"done": len(items) - len(left), "total": len(items), "item": None}
    if not len(left):
        return reply
    after = -1 if body.get("after") is None else _place(body, "after", len(items))
    later = left.filter(pl.col("item") > after)
    row = (later if len(later) else left).row(0, named=True)
    r = session.names.index(row["recording"]) if row["recording"] in session.names else None
    return reply | {
        "item": row["item"],
        "rubric": load_rubric(row["rubric"]).instructions,
        "question": question_pairs(row["question"]),
        "sound": [] if r is None else session.sounds(r),
    }


def _items(session: Session) -> pl.DataFrame:
    """What there is to rate, shuffled: ``item`` (its number), and of questions."""
    if session.questions is None:
        stages = session.stages
        questions = find_questions(stages.reader, stages.rows, session.settings({})).rows
        questions = questions.filter(pl.col("metric") != REFERENCE)
        order = np.random.default_rng(0).permutation(len(questions))
        session.questions = questions[order.tolist()].with_row_index("item")
    return session.questions


def _place(body: Mapping[str, Any], key: str, size: int) -> int:
    value = body[key]
    if type(value) is not int or not 0 <= value < size:
        raise InputError(f"{key}: found {value!r:.80}, expected the number of an item")
    return value


def labels_file(session: Session) -> Path:
    """Where ratings go."""
    assert session.run.folder is not None
    return session.run.folder / FILE


def _labels(session: Session) -> pl.DataFrame:
    """Ratings so far: ``recording, metric, rater, value``."""
    file = labels_file(session)
    if file.is_file():
        return read_labels(file)
    schema = dict.fromkeys(_COLUMNS[:3], pl.String()) | {"value": pl.Float64()}
    return pl.DataFrame(schema=schema)


def _keep(session: Session, item: Mapping[str, Any], rater: str, body: Mapping[str, Any]) -> None:
    value = body.get("value")
    if type(value) is not int or not 0 <= value <= TOP:
        raise InputError(f"value: found {value!r:.80}, expected a whole number from 0 to {TOP}")
    key = {"recording": item["recording"], "metric": item["metric"], "rater": rater}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    with locked(labels_file(session)):
        others = _labels(session).join(
            pl.DataFrame([key]), on=list(key), how="anti", maintain_order="left"
        )
        for *names, given in [*others.iter_rows(), (*key.values(), float(value))]:
            table.writerow([*names, f"{given:g}"])
        write_text(labels_file(session), text.getvalue())
