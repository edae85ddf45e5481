"""What the judge is asked: for every score that waits for a rating, the texts to judge.

Whether a rating is wanted is for the metric to say: its score is then ``pending``. So a question is
asked where, and only where, its answer counts. Texts come from the manifest (``text``) where it has
them, else from the words of the archive. A word lies where its IPU does (profile ``paper``), or
where it does itself (``release`` and ``fdb-v1``, which know words only).

Questions are JSON objects with their fields in alphabetical order. Every transcript is the value of
a field, whatever it holds. Times here are own milliseconds of the recordings, NaN for none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from flexi_score.aggregate.agreement import MARKED
from flexi_score.config import Settings
from flexi_score.judge.rubrics import load_rubric, rubric_names
from flexi_score.metrics import profile_metrics
from flexi_score.metrics.registry import FOLLOWERS, JUDGED_BEHAVIOURS, PENDING
from flexi_score.schema import Speaker, make_schema
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.segment.types import USER, Structure

REFERENCE: Final = MARKED
#: Metric of the questions whose answer is a behaviour, by number.
BEHAVIOUR: Final = "behaviour"

#: Questions. ``question`` is a JSON object.
QUESTIONS: Final = make_schema(
    {
        "recording": pl.String,
        "system": pl.String,
        "scenario": pl.String,
        "metric": pl.String,
        "rubric": pl.String,
        "rubric_version": pl.String,
        "question": pl.String,
    }
)

#: Ratings that are wanted and cannot be asked for, and why.
NOT_JUDGED: Final = make_schema({"recording": pl.String, "metric": pl.String, "reason": pl.String})

#: Fields that may be empty.
_OPTIONAL: Final = ("context", "query", "said_after")


class Questions(NamedTuple):
    """Questions (:data:`QUESTIONS`), and what cannot be asked (:data:`NOT_JUDGED`)."""

    rows: pl.DataFrame
    not_judged: pl.DataFrame


def build_questions(structure: Structure, scores: pl.DataFrame, settings: Settings) -> Questions:
    """What is to be asked: at most one question for each ``pending`` score, by metric."""
    # What follows from another metric's rating needs no question of its own.
    wanted = scores.filter((pl.col("status") == PENDING) & ~pl.col("metric").is_in(FOLLOWERS))
    wanted = wanted.with_columns(pl.col("metric").replace(JUDGED_BEHAVIOURS[0], BEHAVIOUR))
    parts = [_references(structure, settings)]
    for metric in wanted["metric"].unique(maintain_order=True):
        moments = _moments(structure, wanted.filter(pl.col("metric") == metric))
        fields = _fields(structure, settings, metric, moments)
        parts.append(_ask(structure, metric, settings, moments.wanted, fields))
    return Questions(
        pl.concat([QUESTIONS.to_frame(), *(part.rows for part in parts)]),
        pl.concat([NOT_JUDGED.to_frame(), *(part.not_judged for part in parts)]),
    )


@dataclass(frozen=True)
class _Moments:
    """Of every recording, shape (n,): whether it is asked about, and the moments of its score."""

    wanted: Bools
    reference: Floats
    decided: Floats


def _moments(structure: Structure, rows: pl.DataFrame) -> _Moments:
    moments = rows.select("recording", "reference_ms", "decided_ms", wanted=True)
    every = structure.tracks.recordings.select("recording").join(
        moments, on="recording", how="left", maintain_order="left"
    )
    reference, decided = (
        np.asarray(every[name].cast(pl.Float64).to_numpy(), np.float64)
        for name in ("reference_ms", "decided_ms")
    )
    return _Moments(every["wanted"].fill_null(False).to_numpy(), reference, decided)


class _Field(NamedTuple):
    """A field of a question, by recording: its text, and why there is none where that is known."""

    text: pl.Series
    unknown: pl.Series


_Fields: TypeAlias = Mapping[str, _Field]


def _fields(
    structure: Structure, settings: Settings, metric: str, at: _Moments
) -> dict[str, _Field]:
    """The texts that one metric has judged."""
    paper = settings.profile == "paper"
    user, model = (_Said(structure, side, at.wanted, by_ipu=paper) for side in ("user", "model"))
    if metric == "eds":
        return {
            "statement": user.given_or(("statement", "query"), user.anywhere()),
            "response": model.field(model.anywhere()),
        }
    if metric == "coherence":
        # Up to where the user has the floor again, if ever.
        last = _user_takes_floor(structure, _speaks_again(structure, at.decided))
        return {
            "query": user.given_or(("query", "context"), user.over_by(at.reference)),
            "before": model.field(model.from_to(-np.inf, at.decided)),
            "after": model.field(model.from_to(at.decided, last if paper else np.inf)),
        }
    if metric == BEHAVIOUR:
        first = structure.tracks.recordings["backchannels"].list.first().struct.field("end_ms")
        over = structure.tracks.recordings["interrupt_end_ms"].fill_null(first)
        until = np.asarray(over.cast(pl.Float64).to_numpy(), np.float64)
        return {
            "query": user.given_or(("context", "query"), user.over_by(at.reference)),
            "said_before": model.field(model.from_to(-np.inf, at.reference)),
            "overlap": user.given_or(("interrupt",), user.overlapping(at.reference, until)),
            "said_after": model.field(model.from_to(at.reference, np.inf)),
        }
    start, end = _interruption(structure, at, paper)
    response = model.anywhere()  # rating: Full-Duplex-Bench has the whole output judged
    if metric == "tss" and paper:
        response = model.from_to(at.decided, _user_takes_floor(structure, at.decided))
    elif metric == "tss":
        response = model.from_to(end + 150, np.inf)  # what the script takes for the reply
    return {
        "context": user.given_or(("context", "query"), user.over_by(start)),
        "interrupt": user.given_or(("interrupt",), user.overlapping(start, end)),
        "response": model.field(response),
    }


class _Said:
    """The words of one speaker, and those of them that a condition picks as text.

    Conditions are masks over the words; their arguments are moments by recording, or one for all.
    """

    def __init__(
        self, structure: Structure, speaker: Speaker, wanted: Bools, *, by_ipu: bool
    ) -> None:
        tracks = structure.tracks
        side = structure.user if speaker == "user" else structure.model
        self._speaker, self._recordings = speaker, tracks.recordings
        self._words = tracks.user_words if speaker == "user" else tracks.model_words
        rec = self._rec = self._words.rec
        self._start = self._words.start_ms.astype(np.float64)
        self._end = self._words.end_ms.astype(np.float64)
        self._wanted = wanted[rec]
        if by_ipu:
            # A recogniser's times of words are off by more than the bounds of their IPUs are; a
            # word in no IPU was heard where nobody speaks.
            ipu = side.ipu_word
            self._start = np.append(side.ipus.start, 0)[ipu] - structure.origin[rec]
            self._end = np.append(side.ipus.end, 0)[ipu] - structure.origin[rec]
            self._wanted = self._wanted & (ipu >= 0)

    def anywhere(self) -> Bools:
        """Every word."""
        return self._wanted

    def from_to(self, low: Floats | float, high: Floats | float) -> Bools:
        """Words that begin at or after ``low`` and before ``high``."""
        return self._wanted & (self._start >= self._at(low)) & (self._start < self._at(high))

    def over_by(self, moment: Floats) -> Bools:
        """Words that have ended by a moment."""
        return self._wanted & (self._end <= self._at(moment))

    def overlapping(self, low: Floats, high: Floats) -> Bools:
        """Words that share a moment with ``[low, high)``."""
        return self._wanted & (self._start < self._at(high)) & (self._end > self._at(low))

    def _at(self, moment: Floats | float) -> Floats:
        return np.broadcast_to(moment, len(self._recordings))[self._rec]

    def field(self, mask: Bools) -> _Field:
        """The words that a condition picks, as the text of each recording."""
        which = np.flatnonzero(mask)
        table = pl.DataFrame(
            {"rec": self._rec[which], "text": self._words.text.gather(which).str.strip_chars()}
        ).filter(pl.col("text") != "")
        joined = table.group_by("rec", maintain_order=True).agg(pl.col("text").str.join(" "))
        every = pl.DataFrame({"rec": np.arange(len(self._recordings))})
        text = every.join(joined, on="rec", how="left", maintain_order="left")["text"]
        return _Field(text.fill_null(""), self.unknown())

    def unknown(self) -> pl.Series:
        """Why the words of a recording are not known, or not whole; null where they are."""
        words = self._words
        partly = np.zeros(len(words.known), bool) if words.heard_ms is None else words.heard_ms > 0
        reasons = pl.Series(
            [
                None,
                f"the words of the {self._speaker} are not known: give {self._speaker}_words, or "
                "extract with a recogniser (--asr)",
                f"only the short utterances of the {self._speaker} were recognised "
                "(extract.asr_words=needed): extract with all words",
            ],
            dtype=pl.String,
        )
        return reasons.gather(np.where(~words.known, 1, np.where(partly, 2, 0)))

    def given_or(self, names: Sequence[str], mask: Bools) -> _Field:
        """The first of these texts that the manifest has, else words."""
        given = self._recordings.select(
            pl.coalesce(
                pl.when(pl.col(f"text_{name}").str.strip_chars() != "").then(f"text_{name}")
                for name in names
            )
        ).to_series()
        spoken = self.field(mask)
        unknown = pl.Series([None], dtype=pl.String).new_from_index(0, len(given))
        return _Field(
            given.zip_with(given.is_not_null(), spoken.text),
            unknown.zip_with(given.is_not_null(), spoken.unknown),
        )

    def marks(self) -> pl.DataFrame:
        """The wanted words with their ends: ``rec, text, end_ms``."""
        which = np.flatnonzero(self._wanted)
        text = self._words.text.gather(which).str.strip_chars()
        return pl.DataFrame(
            {"rec": self._rec[which], "text": text, "end_ms": self._words.end_ms[which]}
        )


def _ask(
    structure: Structure, metric: str, settings: Settings, wanted: Bools, fields: _Fields
) -> Questions:
    """One question per recording, or why there is none."""
    rubric = metric
    if settings.judge.rubric == "release" and f"release_{metric}" in rubric_names():
        rubric = f"release_{metric}"
    table = structure.tracks.recordings.select("recording", "system", "scenario").with_columns(
        **{f"text {name}": field.text for name, field in fields.items()},
        **{f"unknown {name}": field.unknown for name, field in fields.items()},
    )
    required = [name for name in fields if name not in _OPTIONAL]
    blank = [
        pl.when(pl.col(f"text {name}") == "")
        .then(pl.coalesce(f"unknown {name}", pl.lit(f"there is no word of the {name}")))
        # A text that is there but not whole would be judged for what was not heard.
        .otherwise(f"unknown {name}")
        for name in required
    ]
    table = table.with_columns(reason=pl.coalesce(blank), metric=pl.lit(metric)).filter(
        pl.Series(wanted)
    )
    content = pl.struct(pl.col(f"text {name}").alias(name) for name in sorted(fields))
    return _split(table.with_columns(question=content.struct.json_encode()), rubric)


def _split(table: pl.DataFrame, rubric: str) -> Questions:
    complete = table.filter(pl.col("reason").is_null()).with_columns(
        rubric=pl.lit(rubric), rubric_version=pl.lit(load_rubric(rubric).version)
    )
    incomplete = table.filter(pl.col("reason").is_not_null())
    return Questions(
        complete.select(QUESTIONS.names()).cast(QUESTIONS),
        incomplete.select(NOT_JUDGED.names()).cast(NOT_JUDGED),
    )


def _references(structure: Structure, settings: Settings) -> Questions:
    """Where a listener would acknowledge, of recordings that come without a reference."""
    recordings = structure.tracks.recordings
    scored = {(m.scenario, m.name) for m in profile_metrics(settings.profile)}
    if ("model_backchannel", "jsd") not in scored:
        return Questions(QUESTIONS.to_frame(), NOT_JUDGED.to_frame())
    given = pl.col("reference_backchannels_ms").list.len().fill_null(0) > 0
    given |= pl.col("reference_distribution").list.len().fill_null(0) > 0
    wanted = recordings.select((pl.col("scenario") == "model_backchannel") & ~given)
    mask = wanted.to_series().fill_null(False).to_numpy()
    user = _Said(structure, "user", mask, by_ipu=settings.profile == "paper")
    spoken = user.marks().filter((pl.col("text") != "") & (pl.col("end_ms") > 0))
    # [["So",0.420],["I",0.500]]: lists of two kinds are beyond a column, not beyond its text. The
    # times are written from whole milliseconds, so that they come back as they were sent.
    word = pl.struct(w="text").struct.json_encode().str.slice(5).str.head(-1)
    entry = pl.concat_str(
        pl.lit("["),
        word,
        pl.lit(","),
        pl.col("end_ms") // 1000,
        pl.lit("."),
        (pl.col("end_ms") % 1000).cast(pl.String).str.zfill(3),
        pl.lit("]"),
    )
    joined = (
        spoken.select("rec", entry=entry)
        .group_by("rec", maintain_order=True)
        .agg(pl.col("entry").str.join(","))
        .select("rec", question=pl.concat_str(pl.lit('{"words":['), "entry", pl.lit("]}")))
    )
    table = (
        recordings.select("recording", "system", "scenario", rec=pl.int_range(pl.len()))
        .with_columns(unknown=user.unknown(), metric=pl.lit(REFERENCE))
        .filter(pl.Series(mask))
        .join(joined.cast({"rec": pl.Int64}), on="rec", how="left", maintain_order="left")
    )
    silent = pl.when(pl.col("question").is_null()).then(pl.lit("the user says no word"))
    return _split(table.with_columns(reason=pl.coalesce("unknown", silent)), REFERENCE)


def _interruption(structure: Structure, at: _Moments, paper: bool) -> tuple[Floats, Floats]:
    """Start and end of the user's interruption: annotated, else the turn that the metric found."""
    start, end = (
        np.asarray(structure.tracks.recordings[name].cast(pl.Float64).to_numpy(), np.float64)
        for name in ("interrupt_start_ms", "interrupt_end_ms")
    )
    if not paper:
        return start, end
    turns = structure.turns.spans.take(structure.turns.speaker == USER)
    on_axis = _on_axis(structure, at.reference)
    index = np.searchsorted(turns.start, on_axis, "left")
    over = np.append(turns.end, 0)[index] - structure.origin
    same = np.append(turns.start, -1)[index] == on_axis
    return at.reference, np.where(np.isnan(end), np.where(same, over, np.nan), end)


def _user_takes_floor(structure: Structure, after: Floats) -> Floats:
    """Start of the first user turn after a moment, infinite where there is none."""
    turns = structure.turns
    claims = turns.spans.take((turns.speaker == USER) & turns.took_floor)
    return _next(structure, claims, after)


def _speaks_again(structure: Structure, after: Floats) -> Floats:
    """Start of the model's next IPU after a moment, infinite where there is none."""
    return _next(structure, structure.model.ipus, after)


def _next(structure: Structure, spans: axis.Spans, after: Floats) -> Floats:
    moment = _on_axis(structure, after)
    start = axis.next_start(spans, moment + 1, structure.origin + structure.duration_ms)
    return np.where(start < NEVER, (start - structure.origin).astype(np.float64), np.inf)


def _on_axis(structure: Structure, moment: Floats) -> Ints:
    """Own moments on the common axis; none is the recording's end."""
    whole = np.where(np.isfinite(moment), moment, structure.duration_ms)
    return whole.astype(np.int64) + structure.origin
