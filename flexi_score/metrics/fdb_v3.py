"""Full-Duplex-Bench v3: how long a user waits for a tool to be called, and for what it found.

The benchmark asks an LLM where in the answer the key information is. Here timing tells: what the
model says once its last tool has returned is taken for it, so that what it said while it waited
("one moment") is not.
"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.metrics.release import common as c
from flexi_score.segment.tracks import Floats, Ints, Tracks

TEXT: Final = """
    tool_latency | Tool latency | mean | down | s
      start of the model's first tool (manifest key tools) minus the user's turn end; negative where
      the model calls it before
      source: Full-Duplex-Bench v3, README, tool call latency
      null: no annotated turn end, no tools, or the model speaks before the turn ends

    task_latency | Task latency | mean | down | s
      start of the first model word from the end of its last tool on minus the user's turn end
      source: Full-Duplex-Bench v3, README, task completion latency (an LLM finds the word there)
      null: as of tool_latency, or no transcript, or no word after the last tool
"""


def tool_rows(tracks: Tracks, rec: Ints, end_s: Floats) -> list[pl.DataFrame]:
    """Score rows ``tool_latency`` and ``task_latency``.

    ``end_s``: annotated end of each user's turn (shape (k,), NaN for none).
    """
    tools = tracks.recordings["tools"].gather(rec).list

    def edge(name: str, last: bool) -> Floats:
        times = tools.eval(pl.element().struct.field(name)).list
        edge_s = (times.max() if last else times.min()).cast(pl.Float64) / 1000
        return np.asarray(edge_s.to_numpy(), np.float64)

    called, returned = edge("start_ms", last=False), edge("end_ms", last=True)
    words = c.runs_of(tracks.model_words, rec)
    first = c.take(words.start, words.first)
    known = c.take(words.start, c.first_where(words, words.start >= returned[words.owner]))
    common = (
        c.no_annotation(np.isnan(end_s), "turn end"),
        c.not_applicable(np.isnan(called), "no_tools", "no tools of the model are known"),
        c.not_applicable(
            first < end_s, "interrupts", "the model speaks at {first} s, before the turn ends"
        ),
    )
    facts = {"first": first, "end": end_s, "called": called, "returned": returned, "told": known}
    tool = c.scored(True, "timed", "first tool at {called} s, turn end at {end} s", called - end_s)
    task = (
        *c.no_transcript(tracks, rec, "model"),
        c.not_applicable(
            np.isnan(known), "untold", "the model says no word once its tools have returned"
        ),
        c.scored(
            True,
            "timed",
            "last tool returns at {returned} s, next word at {told} s, turn end at {end} s",
            known - end_s,
        ),
    )
    return [
        c.decide(
            tracks,
            rec,
            facts,
            name,
            (*common, *cases),
            reference_s=end_s,
            decided_s=at,
            source="annotation",
        )
        for name, cases, at in (("tool_latency", [tool], called), ("task_latency", task, known))
    ]
