"""Whether times of a file can be those of speech: order, restarts, tiling, jumps, and their unit.

What a file says of itself is looked at here, without audio. Whether it belongs to its audio is seen
when both are there (:mod:`flexi_score.scoring.given`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

import polars as pl

from flexi_score.errors import TranscriptError
from flexi_score.formats.text import word_counts
from flexi_score.formats.timed import Timed

#: Clocks start again in the file from which times go back by more than this.
_BACK_MS: Final = 1000
#: Fewer entries are not taken for several passages with a clock of their own.
_PASSAGES: Final = 10
_SHORTEST_PASSAGE: Final = 3

#: Stretches as near as this touch.
_TOUCHING_MS: Final = 20
#: A label has to come so often to be looked at as one of silence.
_FEW_SILENCES: Final = 3

#: Units other than seconds, in parts of a second. Of samples, only one rate may fit.
_UNITS: Final[dict[float, str]] = {
    100: "hundredths of a second",
    1000: "milliseconds",
    8000: "samples at 8 kHz",
    16000: "samples at 16 kHz",
    24000: "samples at 24 kHz",
    44100: "samples at 44.1 kHz",
    48000: "samples at 48 kHz",
    1_000_000: "microseconds",
    10_000_000: "ticks of 100 ns",
    1_000_000_000: "nanoseconds",
}
#: Frames of codecs, aligners and video: as whole numbers they may be taken for other units.
_FRAMES: Final[dict[float, str]] = {
    12.5: "frames of 80 ms",
    25: "frames of 40 ms",
    30: "frames at 30 a second",
    50: "frames of 20 ms",
}
#: Time a word may take (s): the widest that is believed as it stands, for whole and for broken
#: numbers, and what a converted unit must give. English has 0.2 to 0.5 s a word (Tauroza and
#: Allison 1990, "Speech rates in British English").
_MOST_PER_WORD_S: Final = {True: 8.0, False: 30.0}
_PER_WORD_S: Final = (0.09, 1.3)
#: Less than this a word nobody speaks, nor more than this a word where each entry is one.
_LEAST_PER_WORD_S: Final = 0.03
_MOST_PER_LONE_WORD_S: Final = 2.5
#: Hundredths of a second that give less than this a word may be frames.
_CLEAR_PER_WORD_S: Final = 0.15
_LONE_WORDS: Final = 5
#: Likewise the length of a stretch of speech without words.
_MOST_PER_STRETCH_S: Final = {True: 60.0, False: 300.0}
_PER_STRETCH_S: Final = (0.2, 12.0)

#: Stretches that are mostly shorter are worth a note.
_SHORTEST_S: Final = 0.1

#: Entries of one party that overlap by more are worth a note.
_OVER_MS: Final = 250
#: Two times in seconds, as a lost line end leaves them in the text of the entry before.
_ENTRY_INSIDE: Final = re.compile(r"[0-9]+\.[0-9]+\s+[0-9]+\.[0-9]+")

#: A silence longer than this, and than twice all the rest, is worth a note.
_ODD_GAP_MS: Final = 30_000
#: So late a first entry, and ten times later than all take, is worth one too.
_LATE_MS: Final = 600_000
_ODD_LENGTH_MS: Final = 60_000


def refuse_odd_blanks(path: Path, text: str) -> None:
    """Refuse control characters that would pass for a blank between, or inside, two numbers.

    ``path``: for messages. ``text``: what the file holds.

    Raises
    ------
    TranscriptError
    """
    odd = re.search(r"[\x0b\x0c\x1c-\x1f]", text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        raise TranscriptError(
            f"{path}, line {line}: found the control character {odd[0]!r}, expected text; the file "
            "is damaged, or was not saved as text"
        )


def check_order(path: Path, entries: Sequence[Timed]) -> list[str]:
    """Notes on the order of one party's entries, in the order of the file.

    Raises
    ------
    TranscriptError
        Where the clock starts again within the file.
    """
    back = [
        i
        for i, (before, after) in enumerate(pairwise(entries), 1)
        if after.start_ms < before.start_ms
    ]
    notes = []
    if far := [i for i in back if entries[i].start_ms < entries[i - 1].start_ms - _BACK_MS]:
        bounds = [0, *far, len(entries)]
        passages = [entries[a:b] for a, b in pairwise(bounds)]
        if (
            len(entries) >= _PASSAGES
            and len(back) == len(far)
            and min(map(len, passages)) >= _SHORTEST_PASSAGE
            and _overlap(passages)
        ):
            at = entries[far[0]]
            raise TranscriptError(
                f"{path}, {at.place}: the clock starts again at {_s(at.start_ms)} s, after "
                f"{_s(entries[far[0] - 1].start_ms)} s; add to each passage the time at which it "
                "starts in the recording"
            )
    if back:
        notes.append(
            f"{entries[back[0]].place}: starts before the entry above it"
            + (f", as {len(back) - 1} others do" if len(back) > 1 else "")
        )
    rows = sorted(entries, key=lambda e: e[:2])
    over = [b for a, b in pairwise(rows) if a.end_ms > b.start_ms + _OVER_MS]
    if over:
        notes.append(
            f"{over[0].place}: starts before an earlier entry of the same party ends"
            + (f", as {len(over) - 1} others do" if len(over) > 1 else "")
        )
    for entry in entries:
        if entry.text and _ENTRY_INSIDE.search(entry.text):
            notes.append(
                f"{entry.place}: its text holds what looks like the times of another entry"
            )
            break
    return notes


def check_spacing(entries: Sequence[Timed]) -> list[str]:
    """Notes on times in seconds that are far from all others."""
    rows = sorted(entries, key=lambda e: e[:2])
    notes = []
    ends = [0]
    for entry in rows:
        ends.append(max(ends[-1], entry.end_ms))
    gaps = [
        (entry.start_ms - end, i) for i, (entry, end) in enumerate(zip(rows, ends, strict=False))
    ]
    if rows and (late := rows[0].start_ms) > max(_LATE_MS, 10 * (ends[-1] - late)):
        notes.append(
            f"{rows[0].place}: is the first entry, at {_s(late)} s; do the times count from "
            "another moment than the start of the recording?"
        )
    if len(rows) > 1:
        gap, i = max(gaps[1:])
        rest = ends[-1] - rows[0].start_ms - gap
        if gap > max(_ODD_GAP_MS, 2 * rest):
            notes.append(
                f"{rows[i].place}: starts at {_s(rows[i].start_ms)} s, {_s(gap)} s after all "
                f"before it, where the other entries take {_s(rest)} s; is a digit wrong?"
            )
    longest = max(rows, key=lambda e: e.end_ms - e.start_ms, default=None)
    if longest and longest.text and longest.end_ms - longest.start_ms > _ODD_LENGTH_MS:
        notes.append(f"{longest.place}: lasts {_s(longest.end_ms - longest.start_ms)} s")
    return notes


def _overlap(passages: Sequence[Sequence[Timed]]) -> bool:
    """Whether passages, put on one clock, are spoken at the same time."""
    spans = sorted((min(e.start_ms for e in p), max(e.end_ms for e in p)) for p in passages)
    return any(after[0] < before[1] - _BACK_MS for before, after in pairwise(spans))


def without_silence(
    path: Path, entries: list[Timed], *, labels: bool
) -> tuple[list[Timed], list[str]]:
    """Entries without those of a label that stands in every silence between the others.

    ``labels``: whether texts are labels of a segmentation; else they are what was said.

    Returns
    -------
    entries : list of Timed
    notes : list of str
        What was left out, or may be silence.

    Raises
    ------
    TranscriptError
        Where two labels take turns without a gap: one is silence, and it is open which.
    """
    texts = [" ".join((e.text or "").split()).casefold() for e in entries]
    touching = all(abs(b.start_ms - a.end_ms) <= _TOUCHING_MS for a, b in pairwise(entries))
    if len(entries) < 3 or not touching:
        return entries, []
    sides = [set(texts[0::2]), set(texts[1::2])]
    if sides[0] & sides[1]:
        often, n = Counter(texts).most_common(1)[0]
        apart = all(often != a or often != b for a, b in pairwise(texts))
        if not labels or not often or n < _FEW_SILENCES or not apart:
            return entries, []
        return entries, [
            f"its {len(entries)} stretches follow one another without a gap, {n} of them labelled "
            f"{often!r}; if that is silence, label them 'silence'"
        ]
    alone = [side for side in sides if len(side) == 1 and "" not in side]
    if labels and len(alone) == 2:
        first, second = texts[:2]
        raise TranscriptError(
            f"{path}: stretches labelled {first!r} and {second!r} take turns without a gap, so one "
            "of the two is silence; remove its stretches, or label them 'silence'"
        )
    if len(alone) != 1 or len(entries) < (4 if labels else 5):
        return entries, []
    (silence,) = alone[0]
    note = (
        f"stretches labelled {silence!r} fill every gap between the others, so they are taken for "
        f"silence ({texts.count(silence)} of {len(texts)})"
    )
    return [e for e, text in zip(entries, texts, strict=True) if text != silence], [note]


def to_seconds(path: Path, entries: list[Timed]) -> tuple[list[Timed], list[str]]:
    """Entries of a recording without audio, their times converted where they cannot be seconds.

    Returns
    -------
    entries : list of Timed
    notes : list of str
        What was converted, and why.

    Raises
    ------
    TranscriptError
        Where they cannot be seconds, and not exactly one other unit fits.
    """
    spoken = [e for e in entries if e.end_ms > e.start_ms]
    if not spoken:
        return entries, []
    lengths = [(e.end_ms - e.start_ms) / 1000 for e in spoken]
    counts = [0.0] * len(spoken)
    if all(e.text is not None for e in spoken):
        counts = list(word_counts(pl.Series([e.text for e in spoken], dtype=pl.String)))
    whole = all(e.start_ms % 1000 == 0 and e.end_ms % 1000 == 0 for e in spoken)
    worded = sum(counts) >= len(spoken) / 2
    if worded:
        typical = median(t / n for t, n in zip(lengths, counts, strict=True) if n)
        most, (low, high) = _MOST_PER_WORD_S[whole], _PER_WORD_S
    else:
        typical = median(lengths)
        most, (low, high) = _MOST_PER_STRETCH_S[whole], _PER_STRETCH_S
    what = f"{typical:g} s a word" if worded else f"stretches of {typical:g} s without a pause"
    few = len(spoken) < 3
    if worded and not few and typical < _LEAST_PER_WORD_S:
        raise TranscriptError(
            f"{path}: as seconds its times would mean {what}, which nobody speaks; are they "
            "minutes or hours? Write seconds"
        )
    if worded and whole and len(spoken) >= _LONE_WORDS and sum(counts) <= len(spoken):
        most = _MOST_PER_LONE_WORD_S
    if typical <= most or (few and worded and typical <= most * 8):
        long = whole and typical > (_MOST_PER_LONE_WORD_S if worded else high)
        apart = any(b.start_ms > a.end_ms for a, b in pairwise(spoken))
        odd = (long and not (few and worded)) or (not worded and apart and typical < _SHORTEST_S)
        note = f"as seconds its times would mean {what}; are they frames, minutes, another unit?"
        return entries, [note] if odd else []
    fitting = [unit for unit in _UNITS if low <= typical / unit <= high]
    if fitting and fitting[0] in (100, 1000):
        fitting = [unit for unit in fitting if unit in (100, 1000)]
    clear = worded and typical / 100 >= _CLEAR_PER_WORD_S
    if whole and (not fitting or (fitting[0] == 100 and not clear)):
        fitting += [unit for unit in _FRAMES if low <= typical / unit <= high]
    if len(fitting) != 1 or fitting[0] in _FRAMES:
        names = _UNITS | _FRAMES
        could = " or ".join(names[unit] for unit in fitting) or "nothing that is known"
        raise TranscriptError(
            f"{path}: as seconds its times would mean {what}, which nobody speaks; they could be "
            f"{could}; write seconds"
        )
    unit = fitting[0]
    note = (
        f"times read as {_UNITS[unit]}, since as seconds they would mean {what} (now "
        f"{typical / unit:.2g} s)"
    )
    converted = [
        e._replace(start_ms=round(e.start_ms / unit), end_ms=round(e.end_ms / unit))
        for e in entries
    ]
    return converted, [note]


def _s(ms: int) -> str:
    return f"{ms / 1000:g}"
