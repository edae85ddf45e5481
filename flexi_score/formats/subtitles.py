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
from flexi_score.formats.files import brief, name_some, read_text
from flexi_score.formats.lanes import label
from flexi_score.formats.nonspeech import are_speech, as_word
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, choose_label, require_labels, split_prefixes

_STAMP: Final = r"(?:([0-9]+):)?([0-9]{1,2}):([0-9]{1,2})[.,]([0-9]{3})"
#: Settings may follow the times (``align:start``), nothing else.
_TIMING: Final = re.compile(rf"\s*{_STAMP}\s+-->\s+{_STAMP}(?:\s+\w+:\S+)*\s*")
_INSIDE: Final = re.compile(rf"<{_STAMP}>")
_VOICE: Final = re.compile(r"<v(?:\.[^\s>]*)?(?:\s+([^>]*))?>")
_TAG: Final = re.compile(r"</?[a-z]*(?:\.[^\s>]*)?(?:\s[^>]*)?>")
_SRT_TAG: Final = re.compile(r"</?(?:b|i|u|s|font)(?:\s[^>]*)?>|\{\\[^}]*\}", re.IGNORECASE)
#: What looks like the time line of a cue but is none: damaged, or cut short.
_LIKE_TIMING: Final = re.compile(r"\s*[0-9]+:[0-9]{2}(:[0-9]{2}[.,]|\.[0-9]{3}).*")
_COMMENT: Final = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")


class _Piece(NamedTuple):
    """Text of one voice within a cue: the line it stands on, the voice or "", its times."""

    place: str
    voice: str
    start: str
    end: str
    text: str


def read_subtitles(path: Path, whose: Whose = ANYONE, *, words: bool = False) -> list[Timed]:
    """Cues of one party: of its voice ``<v user>``, or all, where no voices are named.

    Where cues begin with a name and a colon (``Agent: hello``), those are the voices.

    Raises
    ------
    TranscriptError
        For a malformed cue, or voices that leave open who is meant.
    """
    text = read_text(path, TranscriptError)
    pieces = [
        piece for cue in _without_repeats(_cues(path, text)) for piece in _split(path, cue, words)
    ]
    speech = are_speech(path, [piece.text for piece in pieces])
    pieces = [p for p, keep in zip(pieces, speech, strict=True) if keep and p.text]
    if not any(piece.voice for piece in pieces):
        split = split_prefixes([piece.text for piece in pieces], whose)
        if split is None:
            require_labels(path, len(pieces), whose, "no cue says")
            return [timed(path, p.place, p.start, p.end, p.text) for p in pieces]
        _refuse_two_in_one(path, pieces, whose)
        pieces = [
            piece._replace(voice=voice, text=rest)
            for piece, voice, rest in zip(pieces, *split, strict=True)
        ]
    own = choose_label(path, "voices", [piece.voice for piece in pieces], whose)
    return [
        timed(path, piece.place, piece.start, piece.end, piece.text)
        for piece, keep in zip(pieces, own, strict=True)
        if keep
    ]


def read_subtitle_words(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """As :func:`read_subtitles`, words rather than speech."""
    return read_subtitles(path, whose, words=True)


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
    return html.escape(as_word(" ".join(label(text).split("\n"))), quote=False)


def _stamp(ms: int) -> str:
    hours, ms = divmod(ms, 3_600_000)
    minutes, ms = divmod(ms, 60_000)
    return f"{hours:02d}:{minutes:02d}:{ms // 1000:02d}.{ms % 1000:03d}"


class _Cue(NamedTuple):
    """A cue as it stands in its file: its line, its times (s, as text), its lines of text."""

    place: str
    start: str
    end: str
    lines: list[str]
    is_vtt: bool


def _cues(path: Path, text: str) -> list[_Cue]:
    """All cues, by their time lines: blank lines between them may be missing, or be text."""
    is_vtt = text.startswith("WEBVTT")
    if not is_vtt and path.suffix.lower() == ".vtt":
        raise TranscriptError(f"{path}, line 1: found {brief(text[:20])}, expected WEBVTT")
    cues: list[_Cue] = []
    comment = is_vtt  # the header goes to the first empty line, like a comment
    lines = text.split("\n")
    for at, line in enumerate(lines):
        timing = _TIMING.fullmatch(line)
        if timing:
            where = f"line {at + 1}"
            start, end = (_seconds(path, where, timing.groups()[i : i + 4]) for i in (0, 4))
            _drop_number(path, lines, at, cues, is_vtt)
            cues.append(_Cue(where, start, end, [], is_vtt))
            comment = False
        elif is_vtt and (at == 0 or not lines[at - 1]) and _COMMENT.match(line):
            comment = True
        elif not line:
            comment = False
        elif "-->" in line or (not comment and _LIKE_TIMING.fullmatch(line)):
            raise _no_times(path, at, line)
        elif not comment and cues and not _number_alone(lines, at, is_vtt):
            cues[-1].lines.append(line)
        elif not comment and line.strip() and not _is_number(lines, at, is_vtt):
            raise _no_times(path, at, line)
    if cues and _TIMING.fullmatch(text.rstrip().rpartition("\n")[2]):
        raise TranscriptError(
            f"{path}, {cues[-1].place}: the file ends after the times of a cue, expected its text; "
            "is it cut short?"
        )
    return cues


def _no_times(path: Path, at: int, line: str) -> TranscriptError:
    return TranscriptError(
        f"{path}, line {at + 1}: found {brief(line.strip())}, expected the times of a cue, as "
        "00:00:01.000 --> 00:00:02.500"
    )


def _number_alone(lines: Sequence[str], at: int, is_vtt: bool) -> bool:
    """Whether a line is the number of a SubRip cue that has no times after it."""
    numbered = not is_vtt and lines[at].strip().isdecimal() and not lines[at - 1].strip()
    return numbered and not (at + 1 < len(lines) and "-->" in lines[at + 1])


def _is_number(lines: Sequence[str], at: int, is_vtt: bool) -> bool:
    """Whether a line is the number, or in WebVTT the name, of the cue whose times follow it."""
    follows = at + 1 < len(lines) and "-->" in lines[at + 1]
    return follows and (is_vtt or lines[at].strip().isdecimal())


def _drop_number(
    path: Path, lines: Sequence[str], at: int, cues: Sequence[_Cue], is_vtt: bool
) -> None:
    """Take the number of a cue off the text of the one before it; in SubRip it has to be one."""
    if not at or not lines[at - 1].strip():
        return
    number = lines[at - 1].strip()
    blank = at < 2 or not lines[at - 2].strip()
    if not number.isdecimal() and not is_vtt and blank:
        raise TranscriptError(
            f"{path}, line {at}: found {brief(number)}, expected the number of a cue"
        )
    if cues and cues[-1].lines and (number.isdecimal() or (is_vtt and blank)):
        cues[-1].lines.pop()


def _without_repeats(cues: list[_Cue]) -> list[_Cue]:
    """Cues without the lines that only stay on the screen from the cue before.

    Captions that roll (YouTube's) repeat their last line above each new one, and alone for 10 ms
    in between.
    """
    rolling = any(_INSIDE.search(line) for cue in cues for line in cue.lines)
    if not rolling:
        return cues
    fresh, shown = [], ""
    for cue in cues:
        plain = [_plain(_INSIDE.sub("", line)) for line in cue.lines]
        said = [line for line, text in zip(cue.lines, plain, strict=True) if text]
        texts = [text for text in plain if text]
        if texts and texts[0] == shown:
            said = said[1:]
        if texts:
            shown = texts[-1]
        if said:
            fresh.append(cue._replace(lines=said))
    return fresh


def _split(path: Path, cue: _Cue, words: bool) -> Iterator[_Piece]:
    content = "\n".join(cue.lines)
    if cue.is_vtt:
        yield from _voices(path, cue.place, cue.start, cue.end, content, words)
    else:
        yield _Piece(cue.place, "", cue.start, cue.end, _SRT_TAG.sub("", content).strip())


def _refuse_two_in_one(path: Path, pieces: Sequence[_Piece], whose: Whose) -> None:
    for piece in pieces:
        prefixes = split_prefixes(piece.text.split("\n"), whose)
        if prefixes and len({whose.party_of(name) for name in prefixes[0]} - {None}) > 1:
            raise TranscriptError(
                f"{path}, {piece.place}: one cue has {name_some(prefixes[0])}, so it is open when "
                "each speaks; give each a cue of its own"
            )


def _voices(
    path: Path, where: str, start: str, end: str, content: str, words: bool
) -> Iterator[_Piece]:
    parts = _VOICE.split(content)
    voiced = list(zip(parts[1::2], parts[2::2], strict=True))
    if parts[0].strip() or not voiced:
        voiced.insert(0, ("", parts[0]))
    for voice, part in voiced:
        name = html.unescape(voice or "").strip()
        if not words:
            yield _Piece(where, name, start, end, _plain(_INSIDE.sub("", part)))
            continue
        cut = _INSIDE.split(part)
        stamps = [_seconds(path, where, cut[i : i + 4]) for i in range(1, len(cut), 5)]
        times = [start, *stamps, end]
        texts = [_plain(text) for text in cut[::5]]
        for i, text in enumerate(texts):
            if text or len(texts) == 1:
                yield _Piece(where, name, times[i], times[i + 1], text)


def _plain(text: str) -> str:
    return html.unescape(_TAG.sub("", text)).strip()


def _seconds(path: Path, where: str, fields: Sequence[str | None]) -> str:
    hours, minutes, seconds, fraction = (field or "0" for field in fields)
    if int(minutes) > 59 or int(seconds) > 59:
        raise TranscriptError(
            f"{path}, {where}: found {hours}:{minutes}:{seconds}, expected minutes and seconds "
            "below 60"
        )
    return f"{int(hours[:12]) * 3600 + int(minutes) * 60 + int(seconds)}.{fraction}"
