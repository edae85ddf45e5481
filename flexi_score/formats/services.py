"""JSON of speech services and recognisers, brought into one shape before it is read.

Each function takes the decoded answer of one service and returns plain items (``start`` and
``end`` in seconds, ``word``, ``speaker``), or None where it is not that service's. Keys and units
follow the services' own reference pages, named at each function.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from flexi_score.formats.files import is_number, scaled

Items = list[dict[str, Any]]

_DURATION: Final = re.compile(
    r"PT(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:\.[0-9]+)?)S)?", re.IGNORECASE
)
#: Entries of these types are not words (AWS, ElevenLabs, Speechmatics).
NO_WORDS: Final = frozenset({"punctuation", "spacing", "audio_event"})

_SAID: Final = frozenset({"transcript", "text", "content", "message", "display"})


def plain_items(content: Any, want_words: bool) -> Items | None:
    """Items of a service's answer.

    Parameters
    ----------
    content : Any
        Decoded JSON.
    want_words : bool
        Words where the service gives them; else its utterances may serve.

    Returns
    -------
    list of dict, or None
        None where the shape is no service's: it is read as it stands.
    """
    artifact = content.get("artifact") if isinstance(content, dict) else None
    if isinstance(artifact, dict) and "messages" in artifact:
        content = artifact
    if isinstance(content, dict) and isinstance(content.get("transcript_object"), list):
        content = content["transcript_object"]
    readers: tuple[Callable[[Any, bool], Items | None], ...] = (
        _deepgram,
        _aws,
        _google,
        _azure,
        _azure_fast,
        _scribe_channels,
        _assemblyai,
        _whisper_cpp,
        _vosk,
        _vapi,
        _turns,
    )
    for read in readers:
        items = read(content, want_words)
        if items is not None:
            return items
    return None


def has_text(value: Any) -> bool:
    """Whether an answer holds text of what was said, at whatever depth."""
    if isinstance(value, list):
        return any(map(has_text, value))
    if not isinstance(value, dict):
        return False
    return any(
        bool(item.strip()) if isinstance(item, str) and name in _SAID else has_text(item)
        for name, item in value.items()
    )


def _deepgram(content: Any, want_words: bool) -> Items | None:
    """``results.channels[].alternatives[0].words`` (developers.deepgram.com, pre-recorded)."""
    results = content.get("results") if isinstance(content, dict) else None
    channels = results.get("channels") if isinstance(results, dict) else None
    if not isinstance(channels, list):
        return None
    several = len(channels) > 1
    items: Items = []
    for number, channel in enumerate(channels):
        for word in _first(channel).get("words") or ():
            items.append(_with(word, f"channel {number}" if several else _tag(word, "speaker")))
    return items


def _aws(content: Any, want_words: bool) -> Items | None:
    """``results.items`` (docs.aws.amazon.com/transcribe, output of batch jobs); times are text."""
    results = content.get("results") if isinstance(content, dict) else None
    items = results.get("items") if isinstance(results, dict) else None
    if not isinstance(results, dict) or not isinstance(items, list):
        return None
    if channels := (results.get("channel_labels") or {}).get("channels"):
        items = [i | {"channel_label": c["channel_label"]} for c in channels for i in c["items"]]
    speakers: dict[Any, Any] = {}
    segments = (results.get("speaker_labels") or {}).get("segments") or ()
    for segment in segments:
        for word in segment.get("items") or ():
            speakers[word.get("start_time")] = word.get("speaker_label")
    entries: Items = []
    for item in items:
        if not isinstance(item, dict) or item.get("type") in NO_WORDS:
            continue
        channel = re.fullmatch(r"ch_([0-9]+)", str(item.get("channel_label")))
        label = item.get("speaker_label", speakers.get(item.get("start_time")))
        entries.append(
            {
                "start": _number(item.get("start_time")),
                "end": _number(item.get("end_time")),
                "word": _first(item).get("content"),
                "speaker": f"channel {channel[1]}" if channel else label,
            }
        )
    return entries


def _google(content: Any, want_words: bool) -> Items | None:
    """``results[].alternatives[0].words`` (cloud.google.com/speech-to-text, v1 and v2).

    Channels are counted from 1. With speaker tags, the last result repeats all words with them.
    """
    results = content.get("results") if isinstance(content, dict) else None
    if isinstance(content, dict) and isinstance(content.get("response"), dict):
        results = content["response"].get("results")
    if not isinstance(results, list) or not all(
        isinstance(r, dict) and ("alternatives" in r or "channelTag" in r or "resultEndTime" in r)
        for r in results
    ):
        return None
    words = [
        (result, word)
        for result in results
        for word in _first(result).get("words") or ()
        if isinstance(word, dict)
    ]
    tagged = [w for _, w in words if w.get("speakerTag") or w.get("speakerLabel")]
    if tagged and len(tagged) < len(words):
        words = [({}, word) for word in tagged]
    channels = {result.get("channelTag") for result, _ in words} - {None, 0}
    items: Items = []
    for result, word in words:
        channel = result.get("channelTag")
        tag = word.get("speakerLabel") or word.get("speakerTag")
        items.append(
            {
                "start": _google_time(word, "start"),
                "end": _google_time(word, "end"),
                "word": word.get("word"),
                "speaker": f"channel {channel - 1}"
                if len(channels) > 1 and isinstance(channel, int)
                else (None if tag is None else f"speaker {tag}"),
            }
        )
    return items


def _google_time(word: dict[str, Any], side: str) -> Any:
    # Zero is left out of protocol buffers' JSON.
    value = word.get(f"{side}Time", word.get(f"{side}Offset", "0s"))
    if isinstance(value, dict):
        return f"{int(value.get('seconds', 0))}.{int(value.get('nanos', 0)):09d}"
    return value[:-1] if isinstance(value, str) and value.endswith("s") else value


def _azure(content: Any, want_words: bool) -> Items | None:
    """``recognizedPhrases[]`` (learn.microsoft.com, batch transcription): ISO durations, ticks."""
    phrases = content.get("recognizedPhrases") if isinstance(content, dict) else None
    if not isinstance(phrases, list):
        return None
    several = len({p.get("channel") for p in phrases if isinstance(p, dict)}) > 1
    items: Items = []
    for phrase in phrases:
        best = (phrase.get("nBest") or [{}])[0]
        who = f"channel {phrase.get('channel')}" if several else _tag(phrase, "speaker")
        words = best.get("words") or best.get("displayWords") or ()
        for entry in words if words else (phrase,):
            start, length = _ticks(entry, "offset"), _ticks(entry, "duration")
            items.append(
                {
                    "start": start,
                    "end": None if start is None or length is None else _sum(start, length),
                    "word": entry.get("word", entry.get("displayText", best.get("display"))),
                    "speaker": who,
                }
            )
    return items


def _azure_fast(content: Any, want_words: bool) -> Items | None:
    """``phrases[]`` with milliseconds (learn.microsoft.com, fast transcription)."""
    phrases = content.get("phrases") if isinstance(content, dict) else None
    if not isinstance(phrases, list) or "durationMilliseconds" not in content:
        return None
    several = len({p.get("channel") for p in phrases}) > 1
    items: Items = []
    for phrase in phrases:
        who = f"channel {phrase.get('channel')}" if several else _tag(phrase, "speaker")
        for entry in phrase.get("words") or (phrase,):
            start = scaled(entry.get("offsetMilliseconds"), -3)
            length = scaled(entry.get("durationMilliseconds"), -3)
            items.append(
                {
                    "start": start,
                    "end": None if start is None or length is None else _sum(start, length),
                    "word": entry.get("text"),
                    "speaker": who,
                }
            )
    return items


def _scribe_channels(content: Any, want_words: bool) -> Items | None:
    """``transcripts[]``, one a channel (elevenlabs.io, speech to text of several channels)."""
    transcripts = content.get("transcripts") if isinstance(content, dict) else None
    if not isinstance(transcripts, list) or not all("words" in t for t in transcripts):
        return None
    return [
        _with(word, f"channel {transcript.get('channel_index') or number}", "text")
        for number, transcript in enumerate(transcripts)
        for word in transcript["words"]
        if word.get("type") not in NO_WORDS
    ]


def _assemblyai(content: Any, want_words: bool) -> Items | None:
    """``words[]`` in milliseconds (assemblyai.com/docs, transcripts); channels count from 1."""
    words = content.get("words") if isinstance(content, dict) else None
    if not isinstance(words, list) or not {"audio_duration", "audio_channels"} & set(content):
        return None
    if not all(float(word[side]).is_integer() for word in words for side in ("start", "end")):
        return None  # somebody's seconds
    return [
        {
            "start": scaled(word["start"], -3),
            "end": scaled(word["end"], -3),
            "word": word["text"],
            "speaker": word.get("speaker")
            if word.get("channel") is None
            else f"channel {int(word['channel']) - 1}",
        }
        for word in words
    ]


def _whisper_cpp(content: Any, want_words: bool) -> Items | None:
    """``transcription[]`` with ``offsets`` in milliseconds (ggml-org/whisper.cpp, -oj and -ojf).

    Tokens that do not begin with a space go on with the word before them.
    """
    segments = content.get("transcription") if isinstance(content, dict) else None
    if not isinstance(segments, list):
        return None
    items: Items = []
    for segment in segments:
        tokens = [
            t for t in segment.get("tokens") or () if not str(t.get("text", "")).startswith("[_")
        ]
        for number, entry in enumerate(tokens if want_words and tokens else [segment]):
            offsets = entry.get("offsets") or {}
            text = entry["text"]
            if not isinstance(text, str):
                raise TypeError(f"text: found {text!r}")
            end = scaled(offsets.get("to"), -3)
            if tokens and want_words and number and not text.startswith(" "):
                items[-1] |= {"word": items[-1]["word"] + text, "end": end}
            elif text.strip():
                items.append(
                    {"start": scaled(offsets.get("from"), -3), "end": end, "word": text.strip()}
                )
    return items


def _vosk(content: Any, want_words: bool) -> Items | None:
    """``result[]`` of one answer, or of a list of them (alphacep/vosk-api, SetWords)."""
    answers = content if isinstance(content, list) else [content]
    if not answers or not all(isinstance(a, dict) and "text" in a for a in answers):
        return None
    if not all(isinstance(a.get("result", []), list) for a in answers):
        return None
    if not any("result" in a for a in answers) or any("start" in a for a in answers):
        return None
    return [_with(word, None) for answer in answers for word in answer.get("result", ())]


def _vapi(content: Any, want_words: bool) -> Items | None:
    """``messages[]`` of a call (docs.vapi.ai): ``secondsFromStart``, and ``endTime`` - ``time`` in
    milliseconds; ``duration`` leaves out pauses within a message."""
    messages = content.get("messages") if isinstance(content, dict) else None
    if not isinstance(messages, list):
        return None
    said = [m for m in messages if m.get("role") in ("bot", "assistant", "user")]
    if not said or not all("secondsFromStart" in m for m in said):
        return None
    return [
        {
            "start": str(message["secondsFromStart"]),
            "end": _sum(
                str(message["secondsFromStart"]),
                f"{float(message['endTime']) - float(message['time'])}e-3",
            ),
            "word": message.get("message"),
            "speaker": message["role"],
        }
        for message in said
    ]


def vapi_tools(content: Any) -> list[list[float]]:
    """Calls of tools in ``messages[]``: from the call to its result, seconds from the start."""
    messages = content.get("messages") if isinstance(content, dict) else None
    called: dict[str, float] = {}
    spans = []
    for message in messages if isinstance(messages, list) else ():
        at = message.get("secondsFromStart") if isinstance(message, dict) else None
        if not is_number(at):
            continue
        for call in message.get("toolCalls") or ():
            called[str(call.get("id"))] = at
        if (name := str(message.get("toolCallId"))) in called and at >= called[name]:
            spans.append([called.pop(name), at])
    return spans


def _turns(content: Any, want_words: bool) -> Items | None:
    """Turns with a role and words (docs.retellai.com, ``transcript_object``), times in seconds."""
    turns = content if isinstance(content, list) else None
    if not turns or not all(isinstance(t, dict) and "role" in t for t in turns):
        return None
    if not any(isinstance(t.get("words"), list) for t in turns):
        return None
    return [
        _with(word, turn["role"], "word" if "word" in word else "text")
        for turn in turns
        for word in turn.get("words") or ()
    ]


def _first(holder: Any) -> dict[str, Any]:
    """The best of the alternatives."""
    alternatives = holder.get("alternatives") if isinstance(holder, dict) else None
    return (
        alternatives[0]
        if isinstance(alternatives, list) and alternatives and isinstance(alternatives[0], dict)
        else {}
    )


def _with(word: Any, speaker: Any, text: str = "word") -> dict[str, Any]:
    value = dict(word) if isinstance(word, dict) else {}
    return {
        "start": value.get("start"),
        "end": value.get("end"),
        "word": value.get(text, value.get("punctuated_word")),
        "speaker": speaker,
    }


def _tag(value: dict[str, Any], name: str) -> str | None:
    return None if value.get(name) is None else f"speaker {value[name]}"


def _number(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _ticks(entry: dict[str, Any], name: str) -> str | None:
    value = entry.get(f"{name}InTicks")
    if value is not None:
        return str(scaled(value, -7))
    match = _DURATION.fullmatch(str(entry.get(name)))
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return f"{hours * 3600 + minutes * 60 + seconds:.7f}"


def _sum(start: str, length: str) -> str:
    return f"{float(start) + float(length):.7f}"
