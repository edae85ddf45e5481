"""Words and speech from JSON, in the shapes that recognisers and benchmarks write.

- ``{"text", "chunks": [{"text", "timestamp": [start, end]}]}`` (FLEXI, Full-Duplex-Bench, the
  transformers pipeline)
- ``{"segments": [{"words": [{"word", "start", "end"}]}]}`` (WhisperX, faster-whisper, Whisper),
  and the list of such segments alone (``dataclasses.asdict`` of faster-whisper's)
- ``{"words": [{"word", "start", "end"}]}`` and a bare list of such words, ``text`` for ``word``,
  ``start_time``, ``end_time`` for ``start``, ``end`` (NeMo's diarized transcripts)
- ``{"timestamp": {"word": [...], "segment": [...]}}`` (NeMo's hypotheses)
- ``[{"session_id", "speaker", "start_time", "end_time", "words": "a phrase"}]`` (SegLST)
- for speech: ``{"duration", "segments": [{"start", "end"}]}``, a list of such, ``[[s, e], ...]``

JSON Lines hold one item a line: any of those above, NeMo's manifest rows (``audio_filepath``,
``offset``, ``duration``, ``text``, ``label``), or what ``flexi-score export`` writes (``kind``).

Whisper's segments without word times are speech, not words: recognise again with word times. Of
formats that have none (SegLST, NeMo's manifests), a segment is one entry of several words.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from flexi_score.errors import TranscriptError
from flexi_score.formats.delimited import KINDS, wanted_kind
from flexi_score.formats.files import (
    brief,
    decode_json,
    find_fault,
    load_json,
    name_some,
    read_text,
    scaled,
)
from flexi_score.formats.nonspeech import as_word
from flexi_score.formats.services import NO_WORDS, has_text, plain_items
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, choose_label, require_labels, split_prefixes

_EXPECTED: Final = (
    'expected {"chunks": [{"text", "timestamp": [s, e]}]}, {"segments": [...]}, {"words": [...]} '
    "or a list of {start, end, word}, in seconds"
)
#: Names of an item's start and end, and of what it belongs to; the first that it has counts.
_TIMES: Final = (("start", "end"), ("start_time", "end_time"), ("start_ms", "end_ms"))
_TEXTS: Final = ("word", "text", "words", "segment", "transcript")
_SPEAKERS: Final = (
    *("speaker", "speaker_label", "speaker_name", "speaker_id", "spk", "role", "participant"),
    *("party", "who"),
)
#: Names that mean this only where they hold a party's.
_PERHAPS: Final = ("source", "from", "sender", "author")
_CHANNELS: Final = ("channel", "channel_index")
_FILES: Final = ("audio_filepath", "session_id")


class _Item(NamedTuple):
    """One entry before its times are read: its place in the file, and the speaker it names."""

    place: str
    value: Any
    speaker: str | None
    start: Any
    end: Any
    text: str | None


def read_json_words(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """Words of one speaker of a JSON file.

    Raises
    ------
    TranscriptError
        Where it is not JSON, in no known shape, an item has no times, or the items' speakers leave
        open who is meant.
    """
    return _read(path, whose, want_words=True)


def read_json_segments(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """Speech of one speaker of a JSON file: its segments, or its words where it has words.

    Raises
    ------
    TranscriptError
        As :func:`read_json_words`.
    """
    return _read(path, whose, want_words=False)


def read_json_lines_words(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """As :func:`read_json_words`, of JSON Lines."""
    return _read_lines(path, read_text(path, TranscriptError), whose, want_words=True)


def read_json_lines_segments(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """As :func:`read_json_segments`, of JSON Lines."""
    return _read_lines(path, read_text(path, TranscriptError), whose, want_words=False)


def _read(path: Path, whose: Whose, want_words: bool) -> list[Timed]:
    text = read_text(path, TranscriptError)
    if _is_lines(text):  # NeMo calls its manifests .json
        return _read_lines(path, text, whose, want_words)
    items = list(_items(path, load_json(path, TranscriptError), want_words))
    return _entries(path, items, whose)


def _is_lines(text: str) -> bool:
    """Whether each of two or more lines is a JSON object; told from the first two."""
    lines = [line for line in text.split("\n", 2)[:2] if line.strip()]
    return len(lines) == 2 and all(
        line.rstrip().endswith("}") and line.lstrip().startswith("{") for line in lines
    )


def _read_lines(path: Path, text: str, whose: Whose, want_words: bool) -> list[Timed]:
    rows: list[tuple[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            value = decode_json(line)
        except ValueError as cause:
            reason = str(cause).replace("at line 1, column", "at column")
            raise TranscriptError(f"{path}, {where}: {reason}") from None
        if fault := find_fault(value, most_values=None):
            raise TranscriptError(f"{path}, {where}: {fault}")
        rows.append((where, value))
    kinds = {str(v.get("kind")) if isinstance(v, dict) else "" for _, v in rows}
    if kinds and kinds <= KINDS:
        wanted = wanted_kind(path, kinds, want_words)
        rows = [(where, value) for where, value in rows if value["kind"] == wanted]
        items = [_exported(path, where, value) for where, value in rows]
    elif rows and all(isinstance(v, dict) and not _is_item(v) for _, v in rows):
        # Each line a whole transcript; of several recordings, that is not for one of them.
        items = [item for _, value in rows for item in _items(path, value, want_words)]
    else:
        items = [_item(path, where, value) for where, value in rows]
    return _entries(path, items, whose)


def _exported(path: Path, where: str, row: dict[str, Any]) -> _Item:
    """A row of :func:`flexi_score.export`, in milliseconds."""
    times = [row.get("start_ms"), row.get("end_ms")]
    if not all(isinstance(t, int) and not isinstance(t, bool) for t in times):
        raise TranscriptError(
            f"{path}, {where}: found {brief(times)}, expected whole start_ms and end_ms"
        )
    start, end = (f"{t}e-3" for t in times)
    text = row.get("text") if row["kind"] == "word" else None
    text = as_word(text) if isinstance(text, str) else text
    return _Item(where, row, row.get("speaker"), start, end, text)


def _items(path: Path, content: Any, want_words: bool) -> Iterator[_Item]:
    """Entries of decoded JSON, whichever shape it has."""
    try:
        plain = plain_items(content, want_words)
    except (AttributeError, TypeError, ValueError, LookupError) as cause:
        raise TranscriptError(
            f"{path}: looks like a speech service's answer, but is not whole ({cause}); save it "
            "again"
        ) from None
    if plain is not None:
        if not plain and has_text(content):
            raise TranscriptError(
                f"{path}: has text, but no words with times where they are known to be; ask the "
                f"service for times of words, or write them otherwise: {_EXPECTED}"
            )
        content = plain
    if isinstance(content, dict):
        if isinstance(content.get("timestamp"), dict):
            content = content["timestamp"]
        if "chunks" in content:
            yield from _plain(path, "chunk", _list(path, "chunks", content["chunks"]))
        elif "segments" in content and not _words_beside(path, content):
            items = _list(path, "segments", content["segments"])
            if _worded(items) or (items and want_words):
                yield from _words_of(path, items)
            else:
                yield from _plain(path, "segment", items)
        elif "words" in content:
            yield from _plain(path, "word", _list(path, "words", content["words"]))
        elif "word" in content and isinstance(content["word"], list):
            name = "word" if want_words or "segment" not in content else "segment"
            yield from _plain(path, name, _list(path, name, content[name]))
        elif _is_item(content):
            yield from _plain(path, "item", [content])
        else:
            raise TranscriptError(f"{path}: found {brief(content)}; {_EXPECTED}")
    elif isinstance(content, list):
        yield from _words_of(path, content) if _worded(content) else _plain(path, "item", content)
    else:
        raise TranscriptError(f"{path}: found {brief(content)}; {_EXPECTED}")


def _words_beside(path: Path, content: dict[str, Any]) -> bool:
    """Whether words stand beside segments that have none of their own (OpenAI, speaches)."""
    beside = content.get("words")
    return bool(beside) and not _worded(_list(path, "segments", content["segments"]))


def _is_item(value: dict[str, Any]) -> bool:
    """Whether an object is an entry rather than a transcript."""
    known = ("start", "start_time", "start_ms", "audio_filepath")
    return isinstance(value.get("timestamp"), list) or any(name in value for name in known)


def _worded(items: Sequence[Any]) -> bool:
    return any(isinstance(i, dict) and isinstance(i.get("words"), list) for i in items)


def _list(path: Path, name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TranscriptError(f"{path}: {name}: found {brief(value)}, expected a list")
    return value


def _plain(path: Path, what: str, values: list[Any]) -> Iterator[_Item]:
    for i, value in enumerate(values):
        if not _is_no_word(value):
            yield _item(path, f"{what} {i}", value)


def _is_no_word(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("type")) in NO_WORDS


def _item(path: Path, where: str, value: Any) -> _Item:
    if isinstance(value, list) and len(value) == 2:
        return _Item(where, value, None, value[0], value[1], None)
    if not isinstance(value, dict):
        raise TranscriptError(f"{path}, {where}: found {brief(value)}; {_EXPECTED}")
    if "audio_filepath" in value:
        return _nemo_row(path, where, value)
    text = _text(path, where, value)
    span = value.get("timestamp", _span(value))
    if not isinstance(span, list) or len(span) != 2:
        raise TranscriptError(
            f"{path}, {where}: timestamp: found {brief(span)}, expected [start, end] in seconds"
        )
    shown = where if text is None else f"{where} ({brief(text)})"
    if "start_offset" in value and span == [None, None]:
        raise TranscriptError(
            f"{path}, {shown}: has start_offset and end_offset, which count frames of the model; "
            "expected start and end in seconds, as newer NeMo writes them"
        )
    if span == [None, None] and not any(name in value for pair in _TIMES for name in pair):
        raise TranscriptError(
            f"{path}, {shown}: found keys {name_some(value)}, expected start and end in seconds"
        )
    return _Item(shown, value, _speaker(value), span[0], span[1], text)


def _nemo_row(path: Path, where: str, value: dict[str, Any]) -> _Item:
    """A row of a NeMo manifest: a stretch of an audio file."""
    # To be recognised or diarized still: the row says nothing about speech.
    text = _text(path, where, value)
    who = value.get("label", _speaker(value))
    if value.get("duration") is None or who == "infer":
        raise TranscriptError(
            f"{path}, {where}: a row without a result (label {brief(who)}, duration "
            f"{brief(value.get('duration'))}); give the transcript or RTTM that NeMo made of it"
        )
    start = value.get("offset", 0) or 0
    at = timed(path, where, start, start)
    length = timed(path, f"{where}: duration", 0, value["duration"])
    return _Item(
        where,
        value,
        None if who is None else str(who),
        start,
        f"{at.start_ms + length.end_ms}e-3",
        text,
    )


def _words_of(path: Path, segments: list[Any]) -> Iterator[_Item]:
    for i, segment in enumerate(segments):
        where = f"segment {i}"
        if not isinstance(segment, dict) or not isinstance(segment.get("words"), list):
            raise TranscriptError(
                f"{path}, {where}: has no 'words'; recognise with word times (word_timestamps, or "
                "alignment)"
            )
        last: object = segment.get("start")
        for j, word in enumerate(segment["words"]):
            if _is_no_word(word):
                continue
            inner = f"{where}, word {j}"
            if not isinstance(word, dict):
                raise TranscriptError(f"{path}, {inner}: found {brief(word)}; {_EXPECTED}")
            text = _text(path, inner, word)
            start, end = _span(word)
            if start is None and end is None and "start" not in word:
                # WhisperX leaves out the times of what it cannot align, as "2014": the word
                # counts, but adds no speech, at the end of the word before it.
                start = end = last
            who = _speaker(word) or _speaker(segment)
            yield _Item(f"{inner} ({brief(text)})", word, who, start, end, text or "")
            last = end


def _entries(path: Path, items: list[_Item], whose: Whose) -> list[Timed]:
    """Entries of one speaker, with their times."""
    files = {
        str(item.value[key])
        for item in items
        for key in _FILES
        if isinstance(item.value, dict) and item.value.get(key) is not None
    }
    if len(files) > 1:
        raise TranscriptError(
            f"{path}: found recordings {name_some(sorted(files))}, expected one; split the file "
            "into one a recording"
        )
    labels = [item.speaker for item in items]
    named = [label for label in labels if label is not None]
    own = [True] * len(items)
    texts = [item.text for item in items]
    if named:
        if len(named) < len(items) and (whose.shared or any(map(whose.party_of, named))):
            where = next(item.place for item in items if item.speaker is None)
            raise TranscriptError(
                f"{path}, {where}: names no speaker, as others do "
                f"({name_some(dict.fromkeys(named))}); name it there, or leave the entry out"
            )
        own_named = iter(choose_label(path, "speakers", named, whose))
        own = [label is None or next(own_named) for label in labels]
    elif split := split_prefixes([text or "" for text in texts], whose):
        own = choose_label(path, "speakers", split[0], whose)
        texts = list(split[1])
    else:
        require_labels(path, len(items), whose, "no entry says")
    return [
        timed(path, item.place, item.start, item.end, text)
        for item, text, keep in zip(items, texts, own, strict=True)
        if keep
    ]


def _span(value: dict[str, Any]) -> list[Any]:
    for start, end in _TIMES:
        if start in value or end in value:
            times = [value.get(start), value.get(end)]
            return [scaled(t, -3) for t in times] if start == "start_ms" else times
    return [None, None]


def _text(path: Path, where: str, value: dict[str, Any]) -> str | None:
    text = next((value[name] for name in _TEXTS if value.get(name) is not None), None)
    if text is not None and not isinstance(text, str):
        raise TranscriptError(f"{path}, {where}: found {brief(text)}, expected text")
    return text


def _speaker(value: dict[str, Any]) -> str | None:
    label = next((f for name in _SPEAKERS if isinstance(f := value.get(name), str | int)), None)
    if label is not None:
        return str(label)
    channel = next((value[name] for name in _CHANNELS if value.get(name) is not None), None)
    if channel is None:
        perhaps = (str(value.get(name)) for name in _PERHAPS)
        return next((label for label in perhaps if ANYONE.party_of(label)), None)
    return f"channel {channel}" if str(channel).isdecimal() else str(channel)
