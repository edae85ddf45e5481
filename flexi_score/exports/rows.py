"""A recording as a row of a manifest again, with its exported files as speech and words."""

import json
from collections.abc import Mapping
from typing import Any, Final

from flexi_score.exports.source import Recording
from flexi_score.exports.writers import as_speech, as_words
from flexi_score.formats.files import EMBEDDED_SCHEME
from flexi_score.formats.keys import KNOWN_KEYS, TEXTS
from flexi_score.formats.roles import ASSUMED
from flexi_score.formats.spelling import nearest
from flexi_score.schema import SPEAKERS

_AUDIO: Final = ("audio", "user_audio", "model_audio")


def manifest_row(recording: Recording, files: Mapping[str, str]) -> dict[str, Any]:
    """A row that scores the recording with its exported files.

    ``files``: name of each of its files in the manifest's folder, by suffix. Returns keys of the
    manifest contract. Metadata whose key the contract would take for one of its own is left out,
    and so is audio inside a Parquet file, and that of a recording whose roles are estimates.
    Channels that were only assumed are not stated.
    """
    given = recording.row
    row: dict[str, Any] = {
        "id": recording.id,
        "system": given["system"],
        "scenario": given["scenario"],
    }
    if given.get("estimated_by") is None:
        row |= _audio(given)
    for speaker in SPEAKERS:
        speech = as_speech(files, recording, speaker)
        words = as_words(files, recording, speaker)
        row[f"{speaker}_speech"] = files[speech] if speech else given[f"{speaker}_speech"]
        row[f"{speaker}_words"] = files[words] if words else given[f"{speaker}_words"]
    row["annotations"] = _annotations(given)
    if given.get("tools") is not None:
        row["tools"] = [[span["start_ms"] / 1000, span["end_ms"] / 1000] for span in given["tools"]]
    row["raw_audio"] = given.get("raw_audio")
    row["text"] = {name: given[f"text_{name}"] for name in TEXTS}
    row |= {name: given[name] for name in ("rating", "reference_distribution")}
    if not any(key in row for key in ("audio", "user_audio")):
        row["duration"] = recording.duration_ms / 1000
    extra = json.loads(given["metadata"] or "{}")
    row |= {key: value for key, value in extra.items() if _is_own(key)}
    return _without_nulls(row)


def _audio(given: Mapping[str, Any]) -> dict[str, Any]:
    if any((given[key] or "").startswith(EMBEDDED_SCHEME) for key in _AUDIO):
        return {}
    if given["audio"] and given.get("roles") == ASSUMED:
        return {"audio": given["audio"]}
    if given["audio"]:
        channels = {s: given[f"{s}_channel"] for s in SPEAKERS}
        return {"audio": given["audio"], "channels": channels}
    if not given["user_audio"] or not given["model_audio"]:
        return {}
    row: dict[str, Any] = {}
    for speaker in SPEAKERS:
        row[f"{speaker}_audio"] = given[f"{speaker}_audio"]
        if offset := given[f"{speaker}_offset_ms"]:
            row[f"{speaker}_offset"] = offset / 1000
    return row


def _annotations(given: Mapping[str, Any]) -> dict[str, Any]:
    def seconds(ms: int | None) -> float | None:
        return None if ms is None else ms / 1000

    found: dict[str, Any] = {"user_turn_end": seconds(given["user_turn_end_ms"])}
    for name in ("pause", "interrupt"):
        start, end = given[f"{name}_start_ms"], given[f"{name}_end_ms"]
        found[name] = None if start is None else [seconds(start), seconds(end)]
    spans, times = given["backchannels"], given["reference_backchannels_ms"]
    if spans is not None:
        found["backchannels"] = [[seconds(s["start_ms"]), seconds(s["end_ms"])] for s in spans]
    if times is not None:
        found["reference_backchannels"] = [seconds(t) for t in times]
    return found


def _is_own(key: str) -> bool:
    return key not in KNOWN_KEYS and "." not in key and nearest(key, KNOWN_KEYS) is None


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        key: {k: v for k, v in value.items() if v is not None}
        if key in ("annotations", "text")
        else value
        for key, value in row.items()
        if value is not None
    }
    return {key: value for key, value in found.items() if value != {}}
