"""Words of calls: what the user was to say, and what the model never said after it was cut off.

Texts are compared without case and punctuation. A character of a script that is written without
spaces is a word of its own, which makes it the mixed error rate that is usual there.
"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.formats.text import UNSPACED
from flexi_score.metrics.panel import Events, total
from flexi_score.metrics.registry import metric_table
from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Floats, Ints
from flexi_score.segment.types import BACKCHANNEL, MODEL, USER, Structure

PANEL: Final = metric_table(
    "voice-agent",
    "conversation",
    """
    user_word_errors | User word error rate | ratio | down
      words of the user's, backchannels left out, that were put in, left out or changed against
      the manifest's text (statement, or context or query and then interrupt), per word of that text
      source: word error rate, with jiwer
      null: no text or no words of the user, or fewer words than voice_agent.min_events

    words_before_cut | Model words before it is cut off | ratio | none
      words that the model has said of its turn when the user interrupts it with success, up to its
      stop, per such interruption; its turn in events.parquet holds them
      null: interruptions with known words: none, or fewer than voice_agent.min_events

    unspoken_words | Words never spoken | ratio | down
      words of the model's given transcript that are not in its speech, from its stop at an
      interruption by the user to its next speech, per interruption won: the audio is trusted, and
      a log that goes on holds more than was said
      null: no transcript beside audio, or fewer such interruptions than voice_agent.min_events
    """,
    "flexi_score",
)

_WORD: Final = r"[\p{L}\p{N}\p{M}]+(?:'[\p{L}\p{N}\p{M}]+)*"


def word_panel(structure: Structure) -> dict[str, Events]:
    """Events of every metric of :data:`PANEL`, over all recordings."""
    n, model = len(structure), structure.model
    cuts = structure.interruptions
    won = (cuts.speaker == USER) & cuts.success
    at, stop = cuts.spans.take(won), cuts.spans.start[won] + cuts.stop_ms[won]
    errors, words = word_errors(_wanted(structure), _said(structure))
    panel = {
        "user_word_errors": Events(
            errors, words, "{a} errors in {b} words of text", "text with known words"
        )
    }
    turns = structure.turns.spans.take(structure.turns.speaker == MODEL)
    # The stop is the end of an IPU of the model's.
    first = np.append(turns.start, 0)[np.searchsorted(turns.start, at.start, "right") - 1]
    begin = np.searchsorted(model.ipus.start, first, "left")
    end = np.searchsorted(model.ipus.end, stop, "right")
    so_far = np.concatenate([[0.0], np.cumsum(np.nan_to_num(model.ipu_words))])
    unheard = np.concatenate([[0], np.cumsum(np.isnan(model.ipu_words))])
    known = unheard[end] == unheard[begin]
    panel["words_before_cut"] = Events(
        total(at.rec[known], n, (so_far[end] - so_far[begin])[known]),
        total(at.rec[known], n),
        "{a} words said before {b} interruptions",
        "interruptions by the user with known words",
    )
    panel["unspoken_words"] = Events(
        *_unspoken(structure, at, stop),
        "{a} words never spoken after {b} interruptions",
        "interruptions by the user with a transcript beside audio",
    )
    return panel


def _unspoken(structure: Structure, cuts: Spans, stop: Ints) -> tuple[Floats, Floats]:
    n, words = len(structure), structure.tracks.model_words
    if words.outside is None or words.checked is None:
        return np.zeros(n), np.zeros(n)
    outside = words.outside
    middle = np.sort((outside.start_ms + outside.end_ms) // 2 + structure.origin[outside.rec])
    ends_at = (structure.origin + structure.duration_ms)[cuts.rec]
    until = np.minimum(axis.next_start(structure.model.ipus, stop, ends_at), ends_at)
    number = np.searchsorted(middle, until, "left") - np.searchsorted(middle, stop, "left")
    checked = words.checked[cuts.rec]
    return total(cuts.rec[checked], n, number[checked].astype(np.float64)), total(
        cuts.rec[checked], n
    )


def _wanted(structure: Structure) -> pl.Series:
    """What the manifest has the user say; empty where it does not tell."""
    opening = pl.coalesce("text_context", "text_query")
    spoken = pl.concat_str(opening, "text_interrupt", separator=" ", ignore_nulls=True)
    recordings = structure.tracks.recordings
    return recordings.select(pl.coalesce("text_statement", spoken).fill_null("")).to_series()


def _said(structure: Structure) -> pl.Series:
    """What the user says, backchannels left out; null where that is not known, or not whole."""
    words, side = structure.tracks.user_words, structure.user
    partly = np.zeros(len(structure), bool)
    partly[side.ipus.rec[np.isnan(side.ipu_words)]] = True
    # No text has the acknowledgements.
    said = np.append(side.role != BACKCHANNEL, False)
    inside = pl.Series(said[side.ipu_word])
    joined = (
        pl.DataFrame({"rec": words.rec, "text": words.text})
        .filter(inside)
        .group_by("rec")
        .agg(pl.col("text").str.join(" "))
    )
    every = pl.DataFrame({"rec": np.arange(len(structure)), "known": words.known & ~partly})
    return (
        every.join(joined, on="rec", how="left", maintain_order="left")
        .select(pl.when("known").then(pl.col("text").fill_null("")))
        .to_series()
    )


def word_errors(wanted: pl.Series, said: pl.Series) -> tuple[Floats, Floats]:
    """Errors of what was said, and words that were wanted; both 0 where either is not known.

    Examples
    --------
    >>> word_errors(pl.Series(["Stop it, now!"]), pl.Series(["stop now please"]))
    (array([2.]), array([3.]))
    """
    table = pl.DataFrame({"wanted": wanted, "said": said}).with_columns(
        pl.all()
        .str.to_lowercase()
        .str.replace_all("’", "'")
        .str.replace_all(UNSPACED, " $0 ")
        .str.extract_all(_WORD)
        .list.join(" ")
    )
    errors, words = np.zeros(len(table)), np.zeros(len(table))
    pairs = table.with_row_index("at").filter(
        (pl.col("wanted") != "") & pl.col("said").is_not_null()
    )
    if pairs.is_empty():
        return errors, words
    import jiwer  # takes longer to import than a small run takes to score

    aligned = jiwer.process_words(pairs["wanted"].to_list(), pairs["said"].to_list())
    at = pairs["at"].to_numpy()
    words[at] = [len(reference) for reference in aligned.references]
    errors[at] = [
        sum(
            max(part.ref_end_idx - part.ref_start_idx, part.hyp_end_idx - part.hyp_start_idx)
            for part in alignment
            if part.type != "equal"
        )
        for alignment in aligned.alignments
    ]
    return errors, words
