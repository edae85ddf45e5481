"""Whether user and model are on one timeline: full-duplex metrics mean nothing where they are not.

Some captures keep what the model says and lose when it says it: a file of its replies alone that
starts at sample 0, a buffer that drops silence, a reply put where the user's file ends, a track
that was closed early. What is measured on these are properties of the files.

The value is the strength of the evidence: 1 where no live conversation is captured like this, 0.6
where it is unlikely, 0 where nothing points to it.
"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Bools, Floats, Ints, Tracks

#: The model's first sound this near to the start of its channel starts with it: synthesised
#: replies begin with some 0.1 s of silence.
AT_START_MS: Final = 300
#: The end of the model's speech this near to the end of its file is that of its last reply.
AT_END_MS: Final = 1000
#: Two files of one session are this alike in length.
SAME_LENGTH_MS: Final = 500
#: A pause of the model this long is one that was not dropped.
PAUSE_MS: Final = 1000
#: Speech of a channel whose pauses were dropped lasts at least this long.
MANY_MS: Final = 5000
#: So much of all speech at the same times, in so many stretches, is one party's, captured twice.
UNISON: Final = 0.9
UNISON_STRETCHES: Final = 3
#: The model's channel ends this much before the user's last words do.
EARLY_MS: Final = 200
#: A channel that goes silent so near to the end of speech was cut in mid-speech.
CUT_MS: Final = 60
#: Latencies that differ by no more than this were not measured; people's and systems' vary by more.
CONSTANT_MS: Final = 10
#: Such latencies are needed to tell that they are constant.
MANY_LATENCIES: Final = 4

_CERTAIN: Final = 1.0
_LIKELY: Final = 0.6


def timeline_evidence(
    tracks: Tracks,
    paired: Bools,
    user_channel: tuple[Ints, Ints],
    model_channel: tuple[Ints, Ints],
    closed_ms: Ints,
) -> tuple[Floats, pl.Series]:
    """How strongly (0 to 1) a recording's channels seem to lie on different timelines, and why.

    ``user_channel`` and ``model_channel``: start and end of each channel on the recording's axis
    (ms); -1 where there is no audio. ``closed_ms``: for how long the model's line carries nothing
    at its end, after noise before. NaN where there is no audio, or one party is silent.
    """
    n = len(tracks)
    origin = axis.origins(tracks.duration_ms)
    user, model = (
        axis.bridge(axis.place(speech, origin, tracks.duration_ms), 0)
        for speech in (tracks.user_speech, tracks.model_speech)
    )
    u, m = _outline(user, origin, n), _outline(model, origin, n)
    both = _total(axis.intersect(user, model), n)
    starts, ends = model_channel
    known = (user_channel[1] >= 0) & (ends >= 0) & (u["total"] > 0) & (m["total"] > 0)
    at_start = (m["first"] - starts <= AT_START_MS) & (m["first"] - starts >= 0)
    at_end = ends - m["last"] <= AT_END_MS
    talks_over = (both > 0) & (u["first"] < m["last"])
    no_pause = m["longest_pause"] < PAUSE_MS
    shorter = np.abs(ends - user_channel[1]) >= SAME_LENGTH_MS
    together = starts == user_channel[0]

    mostly_over = 2 * both >= m["total"]
    replies_only = paired & together & at_start & at_end & talks_over & no_pause
    replies_only &= shorter | mostly_over
    # A file, or a channel filled up with silence, of everything the model said and no pause.
    collapsed = at_start & talks_over & no_pause & (m["total"] >= MANY_MS) & (u["turns"] >= 3)
    collapsed &= u["last"] - m["last"] >= PAUSE_MS
    padded = together & at_start & talks_over & no_pause & mostly_over
    padded &= user_channel[1] - m["last"] >= PAUSE_MS
    appended = paired & ~together & (np.abs(starts - user_channel[1]) <= CONSTANT_MS) & at_start
    early = paired & (u["last"] - ends >= EARLY_MS)
    # It was seen to carry noise while the model said nothing.
    nothing = (closed_ms >= PAUSE_MS) & (ends - closed_ms - starts - m["total"] >= PAUSE_MS)
    closed = nothing & (u["last"] - (ends - closed_ms) >= EARLY_MS)
    cut = nothing & (np.abs(ends - closed_ms - m["last"]) <= CUT_MS)
    stretches = np.minimum(*(np.bincount(s.rec, minlength=n) for s in (user, model)))
    either = u["total"] + m["total"] - both
    unison = (both >= UNISON * either) & (stretches >= UNISON_STRETCHES)
    constant, latency, count = _constant_latency(user, model, n)
    numbers = pl.DataFrame(
        {
            "lead": (m["first"] - starts) / 1000,
            "over": both / 1000,
            "all": np.maximum(u["total"], m["total"]) / 1000,
            "start": starts / 1000,
            "end": ends / 1000,
            "closed": (ends - closed_ms) / 1000,
            "user_last": u["last"] / 1000,
            "latency": latency,
            "count": count,
        }
    ).with_columns(pl.col(pl.Float64).round(2))
    cases = (
        (
            unison,
            _CERTAIN,
            "user and model speak and pause at the same times ({} s of {} s): one channel is a "
            "copy of the other",
            ("over", "all"),
        ),
        (
            replies_only,
            _CERTAIN,
            "the model's file begins and ends with its speech ({} s after its start; {} s of it "
            "while the user speaks) and is not as long as the user's: it holds replies without the "
            "time at which they came",
            ("lead", "over"),
        ),
        (
            collapsed,
            _CERTAIN,
            "the model speaks from {} s on without a pause, {} s of it while the user speaks, and "
            "never again: its silences were dropped",
            ("lead", "over"),
        ),
        (
            appended,
            _CERTAIN,
            "the model's file starts where the user's ends ({} s), and its speech {} s later: it "
            "was put there, and says nothing of when the model answered",
            ("start", "lead"),
        ),
        (
            early,
            _CERTAIN,
            "the model's file ends at {} s and the user speaks until {} s: whether the model "
            "answers was not captured",
            ("end", "user_last"),
        ),
        (
            closed,
            _LIKELY,
            "the model's channel holds only zeros from {} s on, and the user speaks until {} s: "
            "was its track closed before the call ended?",
            ("closed", "user_last"),
        ),
        (
            cut,
            _LIKELY,
            "the model's channel holds only zeros from {} s on, where the model was speaking: was "
            "its track closed before the call ended?",
            ("closed",),
        ),
        (
            padded,
            _LIKELY,
            "the model speaks from {} s on, {} s of it while the user speaks, and falls silent "
            "before the user does: are these replies without the time at which they came?",
            ("lead", "over"),
        ),
        (
            constant,
            _LIKELY,
            "the model always answers {} s after the user, to within 10 ms ({} times): were the "
            "replies put there?",
            ("latency", "count"),
        ),
    )
    value = np.where(known, 0.0, np.nan)
    for holds, strength, _, _ in cases:
        value = np.where(holds & known, np.fmax(value, strength), value)
    # The first of the cases that holds is told: the certain ones come first.
    evidence = numbers.select(
        pl.when(pl.lit(pl.Series(known))).then(
            pl.coalesce(
                *(
                    pl.when(pl.lit(pl.Series(holds))).then(pl.format(text, *names))
                    for holds, _, text, names in cases
                ),
                pl.lit("nothing points to two timelines"),
            )
        )
    ).to_series()
    return value, evidence


def _outline(speech: Spans, origin: Ints, n: int) -> dict[str, Ints]:
    """Of a party's speech: first and last moment, amount, longest pause, and number of turns.

    Turns are stretches that pauses of one second or more part.
    """
    first, last = np.full(n, axis.NEVER), np.full(n, -1)
    np.minimum.at(first, speech.rec, speech.start - origin[speech.rec])
    np.maximum.at(last, speech.rec, speech.end - origin[speech.rec])
    pause = np.zeros(n, np.int64)
    if len(speech):
        same = speech.rec[1:] == speech.rec[:-1]
        gaps = np.where(same, speech.start[1:] - speech.end[:-1], 0)
        np.maximum.at(pause, speech.rec[1:], gaps)
    turns = np.bincount(axis.bridge(speech, PAUSE_MS).rec, minlength=n)
    return {
        "first": first,
        "last": last,
        "total": _total(speech, n),
        "longest_pause": pause,
        "turns": turns,
    }


def _total(spans: Spans, n: int) -> Ints:
    return np.bincount(spans.rec, spans.end - spans.start, minlength=n).astype(np.int64)


def _latencies(user: Spans, model: Spans) -> tuple[Ints, Ints]:
    """Recording and latency (ms) of each stretch of the model's speech after the user's."""
    replies = axis.bridge(model, PAUSE_MS)
    before = np.searchsorted(user.end, replies.start, "right") - 1
    last = user.end[before] if len(user) else np.empty(0, np.int64)
    if not len(user):
        return np.empty(0, np.int64), last
    answers = (before >= 0) & (user.rec[before] == replies.rec)
    # Not while the user goes on.
    following = np.minimum(before + 1, len(user) - 1)
    answers &= ~((user.start[following] < replies.start) & (user.end[following] > replies.start))
    return replies.rec[answers], (replies.start - last)[answers]


def _constant_latency(user: Spans, model: Spans, n: int) -> tuple[Bools, Floats, Ints]:
    """Whether many replies all come after the same time; after how long (s); and how many."""
    rec, latency = _latencies(user, model)
    low, high = np.full(n, axis.NEVER), np.full(n, -axis.NEVER)
    np.minimum.at(low, rec, latency)
    np.maximum.at(high, rec, latency)
    count = np.bincount(rec, minlength=n)
    constant = (count >= MANY_LATENCIES) & (high - low <= CONSTANT_MS)
    return constant, np.where(constant, low / 1000, np.nan), count
