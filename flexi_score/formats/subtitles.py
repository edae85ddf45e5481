"""WebVTT and SubRip (``.srt``): speech from cues, words or phrases from their text.

A cue says when a phrase is on the screen, not when its words are spoken, and no time is made up
for them: as speech a cue is one stretch, as words it is one entry of several words, which all fall
into the IPU that holds the middle of the cue. Only where a WebVTT cue has time stamps between its
words (``<00:00:01.250>``) is each piece an entry of its own.
"""

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import brief, read_text
from flexi_score.formats.lanes import label
from flexi_score.formats.timed import Timed, choose_label, timed
from flexi_score.schema import SPEAKERS

_STAMP: Final = r"(?:([0-9]+):)?([0-9]{1,2}):([0-9]{1,2})[.,]([0-9]{3})"
_TIMING: Final = re.compile(rf"\s*{_STAMP}\s+-->\s+{_STAMP}(?:\s.*)?")
_INSIDE: Final = re.compile(rf"<{_STAMP}>")
_VOICE: Final = re.compile(r"<v(?:\.[^\s>]*)?(?:\s+([^>]*))?>")
_TAG: Final = re.compile(r"</?[a-z]*(?:\.[^\s>]*)?(?:\s[^>]*)?>")
_SRT_TAG: Final = re.compile(r"</?(?:b|i|u|s|font)(?:\s[^>]*)?>|\{\\[^}]*\}", re.IGNORECASE)
_PREFIX: Final = re.compile(rf"\s*\[?({'|'.join(SPEAKERS)})\]?:\s*", re.IGNORECASE)


class _Piece(NamedTuple):
    """Text of one voice within a cue: the line it stands on, the voice or "", its times."""

    place: str
    voice: str
    start: str
    end: str
    text: str


def read_subtitles(path: Path, speaker: str | None = None, *, words: bool = False) -> list[Timed]:
    """Cues of one speaker: of the voice ``<v user>``, or all, where no voices are named.

    Where every cue begins with ``user:`` or ``model:``, those are its voices.

    Raises
    ------
    TranscriptError
        For a malformed cue, or voices that leave the speaker open.
    """
    text = read_text(path, TranscriptError)
    pieces = [piece for cue in _cues(path, text, words) for piece in cue]
    prefixes = [_PREFIX.match(piece.text) for piece in pieces]
    if pieces and all(prefixes) and not any(piece.voice for piece in pieces):
        pieces = [
            piece._replace(voice=found[1], text=piece.text[found.end() :])
            for piece, found in zip(pieces, prefixes, strict=True)
            if found
        ]
    own = choose_label(path, "voices", [piece.voice for piece in pieces], speaker)
    return [
        timed(path, piece.place, piece.start, piece.end, piece.text)
        for piece, keep in zip(pieces, own, strict=True)
        if keep
    ]


def read_subtitle_words(path: Path, speaker: str | None = None) -> list[Timed]:
    """As :func:`read_subtitles`, words rather than speech."""
    return read_subtitles(path, speaker, words=True)


def webvtt_text(speech: Sequence[tuple[str, Timed]]) -> str:
    """Speakers and what they say as WebVTT, sorted by start, with voice tags.

    A blank text is written ``-``; line breaks within one become spaces.
    """
    cues = [
        f"{_stamp(entry.start_ms)} --> {_stamp(entry.end_ms)}\n"
        f"<v {html.escape(speaker, quote=False)}>{_cue_text(entry.text)}</v>\n"
        for speaker, entry in sorted(speech, key=lambda item: (item[1][:2], item[0]))
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _cue_text(text: str | None) -> str:
    return html.escape(" ".join(label(text).split("\n")), quote=False)


def _stamp(ms: int) -> str:
    hours, ms = divmod(ms, 3_600_000)
    minutes, ms = divmod(ms, 60_000)
    return f"{hours:02d}:{minutes:02d}:{ms // 1000:02d}.{ms % 1000:03d}"


def _cues(path: Path, text: str, words: bool) -> Iterator[list[_Piece]]:
    """The pieces of each cue."""
    is_vtt = text.startswith("WEBVTT")
    if not is_vtt and path.suffix.lower() == ".vtt":
        raise TranscriptError(f"{path}, line 1: found {brief(text[:20])}, expected WEBVTT")
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        begin = at
        while at < len(lines) and lines[at].strip():
            at += 1
        block = lines[begin:at]
        at += 1
        if not block or (begin == 0 and is_vtt):
            continue
        if is_vtt and re.match(r"(NOTE|STYLE|REGION)(\s|$)", block[0]):
            continue
        timing = 0 if "-->" in block[0] else 1
        place = f"line {begin + min(timing, len(block) - 1) + 1}"
        found = _TIMING.fullmatch(block[timing]) if timing < len(block) else None
        if found is None:
            shown = block[min(timing, len(block) - 1)]
            raise TranscriptError(
                f"{path}, {place}: found {brief(shown.strip())}, expected the times of a cue, as "
                "00:00:01.000 --> 00:00:02.500"
            )
        start, end = (_seconds(path, place, found.groups()[i : i + 4]) for i in (0, 4))
        content = "\n".join(block[timing + 1 :])
        if not is_vtt:
            yield [_Piece(place, "", start, end, _SRT_TAG.sub("", content).strip())]
        else:
            yield list(_voices(path, place, start, end, content, words))


def _voices(
    path: Path, place: str, start: str, end: str, content: str, words: bool
) -> Iterator[_Piece]:
    parts = _VOICE.split(content)
    voiced = list(zip(parts[1::2], parts[2::2], strict=True))
    if parts[0].strip() or not voiced:
        voiced.insert(0, ("", parts[0]))
    for voice, part in voiced:
        name = html.unescape(voice or "").strip()
        if not words:
            yield _Piece(place, name, start, end, _plain(_INSIDE.sub("", part)))
            continue
        cut = _INSIDE.split(part)
        stamps = [_seconds(path, place, cut[i : i + 4]) for i in range(1, len(cut), 5)]
        times = [start, *stamps, end]
        texts = [_plain(text) for text in cut[::5]]
        for i, text in enumerate(texts):
            if text or len(texts) == 1:
                yield _Piece(place, name, times[i], times[i + 1], text)


def _plain(text: str) -> str:
    return html.unescape(_TAG.sub("", text)).strip()


def _seconds(path: Path, place: str, fields: Sequence[str | None]) -> str:
    hours, minutes, seconds, fraction = (field or "0" for field in fields)
    if int(minutes) > 59 or int(seconds) > 59:
        raise TranscriptError(
            f"{path}, {place}: found {hours}:{minutes}:{seconds}, expected minutes and seconds "
            "below 60"
        )
    return f"{int(hours[:12]) * 3600 + int(minutes) * 60 + int(seconds)}.{fraction}"
