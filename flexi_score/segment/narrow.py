"""Structures of some recordings only: what is looked at a scenario at a time costs no more."""

from dataclasses import replace

import numpy as np

from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Bools, Ints
from flexi_score.segment.types import Labelled, Speaker, Structure, Turns


def narrow(structure: Structure, rec: Ints) -> Structure:
    """The structure without the speech of other recordings, which keep their numbers and places.

    Which word belongs to which IPU is left out. The rest is as it was, that of others included.
    """
    if len(rec) == len(structure):
        return structure
    keep = np.zeros(len(structure), np.bool_)
    keep[rec] = True
    turns, said = structure.turns, structure.backchannels
    of_turns, of_said = _of(turns.spans, keep), _of(said.spans, keep)
    return replace(
        structure,
        user=_speaker(structure.user, keep),
        model=_speaker(structure.model, keep),
        turns=Turns(
            turns.spans.take(of_turns),
            turns.speaker[of_turns],
            turns.n_ipus[of_turns],
            turns.took_floor[of_turns],
            turns.offset_ms[of_turns],
        ),
        backchannels=Labelled(said.spans.take(of_said), said.speaker[of_said]),
    )


def _of(spans: Spans, keep: Bools) -> Ints:
    return np.flatnonzero(keep[spans.rec])


def _speaker(side: Speaker, keep: Bools) -> Speaker:
    ipus, groups = _of(side.ipus, keep), _of(side.groups, keep)
    number = np.empty(len(side.groups), np.int64)
    number[groups] = np.arange(len(groups))
    return Speaker(
        side.ipus.take(ipus),
        side.ipu_words[ipus],
        np.empty(0, np.int64),
        number[side.group[ipus]],
        side.groups.take(groups),
        side.group_words[groups],
        side.long[groups],
        side.role[ipus],
        side.holder[ipus],
    )
