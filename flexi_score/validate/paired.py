"""The recordings that a run and a truth share, on one axis."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.errors import InputError, SettingsError
from flexi_score.formats.files import name_some
from flexi_score.formats.text import word_counts
from flexi_score.schema import RECORDINGS, SPEAKERS, Speaker
from flexi_score.scoring.run import Run
from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.structure import build_ipus
from flexi_score.segment.tracks import (
    Bools,
    Intervals,
    Ints,
    Tracks,
    Words,
    make_intervals,
    make_words,
)
from flexi_score.validate.truth import Truth, flat_labels

#: Conditions with more levels than this are not shown unless they are asked for.
MOST_LEVELS = 50


@dataclass(frozen=True)
class Paired:
    """Shared recordings, numbered in the order of the run."""

    truth: Tracks  # true speech (and words) of the recordings
    found: dict[Speaker, Intervals]  # what the run found of each speaker: its IPUs, or its speech
    #: dict of ndarray of bool, shape (n,): whether both the truth and the run know anything of that
    #: side
    known: dict[Speaker, Bools]
    bridged: bool  # whether the found intervals are IPUs
    #: missing, extra, failed, excluded: recordings with truth that the run does not have; without
    #: truth; that failed in the run; that its health gate left out
    missing: list[str]
    extra: list[str]
    failed: list[str]
    excluded: list[str]
    lengths_differ: int  # recordings whose stated length is more than 0.1 s from the run's

    @property
    def names(self) -> pl.Series:
        """Names of the recordings."""
        return self.truth.recordings["recording"]

    @property
    def both(self) -> Bools:
        """Whether both sides are known: what events and metrics need."""
        return self.known["user"] & self.known["model"]

    def spans(self, speaker: Speaker, settings: Settings) -> tuple[Spans, Spans]:
        """True and found intervals of a speaker as tracks, made by the same rule.

        IPUs of both sides come of ``ipu.min_silence_ms`` and ``ipu.min_speech_ms``; of speech,
        only what touches is joined.
        """
        length = self.truth.duration_ms
        origin = axis.origins(length)
        keep = self.known[speaker]
        speech = self.truth.user_speech if speaker == "user" else self.truth.model_speech
        truth = axis.place(speech.take(keep[speech.rec]), origin, length)
        predicted = self.found[speaker]
        found_spans = axis.place(predicted.take(keep[predicted.rec]), origin, length)
        if self.bridged:
            return build_ipus(truth, settings), found_spans
        return axis.bridge(truth, 0), axis.bridge(found_spans, 0)


def pair(run: Run, truth: Truth, speech: Tracks | None = None) -> Paired:
    """Find the recordings that both have; ``speech`` is compared in place of the run's IPUs."""
    in_run = run.recordings.join(run.failures, on="recording", how="anti", maintain_order="left")
    stated = truth.recordings
    rows = in_run.join(
        stated.rename({"duration_ms": "stated_ms"}),
        on="recording",
        how="inner",
        maintain_order="left",
    )
    names = rows["recording"]
    if rows.is_empty():
        raise InputError(
            f"run and truth share no recording: the run has {name_some(in_run['recording'])}, the "
            f"truth {name_some(stated['recording'])}; ids (file names) must be the same"
        )
    last = truth.speech.group_by("recording").agg(last=pl.col("end_ms").max())
    rows = rows.join(last, on="recording", how="left", maintain_order="left")
    length = rows.select(pl.max_horizontal("duration_ms", "stated_ms", "last").cast(pl.Int64))
    differs = (pl.col("stated_ms") - pl.col("duration_ms")).abs() > 100
    tracks = _tracks(rows, length.to_series().to_numpy(), truth, names)
    known = {
        s: rows.select(pl.col(f"{s}_known") & _captured(s)).to_series().to_numpy() for s in SPEAKERS
    }
    has_truth, failed = set(stated["recording"]), run.failures["recording"]
    of_run = {*run.recordings["recording"], *failed}
    out = set(run.scores.filter(pl.col("status") == "excluded")["recording"]) - of_run
    return Paired(
        truth=tracks,
        found={s: _found(run, speech, s, names) for s in SPEAKERS},
        known=known,
        bridged=speech is None,
        missing=[n for n in stated["recording"] if n not in of_run | out],
        extra=[n for n in in_run["recording"] if n not in has_truth],
        failed=[n for n in failed if n in has_truth],
        excluded=sorted(out & has_truth),
        lengths_differ=int(rows.select(differs.fill_null(False).sum()).item()),
    )


def _captured(speaker: Speaker) -> pl.Expr:
    """Whether the run could know anything of a speaker."""
    sources = ("audio", *(f"{speaker}_{kind}" for kind in ("audio", "speech", "words")))
    return pl.any_horizontal(pl.col(name).is_not_null() for name in sources)


def numbered(table: pl.DataFrame, names: pl.Series) -> pl.DataFrame:
    """Rows of these recordings with their number in ``rec``."""
    numbers = pl.DataFrame({"recording": names, "rec": np.arange(len(names))})
    return table.join(numbers, on="recording", how="inner", maintain_order="left")


def _intervals(table: pl.DataFrame) -> Intervals:
    return make_intervals(*(table[name].to_numpy() for name in ("rec", "start_ms", "end_ms")))


def _found(run: Run, speech: Tracks | None, speaker: Speaker, names: pl.Series) -> Intervals:
    if speech is None:
        ipus = run.events.filter((pl.col("kind") == "ipu") & (pl.col("speaker") == speaker))
        return _intervals(numbered(ipus.select("recording", "start_ms", "end_ms"), names))
    ids = speech.recordings["recording"]
    absent = set(names.to_list()) - set(ids.to_list())
    if absent:
        raise InputError(
            f"the archive does not hold the speech of {name_some(sorted(absent))}; give the one "
            "that the run was scored from"
        )
    side = speech.user_speech if speaker == "user" else speech.model_speech
    table = pl.DataFrame(
        {"recording": ids.gather(side.rec), "start_ms": side.start_ms, "end_ms": side.end_ms}
    )
    return _intervals(numbered(table, names))


def _tracks(rows: pl.DataFrame, length: Ints, truth: Truth, names: pl.Series) -> Tracks:
    speech = numbered(truth.speech, names)
    words = numbered(truth.words, names)

    def words_of(speaker: Speaker) -> Words:
        own = words.filter(pl.col("speaker") == speaker)
        return make_words(
            own["rec"].to_numpy(),
            own["start_ms"].to_numpy(),
            own["end_ms"].to_numpy(),
            own["text"],
            word_counts(own["text"]),
            rows[f"{speaker}_worded"].to_numpy(),
        )

    return Tracks(
        rows.select(pl.col(name).cast(kind) for name, kind in RECORDINGS.items()),
        np.asarray(length, np.int64),
        _intervals(speech.filter(pl.col("speaker") == "user")),
        _intervals(speech.filter(pl.col("speaker") == "model")),
        words_of("user"),
        words_of("model"),
    )


def groups_of(paired: Paired, truth: Truth, by: list[str] | None) -> tuple[pl.DataFrame, list[str]]:
    """``recording, by, level``: which groups every recording belongs to; and what was left out.

    ``by``: keys of the truth's ``condition``, of its other fields, ``system``, ``scenario`` or keys
    of the run's metadata; ``a,b`` crosses two. If not given, the ``name`` of the condition where it
    has one, else all its keys but those with too many levels. Every recording is in ``all, all``.
    """
    names = paired.names
    labels = _labels(paired, truth)
    by, left_out = _declared(truth) if by is None else (by, [])
    known = labels["key"].unique(maintain_order=True).to_list()
    parts = [pl.DataFrame({"recording": names}).with_columns(by=pl.lit("all"), level=pl.lit("all"))]
    for key in by:
        crossed = [part.strip() for part in key.split(",")]
        if unknown := [part for part in crossed if part not in known]:
            raise SettingsError(
                f"--by {unknown[0]!r}: no recording has such a key; known: {name_some(known, 20)}"
            )
        table = pl.DataFrame({"recording": names})
        for i, part in enumerate(crossed):
            own = labels.filter(pl.col("key") == part).select(
                "recording", pl.col("level").alias(f"{i}")
            )
            table = table.join(own, on="recording", how="left", maintain_order="left")
        level = pl.concat_str(
            [pl.col(f"{i}").fill_null("none") for i in range(len(crossed))], separator=", "
        )
        parts.append(table.select("recording", by=pl.lit(", ".join(crossed)), level=level))
    return pl.concat(parts), left_out


def _declared(truth: Truth) -> tuple[list[str], list[str]]:
    """Keys of ``condition`` to group by, and those with too many levels for that."""
    levels = (
        truth.labels.filter(pl.col("declared"))
        .group_by("key", maintain_order=True)
        .agg(n=pl.col("level").n_unique())
    )
    if "name" in levels["key"]:  # the whole condition in a word
        levels = levels.filter(pl.col("key") == "name")
    many = pl.col("n") > MOST_LEVELS
    return levels.filter(~many)["key"].to_list(), levels.filter(many)["key"].to_list()


def _labels(paired: Paired, truth: Truth) -> pl.DataFrame:
    """``recording, key, level`` of all that recordings can be told apart by; truth comes first."""
    rows = paired.truth.recordings
    stated = truth.labels.select("recording", "key", "level").filter(
        pl.col("recording").is_in(paired.names.implode())
    )
    own = [
        rows.select("recording", key=pl.lit(key), level=pl.col(key))
        for key in ("system", "scenario")
    ]
    flat: list[tuple[Any, str, str]] = []
    for name, metadata in rows.select("recording", "metadata").iter_rows():
        if metadata:
            flat += [(name, key, level) for key, level in flat_labels(json.loads(metadata))]
    further = pl.DataFrame(flat, schema=stated.schema, orient="row")
    return pl.concat([stated, *own, further]).unique(
        ["recording", "key"], keep="first", maintain_order=True
    )
