"""Lhotse manifests of a run: ``recordings.jsonl.gz`` and ``supervisions.jsonl.gz``.

Written after the manifests that lhotse 1.33 writes itself; lhotse is not needed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from flexi_score.audio.decode import AudioInfo, probe
from flexi_score.errors import AudioError
from flexi_score.exports.source import Recording
from flexi_score.exports.writers import json_line
from flexi_score.formats.files import brief
from flexi_score.schema import SPEAKERS, Row, Speaker


class Location(NamedTuple):
    """Where a speaker's speech is: a recording of lhotse's, its channel, where it starts."""

    recording: str
    channel: int
    offset_ms: int


def lhotse_lines(recording: Recording, aside: Mapping[str, Path]) -> tuple[str, str, str | None]:
    """Lines of both manifests, and why there is no recording, where there is none.

    A pair of mono files that start together and are equally long is one recording of two sources;
    any other pair is two recordings, ``NAME-user`` and ``NAME-model``, whose supervisions count
    from their own start. Supervisions are IPUs, ids are the names of files, and ``custom`` of a
    supervision has the recording's own id (lhotse's recordings have no such place). Words are
    those of the nearest IPU; of a speaker without any IPU there are no supervisions, nor words.
    ``aside``: where audio files are that are not in their place yet.
    """
    try:
        recordings, locations = _recordings(recording, aside)
        problem = None
    except (AudioError, OSError) as error:
        recordings, problem = [], str(error)
        locations = {s: Location(recording.name, i, 0) for i, s in enumerate(SPEAKERS)}
    return (
        "".join(json_line(row) for row in recordings),
        "".join(
            json_line(row) for s in SPEAKERS for row in _supervisions(recording, s, locations[s])
        ),
        problem,
    )


def _recordings(
    recording: Recording, aside: Mapping[str, Path]
) -> tuple[list[Row], dict[Speaker, Location]]:
    row, name = recording.row, recording.name
    if row["audio"]:
        audio = _probe(row["audio"], aside)
        sources = [_source(audio, list(range(audio.n_channels)))]
        locations = {s: Location(name, int(row[f"{s}_channel"] or 0), 0) for s in SPEAKERS}
        return [_recording(name, sources, audio)], locations
    if not row["user_audio"] or not row["model_audio"]:
        raise AudioError(f"recording {brief(recording.id)} (it has no audio)")
    pair = {s: _probe(row[f"{s}_audio"], aside) for s in SPEAKERS}
    offsets = {s: int(row[f"{s}_offset_ms"] or 0) for s in SPEAKERS}
    user, model = (pair[s] for s in SPEAKERS)
    alike = _format(user) == _format(model)
    if not any(offsets.values()) and alike and user.n_channels == 1:
        sources = [_source(pair[s], [i]) for i, s in enumerate(SPEAKERS)]
        locations = {s: Location(name, i, 0) for i, s in enumerate(SPEAKERS)}
        return [_recording(name, sources, user)], locations
    rows = [
        _recording(f"{name}-{s}", [_source(pair[s], list(range(pair[s].n_channels)))], pair[s])
        for s in SPEAKERS
    ]
    return rows, {s: Location(f"{name}-{s}", 0, offsets[s]) for s in SPEAKERS}


def _probe(path: str, aside: Mapping[str, Path]) -> AudioInfo:
    info = replace(probe(str(aside.get(path, path))), path=path)
    if info.n_frames is None:
        raise AudioError(f"{path}: does not say how long it is; write it to a file again")
    return info


def _format(info: AudioInfo) -> tuple[int, int, int | None]:
    return info.n_channels, info.sample_rate_hz, info.n_frames


def _source(audio: AudioInfo, channels: list[int]) -> Row:
    return {"type": "file", "channels": channels, "source": audio.path}


def _recording(name: str, sources: list[Row], audio: AudioInfo) -> Row:
    n_samples = audio.n_frames or 0
    return {
        "id": name,
        "sources": sources,
        "sampling_rate": audio.sample_rate_hz,
        "num_samples": n_samples,
        "duration": n_samples / audio.sample_rate_hz,
        "channel_ids": sorted(channel for source in sources for channel in source["channels"]),
    }


def _supervisions(recording: Recording, speaker: Speaker, location: Location) -> Iterator[Row]:
    words = recording.words[speaker]
    at = 0
    ipus = recording.spans("ipu", speaker)
    for i, (start, end, text, *_) in enumerate(ipus):
        row = {
            "id": f"{recording.name}-{speaker}-{i}",
            "recording_id": location.recording,
            "start": (start - location.offset_ms) / 1000,
            "duration": (end - start) / 1000,
            "channel": location.channel,
            "speaker": speaker,
            "custom": {
                "recording": recording.id,
                "system": recording.row["system"],
                "scenario": recording.row["scenario"],
            },
        }
        if text is not None:
            row["text"] = text
        if words is not None:
            # Each word once: with the IPU nearest to its middle.
            inside = []
            until = (end + ipus[i + 1].start_ms) / 2 if i + 1 < len(ipus) else float("inf")
            while at < len(words) and (words[at].start_ms + words[at].end_ms) / 2 < until:
                word = words[at]
                inside.append(
                    [
                        word.text or "",
                        (word.start_ms - location.offset_ms) / 1000,
                        (word.end_ms - word.start_ms) / 1000,
                        None,
                    ]
                )
                at += 1
            row["alignment"] = {"word": inside}
        yield row
