"""Words and speech from JSON, in the shapes that recognisers and benchmarks write.

- ``{"text", "chunks": [{"text", "timestamp": [start, end]}]}`` (FLEXI, Full-Duplex-Bench, the
  transformers pipeline)
- ``{"segments": [{"words": [{"word", "start", "end"}]}]}`` (WhisperX, faster-whisper, Whisper)
- ``{"words": [{"word", "start", "end"}]}`` and a bare list of such words, ``text`` for ``word``
- for speech: ``{"duration", "segments": [{"start", "end"}]}``, a list of such, ``[[s, e], ...]``
"""

from pathlib import Path
from typing import Any

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import brief, load_json
from flexi_score.formats.timed import Timed, timed
from flexi_score.schema import SPEAKERS

_EXPECTED = (
    'expected {"chunks": [{"text", "timestamp": [s, e]}]}, {"segments": [...]}, {"words": [...]} '
    "or a list of {start, end, word}, in seconds"
)


def read_json_words(path: Path, speaker: str | None = None) -> list[Timed]:
    """Words of a JSON file; items labelled with the other speaker's name are left out.

    Raises
    ------
    TranscriptError
        Where it is not JSON, in no known shape, or an item has no times.
    """
    return _read(path, speaker, want_words=True)


def read_json_segments(path: Path, speaker: str | None = None) -> list[Timed]:
    """Speech of a JSON file: its segments, or its words where it has words.

    Raises
    ------
    TranscriptError
        As :func:`read_json_words`.
    """
    return _read(path, speaker, want_words=False)


def _read(path: Path, speaker: str | None, want_words: bool) -> list[Timed]:
    content = load_json(path, TranscriptError)
    if isinstance(content, dict):
        if "chunks" in content:
            items = _items(path, "chunks", content["chunks"])
            return _plain(path, "chunk", _own(items, speaker))
        if "segments" in content:
            items = _own(_items(path, "segments", content["segments"]), speaker)
            worded = any("words" in item for item in items if isinstance(item, dict))
            if worded or (items and want_words):
                return _segments_of_words(path, items)
            return _plain(path, "segment", items)
        if "words" in content:
            items = _items(path, "words", content["words"])
            return _plain(path, "word", _own(items, speaker))
    elif isinstance(content, list):
        return _plain(path, "item", _own(content, speaker))
    raise TranscriptError(f"{path}: found {brief(content)}; {_EXPECTED}")


def _items(path: Path, name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TranscriptError(f"{path}: {name}: found {brief(value)}, expected a list")
    return value


def _own(items: list[Any], speaker: str | None) -> list[Any]:
    """Items of a speaker, where items are labelled ``user`` and ``model``; else all."""

    def label(item: Any) -> str:
        return str(item.get("speaker", "")).lower() if isinstance(item, dict) else ""

    if speaker is None or not any(label(item) in SPEAKERS for item in items):
        return items
    return [item for item in items if label(item) == speaker]


def _plain(path: Path, what: str, items: list[Any]) -> list[Timed]:
    entries = []
    for i, item in enumerate(items):
        place = f"{what} {i}"
        if isinstance(item, list) and len(item) == 2:
            entries.append(timed(path, place, item[0], item[1]))
            continue
        if not isinstance(item, dict):
            raise TranscriptError(f"{path}, {place}: found {brief(item)}; {_EXPECTED}")
        text = _text(path, place, item)
        span = item.get("timestamp", [item.get("start"), item.get("end")])
        if not isinstance(span, list) or len(span) != 2:
            raise TranscriptError(
                f"{path}, {place}: timestamp: found {brief(span)}, expected [start, end] in seconds"
            )
        shown = place if text is None else f"{place} ({brief(text)})"
        entries.append(timed(path, shown, span[0], span[1], text))
    return entries


def _segments_of_words(path: Path, segments: list[Any]) -> list[Timed]:
    entries: list[Timed] = []
    for i, segment in enumerate(segments):
        place = f"segment {i}"
        if not isinstance(segment, dict) or not isinstance(segment.get("words"), list):
            raise TranscriptError(
                f"{path}, {place}: has no 'words'; recognise with word times (word_timestamps, or "
                "alignment)"
            )
        last: object = segment.get("start")
        for j, word in enumerate(segment["words"]):
            inner = f"{place}, word {j}"
            if not isinstance(word, dict):
                raise TranscriptError(f"{path}, {inner}: found {brief(word)}; {_EXPECTED}")
            text = _text(path, inner, word)
            start, end = word.get("start"), word.get("end")
            if start is None and end is None and "start" not in word:
                # WhisperX leaves out the times of what it cannot align, as "2014": the word
                # counts, but adds no speech, at the end of the word before it.
                start = end = last
            entries.append(timed(path, f"{inner} ({brief(text)})", start, end, text or ""))
            last = end
    return entries


def _text(path: Path, place: str, item: dict[str, Any]) -> str | None:
    text = item.get("word", item.get("text"))
    if text is not None and not isinstance(text, str):
        raise TranscriptError(f"{path}, {place}: found {brief(text)}, expected text")
    return text
