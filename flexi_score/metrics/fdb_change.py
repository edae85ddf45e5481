"""Full-Duplex-Bench v1.5: how rate and level of the model's speech change after an overlap."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from flexi_score.archive.tables import ENVELOPE_MS
from flexi_score.metrics.panel import total
from flexi_score.metrics.release import common as c
from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Bools, Floats, Ints, Tracks, spread

CHANGES: Final = """
    rate_change | Speech rate change | mean | none | words/s
      words a second of the model's speech after the overlap minus before it; its interval is that
      of a paired comparison
      source: Full-Duplex-Bench v1.5, eval_general_before_after.py (it splits at the overlap's end)
      null: no overlap, no transcript, or no speech before or after

    intensity_change | Intensity change | mean | none | dB
      mean level of the model's speech after the overlap minus before it: of the archived envelope,
      dB every 10 ms; its interval is that of a paired comparison
      source: as of rate_change (pitch is left out)
      null: no overlap, no audio of the model, or no speech before or after
""".strip()


def speech_changes(
    tracks: Tracks, rec: Ints, model: Spans, origin: Ints, overlap_s: tuple[Floats, Floats]
) -> list[pl.DataFrame]:
    """Score rows ``rate_change`` and ``intensity_change``: after the overlap minus before.

    Words a second of the model's speech: a word is before the overlap where its middle is before
    the start, after it where its middle is not before the end. Mean level (dB) of the steps of the
    envelope whose middle lies in the model's speech, likewise.

    ``model``: its segments on the common axis, in which a recording begins at ``origin``.
    ``overlap_s``: start and end of each recording's overlap (shape (k,), NaN for none).
    """
    n, words = len(tracks), tracks.model_words
    start, end = (np.full(n, np.nan) for _ in range(2))
    start[rec], end[rec] = overlap_s[0] * 1000, overlap_s[1] * 1000

    def sums(of: Ints, at_ms: ArrayLike, value: Floats) -> list[Floats]:
        parts = (at_ms < start[of], at_ms >= end[of])
        return [total(of, n, value * part)[rec] for part in parts]

    first, last = (at - origin[model.rec] for at in (model.start, model.end))
    spoken = [np.fmin(last, start[model.rec]) - first, last - np.fmax(first, end[model.rec])]
    ms = [total(model.rec, n, np.maximum(part, 0))[rec] for part in spoken]
    said = sums(words.rec, (words.start_ms + words.end_ms) / 2, words.count)

    levels = tracks.model_envelope
    audible = np.zeros(len(rec), bool)
    level = steps = [np.zeros(len(rec))] * 2
    if levels is not None:
        audible = np.diff(levels.first)[rec] > 0
        step, of = spread(levels.first[:-1], levels.first[1:])
        middle = (step - levels.first[of]) * ENVELOPE_MS + levels.start_ms[of] + ENVELOPE_MS // 2
        speech = axis.bridge(axis.place(tracks.model_speech, origin, tracks.duration_ms), 0)
        use = np.flatnonzero(axis.inside(speech, middle + origin[of]) >= 0)
        of, middle = of[use], middle[use]
        level = sums(of, middle, levels.cdb[use] / 100)
        steps = sums(of, middle, np.ones(len(use)))

    def rows(
        name: str, unit: str, parts: list[Floats], by: list[Floats], unknown: list[c.Case]
    ) -> pl.DataFrame:
        some: Bools = np.minimum(*by) > 0
        before, after = (
            np.divide(a, b, out=np.full(len(rec), np.nan), where=b > 0)
            for a, b in zip(parts, by, strict=True)
        )
        cases = (
            c.no_annotation(np.isnan(overlap_s[0] + overlap_s[1]), "overlap"),
            *unknown,
            c.not_applicable(~some, "one_sided", "the model does not speak before and after"),
            c.scored(
                True, "counted", f"{{before}} {unit} before, {{after}} {unit} after", after - before
            ),
        )
        facts = {"before": before, "after": after}
        return c.decide(
            tracks, rec, facts, name, cases, reference_s=overlap_s[0], source="annotation"
        )

    silent = c.not_applicable(~audible, "no_audio", "there is no audio of the model")
    return [
        rows(
            "rate_change",
            "words/s",
            [1000 * part for part in said],
            ms,
            c.no_transcript(tracks, rec, "model"),
        ),
        rows("intensity_change", "dB", level, steps, [silent]),
    ]
