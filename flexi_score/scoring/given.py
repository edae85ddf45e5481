"""Whether given transcripts and segment files belong to their audio.

A file of seconds on the recording's clock lies inside detected speech. One that does not is read on
another clock where exactly one fits: that of its own audio file (``model_offset``), another unit, a
stretched one. Else it is refused with both numbers. Words outside detected speech are not counted.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from flexi_score.schema import HEALTH, SPEAKERS
from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Bools, Floats, Intervals, Ints, make_intervals

#: Name of the check in the health table.
CHECK: Final = "given"
_REMEDY: Final = "correct the transcript or segment file, or leave it out of the manifest"

#: Recognisers and detectors part by this at most (the collars of diarization are as wide:
#: pyannote.metrics, collar=0.25 s on each side).
NEAR_MS: Final = 250
#: Share of a file's entries inside detected speech (to within NEAR_MS): from the first on it is
#: on the recording's clock, from the second on it may be, and is noted; below it is not.
BELONGS: Final = 0.8
DOUBTFUL: Final = 0.65
#: Recognisers round the end of the last word up by less than this.
_PAST_MS: Final = 1000
#: Fewer words than this are no evidence against a file: a recogniser invents that much.
_FEW: Final = 3
#: So little time in common makes another clock worth a look, for so many entries.
_THIN: Final = 0.6
_ENOUGH: Final = 8
#: Another clock has to fit so much better than the recording's, by the share of time in common.
_BETTER: Final = 0.1
_MUCH_BETTER: Final = 0.3
#: Another unit or speed has to have so much time in common with the speech.
_CLOSE: Final = 0.7
#: Stretch and unit of clocks other than the recording's, by name.
_CLOCKS: Final = {
    "milliseconds": 1 / 1000,
    "hundredths of a second": 1 / 100,
    "samples at 8 kHz": 1 / 8000,
    "samples at 16 kHz": 1 / 16000,
    "samples at 24 kHz": 1 / 24000,
    "samples at 44.1 kHz": 1 / 44100,
    "samples at 48 kHz": 1 / 48000,
    "minutes": 60.0,
    "a clock at half speed": 2.0,
    "a clock at double speed": 0.5,
    "a clock 24/25 as fast": 25 / 24,
    "a clock 25/24 as fast": 24 / 25,
    "a clock of 44.1 kHz for 48 kHz": 48 / 44.1,
    "a clock of 48 kHz for 44.1 kHz": 44.1 / 48,
}


@dataclass(frozen=True)
class Fit:
    """How given files fit, one row per recording."""

    #: scale, shift_ms: shape (n,): time in the recording is ``time * scale + shift_ms``
    scale: Floats
    shift_ms: Ints
    #: shape (n,): share of the entries inside detected speech, as they are read; NaN where nothing
    #: is given or there is no audio
    share: Floats
    #: note, refusal: what was found and done; why the file cannot be used; null: nothing to say
    note: pl.Series
    refusal: pl.Series


def fit_given(
    given: Intervals,
    speech: Intervals,
    other: Intervals,
    duration_ms: Ints,
    offset_ms: Ints,
    checked: Bools,
    what: pl.Series,
) -> Fit:
    """The clock of every given file.

    ``given``: entries of the files, on their own clocks. ``speech`` and ``other``: detected speech
    of the party, and of the other one, on the recordings' clocks. ``offset_ms``: where the party's
    audio file starts. ``checked``: recordings with a given file and with audio. ``what``: path of
    the file.
    """
    n = len(duration_ms)
    given, speech = given.take(checked[given.rec]), speech.take(checked[speech.rec])
    share, common = _agreement(given, speech, duration_ms, np.ones(n), np.zeros(n, np.int64))
    scale, shift = np.ones(n), np.zeros(n, np.int64)
    count = np.bincount(given.rec, minlength=n)
    spoken = np.bincount(speech.rec, minlength=n) > 0
    # Few recordings come here: those with an offset, and those that do not fit as they are.
    own_clock = checked & (offset_ms != 0) & spoken & (count > 0)
    poor = checked & spoken & (count > 0) & (share < BELONGS)
    # Where most of the time is speech, a wrong clock hits it too: but not all of it.
    thin = checked & spoken & (count >= _ENOUGH) & (share >= BELONGS) & (common < _THIN)
    trials: list[tuple[str, float, Ints]] = [("the clock of its own audio file", 1.0, offset_ms)]
    odd = poor | thin
    if odd.any():
        zero = np.zeros(n, np.int64)
        trials += [(name, s, zero) for name, s in _CLOCKS.items()]
        if own_clock.any():
            trials += [
                (f"the clock of its own audio file in {name}", s, offset_ms)
                for name, s in _CLOCKS.items()
            ]
    best_share, best_common = share.copy(), np.where(poor, common, common + _BETTER)
    second = np.zeros(n)
    names = np.full(n, "", object)
    for number, (name, s, at) in enumerate(trials):
        where = own_clock if number == 0 else odd & (names != trials[0][0])
        if number > len(_CLOCKS):
            where &= own_clock
        if not where.any():
            continue
        some = given.take(where[given.rec])
        new_share, new_common = _agreement(some, speech, duration_ms, np.full(n, s), at)
        gain = np.where(thin, _MUCH_BETTER, _BETTER)
        fitting = where & (new_share >= BELONGS) & (new_common >= common + gain)
        if number:
            fitting &= new_common >= _CLOSE
        else:  # the one clock beside the recording's that files are known to be on
            fitting |= where & (new_share >= DOUBTFUL) & (new_common >= common + _MUCH_BETTER)
        take = fitting & (new_common > best_common)
        second = np.where(take & (names != ""), best_common, second)
        second = np.where(fitting & ~take, np.maximum(second, new_common), second)
        scale, shift = np.where(take, s, scale), np.where(take, at, shift)
        best_share = np.where(take, new_share, best_share)
        best_common = np.where(take, new_common, best_common)
        names[take] = name
    alone = (names != "") & (best_common >= second + _BETTER)
    odd |= names != ""
    back = odd & ~alone
    scale, shift = np.where(back, 1.0, scale), np.where(back, 0, shift)
    best_share = np.where(back, share, best_share)
    note, refusal = (pl.Series([None], dtype=pl.String).new_from_index(0, n) for _ in range(2))
    at = np.flatnonzero(odd)
    if len(at):
        some = given.take(odd[given.rec])
        against, _ = _agreement(some, other, duration_ms, np.ones(n), np.zeros(n, np.int64))
        columns = {
            "share": share,
            "count": count,
            "best": best_share,
            "common": common,
            "alone": alone,
            "thin": thin,
            "against": against,
        }
        table = pl.DataFrame({name: values[at] for name, values in columns.items()})
        clock = pl.Series(names[at].tolist(), dtype=pl.String)
        texts = _verdicts(table.with_columns(what=what.gather(at), clock=clock))
        note.scatter(at, texts["note"])
        refusal.scatter(at, texts["refusal"])
    best_share[~checked | (count == 0)] = np.nan
    return Fit(scale, shift, best_share, note, refusal)


def _verdicts(table: pl.DataFrame) -> pl.DataFrame:
    """``note, refusal`` of files that do not fit as they are, or fit another clock."""

    def percent(name: str) -> pl.Expr:
        return (pl.col(name) * 100).round(0).cast(pl.Int64)

    text = "{}: {}% of its {} entries are inside the speech of the recording"
    said = pl.format(text, pl.col("what").fill_null("a given file"), percent("share"), "count")
    few = (pl.col("count") < _FEW) & (pl.col("clock") == "")
    fair = (pl.col("share") >= DOUBTFUL) | few
    exchanged = pl.format(
        "{}% are inside the other party's: exchange the files or the channels", percent("against")
    )
    elsewhere = pl.lit(
        "is it of another recording, or on another clock? Times are seconds from the start of the "
        "recording"
    )
    cause = pl.when(pl.col("against") >= BELONGS).then(exchanged).otherwise(elsewhere)
    other_clock = pl.format(
        " as they stand, {}% if read on or in {}, as was done", percent("best"), "clock"
    )
    gaps = pl.when(pl.col("common") < _THIN / 2).then(pl.lit(", but they leave most of it out"))
    return table.select(
        note=pl.when("alone")
        .then(said + other_clock)
        .when("thin")
        .then(said + gaps)
        .when(fair)
        .then(said),
        refusal=pl.when(~pl.col("alone") & ~pl.col("thin") & ~fair).then(
            said + f", expected {BELONGS:.0%} or more; " + cause
        ),
    )


def on_clock(given: Intervals, fit: Fit) -> Intervals:
    """Given entries on the recordings' clocks."""
    return _moved(given, fit.scale, fit.shift_ms)


def _moved(given: Intervals, scale: Floats, shift_ms: Ints) -> Intervals:
    start, end = (
        np.rint(at * scale[given.rec]).astype(np.int64) + shift_ms[given.rec]
        for at in (given.start_ms, given.end_ms)
    )
    return Intervals(given.rec, start, end)


def past_end(given: Intervals, duration_ms: Ints) -> Ints:
    """How many entries of each recording end more than a second after it, shape (n,)."""
    past = given.end_ms > duration_ms[given.rec] + _PAST_MS
    return np.bincount(given.rec[past], minlength=len(duration_ms))


def inside_speech(given: Intervals, speech: Intervals, duration_ms: Ints) -> Bools:
    """Which entries touch speech, to within :data:`NEAR_MS`."""
    origin = axis.origins(duration_ms)
    spans = axis.bridge(axis.place(speech, origin, duration_ms), 0)
    return _touch(given, spans, origin, duration_ms)


def _touch(given: Intervals, spans: Spans, origin: Ints, duration_ms: Ints) -> Bools:
    start = given.start_ms + origin[given.rec]
    end = np.maximum(given.end_ms, given.start_ms + 1) + origin[given.rec]
    first = np.searchsorted(spans.end + NEAR_MS, start, "right")
    starts = np.append(spans.start - NEAR_MS, axis.NEVER)
    touches: Bools = (starts[first] < end) & (given.start_ms < duration_ms[given.rec])
    if len(spans.rec):
        owner = np.append(spans.rec, -1)[first]
        touches &= owner == given.rec
    return touches


def _agreement(
    given: Intervals, speech: Intervals, duration_ms: Ints, scale: Floats, shift_ms: Ints
) -> tuple[Floats, Floats]:
    """Share of the entries inside speech, and share of the time of both that is in common."""
    n = len(duration_ms)
    moved = _moved(given, scale, shift_ms)
    touching = inside_speech(moved, speech, duration_ms)
    count = np.maximum(np.bincount(given.rec, minlength=n), 1)
    share = np.bincount(given.rec, touching, minlength=n) / count
    origin = axis.origins(duration_ms)
    both = [
        axis.bridge(axis.place(_inside(item, duration_ms), origin, duration_ms), NEAR_MS)
        for item in (moved, speech)
    ]
    time = [np.bincount(s.rec, s.end - s.start, minlength=n) for s in both]
    joined = axis.union(*both)
    union = np.bincount(joined.rec, joined.end - joined.start, minlength=n)
    with np.errstate(invalid="ignore", divide="ignore"):
        common = np.where(union > 0, (time[0] + time[1] - union) / union, 0.0)
    return share, common


def _inside(given: Intervals, duration_ms: Ints) -> Intervals:
    """Entries cut to their recordings."""
    end = np.clip(given.end_ms, 0, duration_ms[given.rec])
    return make_intervals(given.rec, np.clip(given.start_ms, 0, end), end)


def given_health(recordings: pl.DataFrame) -> pl.DataFrame:
    """A warning for each recording with something odd about a given file (check ``given``)."""
    parts = [
        recordings.filter(pl.col(f"{speaker}_given_note").is_not_null()).select(
            "recording",
            check=pl.lit(CHECK),
            channel=pl.lit(speaker),
            value=pl.lit(None, pl.Float64),
            unit=pl.lit(""),
            threshold=pl.lit(None, pl.Float64),
            verdict=pl.lit("warn"),
            detail=pl.col(f"{speaker}_given_note"),
            remedy=pl.lit(_REMEDY),
        )
        for speaker in SPEAKERS
        if f"{speaker}_given_note" in recordings.columns
    ]
    return pl.concat([HEALTH.to_frame(), *(part.cast(HEALTH) for part in parts)])
