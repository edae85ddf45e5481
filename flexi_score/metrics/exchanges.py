"""Exchanges: a turn of the user and what the model says until the user's next one.

The operational profiles (``voice-agent``, ``eva``) look at a call exchange by exchange. A user turn
here is a run of the user's turn-claiming IPUs. It ends where the model claims the floor, or where
the user is silent for ``apart_ms``: after such a silence, what the user says next is another turn,
because the first one got no answer.
"""

from dataclasses import dataclass

import numpy as np

from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.tracks import Bools, Ints
from flexi_score.segment.types import BACKCHANNEL, CLAIM, Structure


@dataclass(frozen=True)
class Exchanges:
    """User turns of all recordings on the common axis, sorted by start."""

    user: Spans  # from the start of the turn's first IPU to the end of its last
    limit: Ints  # shape (k,): start of the user's next turn, or the recording's end
    is_last: Bools  # shape (k,): whether the recording has no later user turn
    speech: Spans  # the model's IPUs without its backchannels
    #: shape (c,): exchange in which each of them starts, -1 before the user's first turn
    of_speech: Ints
    n_claims: Ints  # shape (k,): how many of the exchange's model IPUs claim the floor

    def __len__(self) -> int:
        return len(self.user)


def exchanges(structure: Structure, apart_ms: int, *, attempts: bool = False) -> Exchanges:
    """User turns and the model's answers of all recordings at once.

    A silence of the user of at least ``apart_ms`` ends a turn. ``attempts``: whether an attempt of
    the user that failed (inside one IPU of the model) opens an exchange. Backchannels open none.
    """
    user, model = structure.user, structure.model
    opens = user.role != BACKCHANNEL if attempts else user.role == CLAIM
    ipus = user.ipus.take(opens)
    claiming = model.role != BACKCHANNEL
    speech, claims = model.ipus.take(claiming), model.role[claiming] == CLAIM
    answer = np.append(speech.start, NEVER)[np.searchsorted(speech.start, ipus.end, "left")]
    parted = (ipus.start[1:] - ipus.end[:-1] >= apart_ms) | (answer[:-1] <= ipus.start[1:])
    parted |= ipus.rec[1:] != ipus.rec[:-1]
    first = np.flatnonzero(np.concatenate([np.ones(min(len(ipus), 1), bool), parted]))
    last = np.append(first[1:], len(ipus))[: len(first)] - 1
    turns = Spans(ipus.rec[first], ipus.start[first], ipus.end[last])
    ends_at = (structure.origin + structure.duration_ms)[turns.rec]
    next_start = np.append(turns.start, NEVER)[1:]
    is_last = next_start >= ends_at
    limit = np.where(is_last, ends_at, next_start)
    of_speech = np.searchsorted(turns.start, speech.start, "right") - 1
    same = np.append(turns.rec, -1)[of_speech] == speech.rec
    of_speech = np.where(same, of_speech, -1)
    counted = of_speech[claims & (of_speech >= 0)]
    n_claims = np.bincount(counted, minlength=len(turns)).astype(np.int64)
    return Exchanges(turns, limit, is_last, speech, of_speech, n_claims)


def answer_starts(exchanged: Exchanges) -> Ints:
    """Start of the model's first IPU from the end of each user turn on; ``NEVER`` without one."""
    return axis.next_start(exchanged.speech, exchanged.user.end, exchanged.limit)


def silent_at_end(structure: Structure, exchanged: Exchanges) -> Bools:
    """Whether the model is silent when the user turn ends."""
    return axis.straddling(structure.model.ipus, exchanged.user.end) < 0
