"""Whether given files belong to their audio: the clock that is chosen, or the refusal."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexi_score.scoring.given import NEAR_MS, fit_given, inside_speech, on_clock
from flexi_score.segment.tracks import Intervals, make_intervals

SPEECH = [(700, 2300), (2900, 4300), (6000, 9100), (11000, 11500), (14200, 18000)]
OTHER = [(9700, 10600), (12400, 13300)]
LENGTH_MS = 20000


def words_of(spans, word_ms=250):
    """Words that fill stretches of speech."""
    return [(a, a + word_ms - 20) for s, e in spans for a in range(s, e - word_ms + 1, word_ms)]


def fit_one(entries, offset_ms=0, speech=SPEECH, other=OTHER):
    def track(spans):
        zero = np.zeros(len(spans), np.int64)
        start, end = (np.array([s[i] for s in spans], np.int64) for i in (0, 1))
        return make_intervals(zero, start, end) if len(spans) else Intervals(zero, zero, zero)

    given_ = track(sorted(entries))
    fit = fit_given(
        given_,
        track(speech),
        track(other),
        np.array([LENGTH_MS]),
        np.array([offset_ms]),
        np.array([True]),
        pl.Series(["a.json"]),
    )
    moved = on_clock(given_, fit)
    return fit, list(zip(moved.start_ms.tolist(), moved.end_ms.tolist(), strict=True))


@pytest.mark.parametrize("kind", ["words", "stretches"])
@pytest.mark.parametrize(
    ("name", "unit"),
    [("milliseconds", 1000), ("hundredths of a second", 100), ("samples at 16 kHz", 16000)],
)
def test_another_unit_is_converted_where_it_alone_fits(kind, name, unit):
    right = words_of(SPEECH) if kind == "words" else SPEECH
    fit, moved = fit_one([(a * unit, b * unit) for a, b in right])
    assert moved == right
    assert "0% of its" in fit.note[0]
    assert name in fit.note[0]
    assert fit.refusal.to_list() == [None]


@pytest.mark.parametrize("offset_ms", [4900, 1500])
def test_a_file_may_be_on_the_clock_of_its_own_audio(offset_ms):
    right = words_of([(a, b) for a, b in SPEECH if a >= offset_ms])
    speech = [(a, b) for a, b in SPEECH if a >= offset_ms]
    fit, moved = fit_one([(a - offset_ms, b - offset_ms) for a, b in right], offset_ms, speech)
    assert moved == right
    assert "the clock of its own audio file" in fit.note[0]
    fit, moved = fit_one(right, offset_ms, speech)  # or on the recording's
    assert moved == right
    assert fit.note.to_list() == [None]


def test_what_fits_is_left_alone():
    fit, moved = fit_one(words_of(SPEECH))
    assert moved == words_of(SPEECH)
    assert fit.share.tolist() == [1.0]
    assert (fit.note.to_list(), fit.refusal.to_list()) == ([None], [None])


def test_a_stretched_clock_is_read_or_refused():
    for stretch in (2.0, 0.5, 0.9, 1.3):
        fit, moved = fit_one(
            [(round(a * stretch), round(b * stretch)) for a, b in words_of(SPEECH)]
        )
        right = np.abs(np.array(moved) - np.array(words_of(SPEECH))).max() < 300
        assert right or fit.refusal[0] or fit.note[0], stretch


def test_words_of_the_other_party_are_refused_and_named():
    fit, _ = fit_one(words_of(OTHER))
    assert "0% of its 6 entries are inside the speech of the recording" in fit.refusal[0]
    assert "100% are inside the other party's: exchange the files or the channels" in fit.refusal[0]


def test_words_of_another_recording_are_refused_with_both_numbers():
    fit, _ = fit_one(words_of([(9600, 10700), (12300, 13600), (25000, 32000)]), other=[])
    assert "expected 80% or more" in fit.refusal[0]


def test_without_speech_nothing_is_refused():
    fit, _ = fit_one(words_of(SPEECH), speech=[])
    assert fit.refusal.to_list() == [None]
    assert fit.share.tolist() == [0.0]


spans = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 300)), max_size=6).map(
    lambda items: sorted((a * 10, (a + b) * 10) for a, b in items)
)


@settings(deadline=None)
@given(st.lists(st.tuples(spans, spans), min_size=1, max_size=4))
def test_what_is_inside_speech_against_looking_at_every_pair(recordings):
    def flat(side):
        rows = [(r, a, b) for r, pair in enumerate(recordings) for a, b in pair[side]]
        return make_intervals(*(np.array([row[i] for row in rows], np.int64) for i in range(3)))

    entries, speech = flat(0), flat(1)
    length = np.full(len(recordings), 8000)
    expected = [
        start < 8000
        and any(
            min(e, 8000) > s and start < min(e, 8000) + NEAR_MS and end > s - NEAR_MS
            for s, e in recordings[rec][1]
            if s < 8000
        )
        for rec, start, end in zip(entries.rec, entries.start_ms, entries.end_ms, strict=True)
    ]
    assert inside_speech(entries, speech, length).tolist() == expected
