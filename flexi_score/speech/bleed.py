"""Speech that the other channel's leak explains, taken out of detected segments.

Extraction subtracts the leak from a channel and detects speech in what is left
(:mod:`flexi_score.speech.crosstalk`); it keeps the envelope of the leak that it took off and
how far down that brought it. What is left in a frame may still be leak as long as it does not rise
clear of that remainder.

Conventions
-----------
Envelopes are hundredths of a dB re full scale, 10 ms a frame, channel after channel.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.config import SpeechSettings
from flexi_score.segment.tracks import Floats, Intervals, Ints, make_intervals

Centi = NDArray[np.int16]

FRAME_MS: Final = 10
#: A room's tail falls so much from frame to frame (60 dB in half a second).
DECAY_CDB: Final = 120.0
#: Own speech shows in at least this many frames of a segment, not all in a row.
OWN_FRAMES: Final = 5
#: A hole in own speech that is shorter than this is a closure or a weak sound under the leak.
HOLE_FRAMES: Final = 15
#: A run of own frames that is shorter than this is chance.
RUN_FRAMES: Final = 3


def remove_leaks(
    heard: pl.DataFrame, segments: Intervals, settings: SpeechSettings
) -> tuple[Intervals, pl.DataFrame]:
    """Segments and envelopes of channels without what their leaks explain.

    Parameters
    ----------
    heard : polars.DataFrame
        One row a channel: ``envelope_cdb``, ``noise_dbfs``, ``duration_ms``, and ``crosstalk_cdb``,
        ``depth_db`` and ``raw_cdb`` (null where nothing leaks in).
    segments : Intervals
        Detected in them; ``rec`` is the row's number.
    settings : SpeechSettings
        bleed_margin_db, bleed_clear_db and min_speech_ms are used.

    Returns
    -------
    segments : Intervals
    heard : polars.DataFrame
        With ``envelope_cdb`` at the level of the noise where the leak explains it, and
        ``leak_doubt`` (:func:`doubtful_share`). Channels that nothing leaks into are as they were.
    """
    heard = heard.with_columns(leak_doubt=pl.lit(None, pl.Float64))
    leaky = heard["crosstalk_cdb"].is_not_null()
    which = np.flatnonzero(leaky.to_numpy())
    if not len(which):
        return segments, heard
    rows = heard.filter(leaky)
    sizes = rows["envelope_cdb"].list.len().cast(pl.Int64).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    # What is louder without the leak than with it was made by taking it out.
    envelope = np.minimum(
        *(rows[name].explode().drop_nulls().to_numpy() for name in ("envelope_cdb", "raw_cdb"))
    )
    remainder = remainder_cdb(
        rows["crosstalk_cdb"].explode().drop_nulls().to_numpy(),
        offsets,
        rows["depth_db"].to_numpy(),
    )
    explained: NDArray[np.bool_] = envelope < remainder + settings.bleed_margin_db * 100
    number = np.full(len(heard), -1, np.int64)
    number[which] = np.arange(len(which))
    inside = number[segments.rec] >= 0
    part, rest = segments.take(inside), segments.take(~inside)
    own = own_segments(
        Intervals(number[part.rec], part.start_ms, part.end_ms),
        explained,
        offsets,
        rows["duration_ms"].to_numpy().astype(np.int64),
        settings,
    )
    clear_db = settings.bleed_margin_db + settings.bleed_clear_db
    near: NDArray[np.bool_] = envelope < remainder + clear_db * 100
    doubt = np.full(len(heard), np.nan)
    doubt[which] = doubtful_share(own, near, offsets)
    masked = mask_envelope(envelope, explained, offsets, rows["noise_dbfs"].to_numpy())
    frames = pl.DataFrame({"row": np.repeat(which, sizes), "masked": masked})
    lists = frames.group_by("row", maintain_order=True).agg("masked")
    heard = (
        heard.with_columns(row=pl.int_range(pl.len()))
        .join(lists, on="row", how="left", maintain_order="left")
        .with_columns(
            envelope_cdb=pl.coalesce("masked", "envelope_cdb"),
            leak_doubt=pl.Series(doubt).fill_nan(None),
        )
        .drop("row", "masked")
    )
    segments = make_intervals(
        np.concatenate([which[own.rec], rest.rec]),
        np.concatenate([own.start_ms, rest.start_ms]),
        np.concatenate([own.end_ms, rest.end_ms]),
    )
    return segments, heard


def explained_frames(
    envelope_cdb: Centi, leak_cdb: Centi, offsets: Ints, depth_db: Floats, margin_db: float
) -> NDArray[np.bool_]:
    """Frames of channels whose energy is no more than what may be left of the leak.

    Parameters
    ----------
    envelope_cdb : ndarray of int16, shape (offsets[-1],)
        Of the channel without the leak.
    leak_cdb, offsets, depth_db : ndarray
        As in :func:`remainder_cdb`.
    margin_db : float
        A frame less than this above the remainder is explained.
    """
    rest = remainder_cdb(leak_cdb, offsets, depth_db)
    explained: NDArray[np.bool_] = envelope_cdb < rest + margin_db * 100
    return explained


def remainder_cdb(leak_cdb: Centi, offsets: Ints, depth_db: Floats) -> Floats:
    """What may be left of a leak in each frame, in hundredths of a dB.

    Parameters
    ----------
    leak_cdb : ndarray of int16, shape (offsets[-1],)
        Of the leak that was taken off.
    offsets : ndarray of int64, shape (n + 1,)
        Channel i owns the frames [offsets[i], offsets[i + 1]).
    depth_db : ndarray of float64, shape (n,)
        How far down subtraction brought the leak of each channel.
    """
    sizes = np.diff(offsets)
    rest = leak_cdb - np.repeat(np.round(depth_db * 100), sizes)
    # What is left rings on: a running maximum that falls with time, started anew in each channel.
    slope = DECAY_CDB * (np.arange(len(rest)) - np.repeat(offsets[:-1], sizes))
    step = np.repeat(np.arange(len(sizes)) * 1e9, sizes)
    ringing: Floats = np.maximum.accumulate(rest + slope + step) - slope - step
    return ringing


def doubtful_share(own: Intervals, near: NDArray[np.bool_], offsets: Ints) -> Floats:
    """Share of each channel's own speech that does not stand clear of what is left of its leak.

    Parameters
    ----------
    own : Intervals
        From :func:`own_segments`.
    near : ndarray of bool, shape (offsets[-1],)
        Frames less than bleed_margin_db and bleed_clear_db above the remainder.
    offsets : ndarray of int64, shape (n + 1,)

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where there is no own speech.
    """
    size = np.diff(offsets)
    first = np.minimum(own.start_ms // FRAME_MS, size[own.rec]) + offsets[own.rec]
    stop = np.minimum(-(-own.end_ms // FRAME_MS), size[own.rec]) + offsets[own.rec]
    so_far = np.concatenate([[0], np.cumsum(near)])
    doubtful = np.bincount(own.rec, so_far[stop] - so_far[first], minlength=len(size))
    spoken = np.bincount(own.rec, stop - first, minlength=len(size)).astype(np.float64)
    share: Floats = np.full(len(size), np.nan)
    np.divide(doubtful, spoken, out=share, where=spoken > 0)
    return share


def mask_envelope(
    envelope_cdb: Centi, explained: NDArray[np.bool_], offsets: Ints, noise_dbfs: Floats
) -> Centi:
    """The envelope with explained frames brought down to the channel's noise."""
    noise = np.repeat(np.round(noise_dbfs * 100), np.diff(offsets))
    return np.where(explained, np.minimum(envelope_cdb, noise), envelope_cdb).astype(np.int16)


def own_segments(
    segments: Intervals,
    explained: NDArray[np.bool_],
    offsets: Ints,
    duration_ms: Ints,
    settings: SpeechSettings,
) -> Intervals:
    """Segments without the stretches that the leak explains.

    Parameters
    ----------
    segments : Intervals
        Disjoint; ``rec`` is the channel's number.
    explained : ndarray of bool, shape (offsets[-1],)
        From :func:`explained_frames`.
    offsets : ndarray of int64, shape (n + 1,)
    duration_ms : ndarray of int64, shape (n,)
    settings : SpeechSettings
        Uses min_speech_ms.

    Returns
    -------
    Intervals
        Each stretch of own speech, cut at the frames that the leak explains. Of a segment in
        which own speech shows in fewer than ``OWN_FRAMES`` frames, nothing is left.
    """
    if not len(segments):
        return segments
    rec = segments.rec
    size = np.diff(offsets)
    first = np.minimum(segments.start_ms // FRAME_MS, size[rec]) + offsets[rec]
    stop = np.minimum(-(-segments.end_ms // FRAME_MS), size[rec]) + offsets[rec]
    count = stop - first
    owner = np.repeat(np.arange(len(rec)), count)
    at = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count) + first[owner]
    here = np.flatnonzero(~explained[at])
    if not len(here):
        return segments.take(here)
    # Runs of own frames first, then runs of these: what is chance does not bridge a hole.
    apart = (np.diff(here) > 1) | (np.diff(owner[here]) != 0)
    lo = here[np.concatenate([[True], apart])]
    hi = here[np.concatenate([apart, [True]])] + 1
    long = hi - lo >= RUN_FRAMES
    lo, hi = lo[long], hi[long]
    if not len(lo):
        return segments.take(lo)
    apart = (lo[1:] - hi[:-1] >= HOLE_FRAMES) | (np.diff(owner[lo]) != 0)
    heads = np.flatnonzero(np.concatenate([[True], apart]))
    frames = np.add.reduceat(hi - lo, heads)
    a, b = lo[heads], hi[np.append(heads[1:], len(lo)) - 1]
    keep = frames >= OWN_FRAMES
    a, b = a[keep], b[keep]
    who = owner[a]
    zero = offsets[rec[who]]
    start = np.maximum((at[a] - zero) * FRAME_MS, segments.start_ms[who])
    end = np.minimum((at[b - 1] + 1 - zero) * FRAME_MS, segments.end_ms[who])
    end = np.minimum(end, duration_ms[rec[who]])
    long_enough = end - start > settings.min_speech_ms
    return make_intervals(rec[who][long_enough], start[long_enough], end[long_enough])
