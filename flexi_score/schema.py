"""Names and table schemas shared by the whole package: the contract, in one place.

Times in tables are integer milliseconds, intervals are half-open ``[start_ms, end_ms)``.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

import polars as pl

#: A row of a table or of a manifest, by column.
Row: TypeAlias = dict[str, Any]
Speaker = Literal["user", "model"]
SPEAKERS: Final[tuple[Speaker, Speaker]] = ("user", "model")

Scenario = Literal[
    "turn_taking",
    "pause_handling",
    "user_interrupt",
    "model_interrupt",
    "user_backchannel",
    "model_backchannel",
    "conversation",
]
SCENARIOS: Final[tuple[Scenario, ...]] = get_args(Scenario)

#: How a score row came about. ``silent``: the model never spoke; the value is what silence earns.
STATUSES: Final = ("scored", "silent", "not_applicable", "excluded", "failed")

EVENT_KINDS: Final = (
    "ipu",
    "turn",
    "pause",
    "gap",
    "silence",
    "overlap",
    "backchannel",
    "interruption",
)


def make_schema(columns: Mapping[str, Any]) -> pl.Schema:
    """A table schema; columns of one type may share an entry: ``{"start_ms end_ms": pl.Int64}``."""
    return pl.Schema({name: kind for names, kind in columns.items() for name in names.split()})


INTERVAL: Final = pl.Struct({"start_ms": pl.Int64, "end_ms": pl.Int64})
WORD: Final = pl.Struct({"start_ms": pl.Int64, "end_ms": pl.Int64, "text": pl.String})
#: Intervals and timed words of one channel, one row each.
INTERVALS: Final = make_schema({field.name: field.dtype for field in INTERVAL.fields})
TIMED_WORDS: Final = make_schema({field.name: field.dtype for field in WORD.fields})
#: Timed words of recordings, in the recordings' own time.
WORDS: Final = make_schema({"recording": pl.String, "speaker": pl.String, **TIMED_WORDS})

#: One row per recording, as :func:`flexi_score.manifest.read_manifest` returns it. Paths are
#: absolute strings; ``metadata`` is a JSON object of the keys that the contract does not name.
RECORDINGS: Final = make_schema(
    {
        "recording": pl.String,
        "system": pl.String,
        "scenario": pl.String,
        "audio": pl.String,  # a two-channel file, or null
        "user_channel": pl.Int64,  # channel of `audio`, counted from 0
        "model_channel": pl.Int64,
        "user_audio": pl.String,  # a pair of mono files, or null
        "model_audio": pl.String,
        "user_offset_ms": pl.Int64,  # where that file starts in the recording
        "model_offset_ms": pl.Int64,
        "user_words": pl.String,  # transcript files that replace recognition, or null
        "model_words": pl.String,
        "user_speech": pl.String,  # segment files that replace detection, or null
        "model_speech": pl.String,
        "user_turn_end_ms": pl.Int64,  # annotations, null where the manifest has none
        "pause_start_ms": pl.Int64,
        "pause_end_ms": pl.Int64,
        "interrupt_start_ms": pl.Int64,
        "interrupt_end_ms": pl.Int64,
        "backchannels": pl.List(INTERVAL),
        "reference_backchannels_ms": pl.List(pl.Int64),
        "text_query": pl.String,
        "text_context": pl.String,
        "text_interrupt": pl.String,
        "text_statement": pl.String,
        "rating": pl.Float64,  # a judge's rating that came with the recording (FLEXI rating.json)
        "reference_distribution": pl.List(pl.Float64),  # of backchannels, as the release ships it
        "tools": pl.List(INTERVAL),  # when the model waited for a tool
        "stated_duration_ms": pl.Int64,  # length where there is no audio, or null
        "raw_audio": pl.String,  # encoding:rate:channels of audio without a header
        # How it is known who is on which channel: stated | option | source | assumed
        "roles": pl.String,
        # Whose the labels of transcripts and segment files are, as JSON: {"agent": "model"}
        "speakers": pl.String,
        "metadata": pl.String,
    }
)

#: Recordings that could not be used, and why: they appear in every count as ``failed``.
FAILURES: Final = pl.Schema(
    {
        "recording": pl.String,
        "system": pl.String,
        "scenario": pl.String,
        "stage": pl.String,  # manifest | audio | speech | words
        "error": pl.String,  # the class name
        "reason": pl.String,  # the message
    }
)

#: How recordings were captured: one row per check that could be made.
HEALTH: Final = pl.Schema(
    {
        "recording": pl.String,
        "check": pl.String,
        "channel": pl.String,  # user | model; null for a check of the whole recording
        "value": pl.Float64,
        "unit": pl.String,
        "threshold": pl.Float64,  # the limit crossed, or else the nearest one; null: none is set
        "verdict": pl.String,  # fine | warn | refuse
        "detail": pl.String,  # the evidence, in words
        "remedy": pl.String,  # null where the verdict is fine
    }
)

EVENTS: Final = pl.Schema(
    {
        "recording": pl.String,
        "speaker": pl.String,  # user | model | both | none
        "kind": pl.String,  # EVENT_KINDS
        "start_ms": pl.Int64,
        "end_ms": pl.Int64,
        "text": pl.String,  # the words inside (ipu, turn, backchannel, interruption)
        "n_words": pl.Int64,  # null where the recording has no words
        "n_ipus": pl.Int64,  # turn, backchannel
        "success": pl.Boolean,  # interruption: the other stopped first; turn: it took the floor
        "latency_ms": pl.Int64,  # turn: floor-transfer offset; interruption: until a stop
        "estimated": pl.Boolean,  # roles are estimates, from a one-channel file
    }
)

SCORES: Final = pl.Schema(
    {
        "recording": pl.String,
        "system": pl.String,
        "scenario": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "status": pl.String,
        "rule": pl.String,  # which rule decided, as a code
        "reason": pl.String,  # why there is no value, or the rule that decided it, in words
        "reference_ms": pl.Int64,  # the moment the rule looks from (turn end, interruption start)
        "decided_ms": pl.Int64,  # the moment that decided the value (takeover start, stop)
        "margin_s": pl.Float64,  # distance to the nearest threshold that would flip the outcome
        # annotation | detected | judge | estimated (roles of a one-channel file)
        "source": pl.String,
        "weight": pl.Float64,  # of a ratio: how much the value is per (minutes, turns); else null
    }
)

SUMMARY: Final = pl.Schema(
    {
        "system": pl.String,
        "scenario": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "n": pl.Int64,  # recordings with a value
        "numerator": pl.Float64,
        "denominator": pl.Float64,
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
        "scored": pl.Int64,
        "silent": pl.Int64,
        "not_applicable": pl.Int64,
        "excluded": pl.Int64,
        "failed": pl.Int64,
        # Outcomes no further than summary.boundary_error_s from the threshold that would flip
        # them; null where no threshold decides.
        "within_error": pl.Int64,
    }
)

#: What a judge was asked and what it answered: one row per question and repeat.
RATINGS: Final = make_schema(
    {
        "recording": pl.String,
        "system": pl.String,
        "scenario": pl.String,
        "metric": pl.String,  # tss | eds | coherence | rating | reference_backchannels
        "rubric": pl.String,
        "rubric_version": pl.String,
        "repeat": pl.Int64,  # from 0
        "model": pl.String,  # asked for; null for ratings that came with the recordings
        "question": pl.String,  # what was asked, as a JSON object
        "reply": pl.String,  # what came back, as it came; null where nothing did
        "value": pl.Float64,  # null: unscored, `problem` says why
        "positions_s": pl.List(pl.Float64),  # reference_backchannels only
        "reason": pl.String,  # the judge's own words for its value
        "status": pl.String,  # rated | missing | failed | given | pending (in a batch)
        "problem": pl.String,  # why there is no value
        "attempts": pl.Int64,  # requests made for it now; 0 where it was kept
        "key": pl.String,  # of the reply kept in the archive
        "server": pl.String,  # that replied
        "answered_by": pl.String,  # the model that it says has answered
        "fingerprint": pl.String,  # of what that model runs on, in the server's words
    }
)
