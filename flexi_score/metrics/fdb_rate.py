"""Full-Duplex-Bench v1.5: how the model's speech changes after an overlap; here, how fast it is."""

import numpy as np
import polars as pl

from flexi_score.metrics.release import common as c
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Floats, Ints, Tracks


def rate_change(
    tracks: Tracks, rec: Ints, model: Spans, origin: Ints, overlap_s: tuple[Floats, Floats]
) -> pl.DataFrame:
    """Score rows ``rate_change``: words a second of the model's speech, after minus before.

    ``model``: its segments on the common axis, which begins at ``origin``. ``overlap_s``: start and
    end of each recording's overlap (shape (k,), NaN for none). A word is before it where its middle
    is before the start, after it where its middle is not before the end.
    """
    n, words = len(tracks), tracks.model_words
    start, end = (np.full(n, np.nan) for _ in range(2))
    start[rec], end[rec] = overlap_s[0] * 1000, overlap_s[1] * 1000
    known = ~(np.isnan(start) | np.isnan(end))[rec]
    middle = (words.start_ms + words.end_ms) / 2
    first, last = (at - origin[model.rec] for at in (model.start, model.end))
    spoken = [np.fmin(last, start[model.rec]) - first, last - np.fmax(first, end[model.rec])]
    said = [middle < start[words.rec], middle >= end[words.rec]]
    ms = [np.bincount(model.rec, np.maximum(part, 0), n)[rec] for part in spoken]
    counts = [np.bincount(words.rec, words.count * part, n)[rec] for part in said]
    some = np.minimum(ms[0], ms[1]) > 0
    before, after = (
        1000 * np.divide(a, b, out=np.full(len(rec), np.nan), where=b > 0)
        for a, b in zip(counts, ms, strict=True)
    )
    missing = "Full-Duplex-Bench needs an annotated overlap, and there is none"
    facts = {"before": before, "after": after}
    return c.decide(
        tracks,
        rec,
        facts,
        "rate_change",
        (
            c.excluded(~known, "no_annotation", missing),
            *c.no_transcript(tracks, rec, "model"),
            c.not_applicable(~some, "one_sided", "the model does not speak before and after"),
            c.scored(
                True, "counted", "{before} words/s before, {after} words/s after", after - before
            ),
        ),
        reference_s=overlap_s[0],
        source="annotation",
    )
