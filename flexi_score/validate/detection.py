"""How much speech is missed or made up, and how far off its boundaries are."""

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.schema import SPEAKERS, make_schema
from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Ints
from flexi_score.validate.match import match
from flexi_score.validate.paired import Paired

DETECTION = make_schema(
    {
        "recording": pl.String,
        "speaker": pl.String,
        "duration_ms": pl.Int64,
        "truth_ms": pl.Int64,  # speech in truth
        "found_ms": pl.Int64,  # speech found
        "both_ms": pl.Int64,  # speech in truth that was found
    }
)

BOUNDARIES = make_schema(
    {
        "recording": pl.String,
        "speaker": pl.String,
        "boundary": pl.String,  # start | end
        "truth_ms": pl.Int64,  # null: found where there is none
        "found_ms": pl.Int64,  # null: not found
        "error_ms": pl.Int64,  # found - truth: positive is late
    }
)


def detection_frame(paired: Paired, settings: Settings) -> pl.DataFrame:
    """Speech of truth, of the run and of both, a row per known channel (:data:`DETECTION`)."""
    n = len(paired.truth)
    frames = []
    for speaker in SPEAKERS:
        truth, predicted = paired.spans(speaker, settings)
        sums = [
            np.bincount(part.rec, part.end - part.start, n).astype(np.int64)
            for part in (truth, predicted, axis.intersect(truth, predicted))
        ]
        frame = pl.DataFrame(
            {
                "recording": paired.names,
                "duration_ms": paired.truth.duration_ms,
                **dict(zip(("truth_ms", "found_ms", "both_ms"), sums, strict=True)),
            }
        ).filter(pl.Series(paired.known[speaker]))
        frames.append(frame.with_columns(speaker=pl.lit(speaker)).select(DETECTION.names()))
    return pl.concat(frames)


def boundary_frame(paired: Paired, settings: Settings, collar_ms: int) -> pl.DataFrame:
    """Every boundary of truth and run, matched up to ``collar_ms`` (:data:`BOUNDARIES`)."""
    origin = axis.origins(paired.truth.duration_ms)
    frames = []
    for speaker in SPEAKERS:
        truth, predicted = paired.spans(speaker, settings)
        for boundary in ("start", "end"):
            points = [_points(side, boundary) for side in (truth, predicted)]
            pairs = match(points[0], points[1], collar_ms)
            frame = _matched(points[0], points[1], pairs, origin, paired.names)
            frames.append(
                frame.with_columns(speaker=pl.lit(speaker), boundary=pl.lit(boundary)).select(
                    pl.col(name).cast(kind) for name, kind in BOUNDARIES.items()
                )
            )
    return pl.concat(frames)


def _points(spans: Spans, boundary: str) -> Spans:
    at = spans.start if boundary == "start" else spans.end
    return Spans(spans.rec, at, at)


def _matched(
    truth: Spans, predicted: Spans, pairs: tuple[Ints, Ints], origin: Ints, names: pl.Series
) -> pl.DataFrame:
    """Truth with what was found of it, then what was found beside it."""
    partner = np.full(len(truth), -1)
    partner[pairs[0]] = pairs[1]
    alone = np.setdiff1d(np.arange(len(predicted)), pairs[1])
    rec = np.concatenate([truth.rec, predicted.rec[alone]])
    # With a row to index even where nothing was found.
    found_at = np.append(predicted.start - origin[predicted.rec], 0)
    truth_ms = pl.Series(truth.start - origin[truth.rec]).extend_constant(None, len(alone))
    seen = pl.Series(found_at[partner])
    seen = pl.select(pl.when(pl.Series(partner >= 0)).then(seen)).to_series()
    frame = pl.DataFrame(
        {
            "recording": names.gather(rec),
            "truth_ms": truth_ms,
            "found_ms": pl.concat([seen.cast(pl.Int64), pl.Series(found_at[alone])]),
        }
    )
    return frame.with_columns(error_ms=pl.col("found_ms") - pl.col("truth_ms"))
