"""A recording as lanes (tiers) and as rows of a table."""

from collections.abc import Iterator
from typing import Final

from flexi_score.exports.source import Recording
from flexi_score.formats.lanes import Lane
from flexi_score.formats.timed import Timed
from flexi_score.schema import SPEAKERS, Row

#: Lanes of each speaker after speech and words, and of the conversation.
_OF_SPEAKER: Final = {
    "turns": "turn",
    "pauses": "pause",
    "backchannels": "backchannel",
    "interruptions": "interruption",
}
_OF_BOTH: Final = {
    "gaps": ("gap", "none"),
    "overlaps": ("overlap", "both"),
    "silences": ("silence", "none"),
}

#: Columns of the tables; times are integer milliseconds.
COLUMNS: Final = (
    "recording",
    "speaker",
    "kind",
    "start_ms",
    "end_ms",
    "text",
    "name",
    "n_words",
    "n_ipus",
    "success",
    "latency_ms",
    "estimated",
    "value",
    "status",
)
_OF_EVENT: Final = tuple(
    name for name in COLUMNS if name not in ("recording", "name", "value", "status")
)


def lanes(recording: Recording) -> list[Lane]:
    """All lanes of a recording.

    ``user`` and ``model`` hold the IPUs with their words, ``user words`` each word alone; then
    come turns, pauses, backchannels and interruptions of each speaker, and gaps, overlaps and
    silences. ``annotations`` are the manifest's, ``moments`` those that scores look from and that
    decided them; both are there only where there are any, as are words.
    """
    all_lanes: list[Lane] = []
    for speaker in SPEAKERS:
        if not recording.is_known(speaker):
            continue
        all_lanes.append(Lane(speaker, recording.spans("ipu", speaker)))
        words = recording.words[speaker]
        if words is not None:
            all_lanes.append(Lane(f"{speaker} words", words))
    for name, kind in _OF_SPEAKER.items():
        for speaker in SPEAKERS:
            if recording.is_known(speaker):
                entries = [
                    _named(e)
                    for e in recording.events
                    if e["kind"] == kind and e["speaker"] == speaker
                ]
                all_lanes.append(Lane(f"{speaker} {name}", entries))
    for name, (kind, speaker_) in _OF_BOTH.items():
        entries = [e._replace(text=kind) for e in recording.spans(kind, speaker_)]
        all_lanes.append(Lane(name, entries))
    for name, entries in (("annotations", annotations(recording)), ("moments", moments(recording))):
        if entries:
            all_lanes.append(Lane(name, entries))
    return all_lanes


def annotations(recording: Recording) -> list[Timed]:
    """What the manifest says of the recording, each entry named after its key."""
    row, entries = recording.row, []
    if row["user_turn_end_ms"] is not None:
        entries.append(Timed(row["user_turn_end_ms"], row["user_turn_end_ms"], "user_turn_end"))
    for name in ("pause", "interrupt"):
        if row[f"{name}_start_ms"] is not None:
            entries.append(Timed(row[f"{name}_start_ms"], row[f"{name}_end_ms"], name))
    for span in row["backchannels"] or ():
        entries.append(Timed(span["start_ms"], span["end_ms"], "backchannel"))
    for at in row["reference_backchannels_ms"] or ():
        entries.append(Timed(at, at, "reference_backchannel"))
    return sorted(entries)


def moments(recording: Recording) -> list[Timed]:
    """Moments that scores look from and that decided them, one entry a distinct moment."""
    metrics_at: dict[int, list[str]] = {}
    for row, kind, at in _moments(recording):
        metrics_at.setdefault(at, []).append(f"{row['metric']} {kind}")
    return [
        Timed(at, at, "; ".join(dict.fromkeys(names))) for at, names in sorted(metrics_at.items())
    ]


def _moments(recording: Recording) -> Iterator[tuple[Row, str, int]]:
    for row in recording.scores:
        if row["reference_ms"] is not None:
            yield row, "reference", row["reference_ms"]
        # What was not scored decided nothing.
        if row["decided_ms"] is not None and row["value"] is not None:
            yield row, "decided", row["decided_ms"]


def rows(recording: Recording) -> list[Row]:
    """Events, words, annotations and moments as rows of :data:`COLUMNS`, sorted by start."""
    table = [{name: event[name] for name in _OF_EVENT} for event in recording.events]
    for speaker in SPEAKERS:
        table += [
            _row("word", speaker, entry, text=entry.text or "")
            for entry in recording.words[speaker] or ()
        ]
    table += [_row("annotation", None, entry, name=entry.text) for entry in annotations(recording)]
    for score, kind, at in _moments(recording):
        table.append(
            _row(
                "moment",
                None,
                Timed(at, at),
                name=f"{score['metric']} {kind}",
                text=score["reason"],
                value=score["value"],
                status=score["status"],
            )
        )
    table.sort(key=lambda row: (row["start_ms"], row["end_ms"]))
    return [dict.fromkeys(COLUMNS) | row | {"recording": recording.id} for row in table]


def _row(kind: str, speaker: str | None, entry: Timed, **more: object) -> Row:
    times = {"start_ms": entry.start_ms, "end_ms": entry.end_ms}
    return {"kind": kind, "speaker": speaker} | times | more


def _named(event: Row) -> Timed:
    """An event, labelled with its words, or else with its kind; interruptions with both."""
    text = event["text"]
    if event["kind"] == "interruption":
        outcome = "successful" if event["success"] else "unsuccessful"
        text = f"{outcome}: {text}" if text else outcome
    return Timed(event["start_ms"], event["end_ms"], text or event["kind"])
