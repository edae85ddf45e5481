"""When the model of EVA waited for tools, from the logs beside a conversation's audio.

``audit_log.json`` has calls and answers in milliseconds since 1970; the audio has a clock of its
own. The two are tied by the first sound of each track and the first ``audio_start`` of each party
in ``user_simulator_events.jsonl`` (or ``elevenlabs_events.jsonl``). Where the parties put the start
of the audio at different times, nothing is guessed.
"""

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from flexi_score.errors import RowError
from flexi_score.formats.files import decode_json, is_number, load_json, read_text

_EVENTS: Final = ("user_simulator_events.jsonl", "elevenlabs_events.jsonl")
_PARTY: Final = {
    "simulated_user": "user",
    "elevenlabs_user": "user",
    "assistant": "assistant",
    "pipecat_agent": "assistant",
    "framework_agent": "assistant",
}
#: The parties may put the start of the audio this far apart.
_APART_S: Final = 0.5
#: A sample above this (of 32768) is sound.
_SOUND: Final = 100


def tool_spans(folder: Path, names: list[str]) -> tuple[list[list[float]], str | None]:
    """Calls of tools in seconds of the audio, and why there are none although some were made.

    Parameters
    ----------
    folder : Path
        Folder of a conversation.
    names : list of str
        Its files.

    Raises
    ------
    RowError
        Where a log cannot be read.
    """
    if "audit_log.json" not in names:
        return [], None
    calls = list(_calls(load_json(folder / "audit_log.json", RowError)))
    if not calls:
        return [], None
    log = next((name for name in _EVENTS if name in names), None)
    starts = {} if log is None else _starts(folder, folder / log)
    if len(starts) < 2:
        return [], "no log of audio_start and sound of both parties ties its clock to the audio's"
    (user, assistant) = (starts[party] for party in ("user", "assistant"))
    if abs(user - assistant) > _APART_S:
        return [], (
            f"by the user the audio starts {abs(user - assistant):.1f} s "
            f"{'after' if user > assistant else 'before'} where it does by the assistant"
        )
    zero = (user + assistant) / 2
    spans = [[round(max(t - zero, 0), 3) for t in call] for call in calls]
    # A call whose answer has the same millisecond was made all the same.
    return [[start, max(end, round(start + 0.001, 3))] for start, end in spans], None


def _calls(content: Any) -> Iterator[tuple[float, float]]:
    """Start and end of each call that was answered, in seconds since 1970."""
    entries = content.get("transcript") if isinstance(content, dict) else None
    called: dict[str, float] = {}
    for entry in entries if isinstance(entries, list) else ():
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(value, dict) or not str(entry.get("timestamp")).isdecimal():
            continue
        name, at = str(value.get("tool")), int(entry["timestamp"]) / 1000
        if entry.get("message_type") == "tool_call":
            called.setdefault(name, at)
        elif entry.get("message_type") == "tool_response" and called.get(name, at + 1) <= at:
            yield called.pop(name), at


def _starts(folder: Path, log: Path) -> dict[str, float]:
    """When the audio starts (s since 1970) by each party: its first event less its first sound."""
    events: dict[str, float] = {}
    for line in read_text(log, RowError).split("\n"):
        try:
            event = decode_json(line) if line.strip() else {}
        except ValueError as cause:
            raise RowError(f"{log}: {cause}") from None
        party = _PARTY.get(str(event.get("user"))) if isinstance(event, dict) else None
        if party is None or event.get("event_type") != "audio_start":
            continue
        at = event.get("audio_timestamp")
        if is_number(at):
            events.setdefault(party, at)
    sounds = {party: _first_sound_s(folder / f"audio_{party}.wav") for party in events}
    return {party: events[party] - at for party, at in sounds.items() if at is not None}


def _first_sound_s(path: Path) -> float | None:
    """When the first sound of a 16-bit WAV file is; None where there is none, or no such file."""
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                return None
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            rate_hz = file.getframerate() * file.getnchannels()
    except (OSError, EOFError, wave.Error):
        return None
    loud = np.abs(samples.astype(np.int32)) > _SOUND
    return float(np.argmax(loud)) / rate_hz if loud.any() else None
