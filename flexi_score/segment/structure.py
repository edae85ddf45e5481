"""The dGSLM formalization: IPUs, turns, pauses, gaps, overlaps, backchannels, interruptions.

Definitions are those of the FLEXI paper (section 2.1, equations 2 to 6) after dGSLM (Nguyen et al.
2022) and Arora et al. 2025. Where they are silent, this module decides:

- **Who holds the turn.** Going through the IPUs of both speakers by their start, an IPU takes the
  floor unless it belongs to a backchannel, or lies wholly within an IPU of the other that began
  before it, as do all later IPUs of its group (a failed attempt: the other never stopped). The
  holder is whoever took it last; what the holder says belongs to the holder's turn.
- **Backchannel.** A group of IPUs of one speaker (less than ``takeover.group_ms`` apart), at most
  ``backchannel.max_ms`` long and at most ``backchannel.max_words`` words, that starts while the
  other holds the turn: while the other speaks, or in a silence of the other that is no longer than
  ``backchannel.max_pause_ms`` so far and that the other ends by speaking again before the listener
  says anything longer. A short utterance after which the other does not go on is a turn.
- **Turn.** IPUs of one speaker that took or kept the floor, with no IPU of the other taking it in
  between. Every failed attempt (successive IPUs of one group that failed) is a turn of its own,
  with ``success`` false.
- **Interruption.** It begins with an IPU that is not a backchannel, of a speaker who does not hold
  the turn, inside an IPU of the other, and lasts to the end of that IPU's group (a breath is not
  the end of an attempt). Successful if the other stops first and stays silent until it ends.
- **Ties.** Two IPUs with the same start are taken by their end; with the same start and end neither
  takes the floor. A silence with both speakers on both sides is a pause of the holder, or a gap if
  nobody holds the turn. So exchanging the channels exchanges the labels and nothing else.
"""

import numpy as np

from flexi_score.config import Settings
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.tracks import Bools, Floats, Intervals, Ints, Tracks, Words
from flexi_score.segment.types import (
    BACKCHANNEL,
    CLAIM,
    FAILED,
    MODEL,
    NOBODY,
    USER,
    Interruptions,
    Labelled,
    Speaker,
    Structure,
    Turns,
)


def build_ipus(speech: Spans, settings: Settings) -> Spans:
    """Speech to IPUs: silences below ``ipu.min_silence_ms`` bridged, short runs dropped."""
    joined = axis.bridge(speech, settings.ipu.min_silence_ms)
    return joined.take(joined.end - joined.start >= settings.ipu.min_speech_ms)


def build_structure(tracks: Tracks, settings: Settings) -> Structure:
    """Structure of all recordings at once.

    Parameters
    ----------
    tracks : Tracks
    settings : Settings
        Uses ``ipu``, ``takeover.group_ms`` and ``backchannel``.

    Returns
    -------
    Structure
    """
    origin = axis.origins(tracks.duration_ms)
    user = _speaker(tracks.user_speech, tracks.user_words, tracks, origin, settings)
    model = _speaker(tracks.model_speech, tracks.model_words, tracks, origin, settings)
    user, model = _floor(user, model, origin, tracks.duration_ms, settings)
    silences = axis.complement(axis.union(user.ipus, model.ipus), origin, tracks.duration_ms)
    turns = _turns(user, model)
    pauses, gaps = _pauses_and_gaps(silences, user, model, turns)
    return Structure(
        tracks=tracks,
        origin=origin,
        duration_ms=tracks.duration_ms,
        user=user,
        model=model,
        turns=turns,
        backchannels=_backchannels(user, model),
        interruptions=_interruptions(user, model),
        silences=silences,
        pauses=pauses,
        gaps=gaps,
        overlaps=axis.intersect(user.ipus, model.ipus),
    )


def _speaker(
    speech: Intervals, words: Words, tracks: Tracks, origin: Ints, settings: Settings
) -> Speaker:
    ipus = build_ipus(axis.place(speech, origin, tracks.duration_ms), settings)
    ipu_word = _word_ipus(ipus, words, origin, settings.ipu.word_reach_ms)
    held = ipu_word >= 0
    counts = np.bincount(ipu_word[held], words.count[held], minlength=len(ipus))
    known = words.known[ipus.rec]
    if words.heard_ms is not None:
        limit = words.heard_ms[ipus.rec]
        known &= (limit == 0) | (ipus.end - ipus.start <= limit)
    ipu_words = np.where(known, counts.astype(np.float64), np.nan)
    group = axis.group_ids(ipus, settings.takeover.group_ms)
    heads = np.flatnonzero(np.diff(group, prepend=-1))
    tails = np.append(heads[1:], len(ipus))[: len(heads)] - 1
    groups = Spans(ipus.rec[heads], ipus.start[heads], ipus.end[tails])
    group_words: Floats = np.bincount(group, ipu_words, minlength=len(groups)).astype(np.float64)
    limits = settings.backchannel
    # NaN > n is false: without a transcript the length alone decides.
    long = (groups.end - groups.start > limits.max_ms) | (group_words > limits.max_words)
    none = np.empty(0, np.int64)
    return Speaker(ipus, ipu_words, ipu_word, group, groups, group_words, long, none, none)


def _word_ipus(ipus: Spans, words: Words, origin: Ints, reach_ms: int) -> Ints:
    """IPU that holds the middle of each word, else the nearest within reach, else -1."""
    if not len(ipus):
        return np.full(len(words.rec), -1)
    middle = (words.start_ms + words.end_ms) // 2 + origin[words.rec]
    after = np.searchsorted(ipus.start, middle, "right")
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(ipus) - 1)
    lag = np.maximum(middle - (ipus.end[before] - 1), 0)
    lag = np.where(ipus.start[before] > middle, NEVER, lag)
    lead = np.where(ipus.start[after] > middle, ipus.start[after] - middle, NEVER)
    nearest = np.where(lag <= lead, before, after)
    # A word hours past the end of its recording must not land in another one.
    near = (np.minimum(lag, lead) <= reach_ms) & (ipus.rec[nearest] == words.rec)
    return np.where(near, nearest, -1)


def _floor(
    user: Speaker, model: Speaker, origin: Ints, duration_ms: Ints, settings: Settings
) -> tuple[Speaker, Speaker]:
    """Give every IPU its role and the holder of the turn at its start."""
    ends_at = origin + duration_ms
    pause_ms = settings.backchannel.max_pause_ms
    sides = [
        _claims(user, model, origin, ends_at, pause_ms),
        _claims(model, user, origin, ends_at, pause_ms),
    ]
    n_user = len(user.ipus)
    speaker = np.repeat([USER, MODEL], [n_user, len(model.ipus)])
    rec = np.concatenate([user.ipus.rec, model.ipus.rec])
    start = np.concatenate([user.ipus.start, model.ipus.start])
    end = np.concatenate([user.ipus.end, model.ipus.end])
    takes = np.concatenate([side[0] for side in sides])  # takes the floor whoever holds it
    yields = np.concatenate([side[1] for side in sides])  # a backchannel if the other holds it
    order = _by_start(start, end)
    rec, start, end, speaker = rec[order], start[order], end[order], speaker[order]
    takes, yields = takes[order], yields[order]

    tied = np.zeros(len(order), bool)
    same = (start[1:] == start[:-1]) & (end[1:] == end[:-1])
    tied[1:] |= same
    tied[:-1] |= same
    free = np.flatnonzero(~tied)
    takes[free[np.diff(rec[free], prepend=-1) != 0]] = True  # nobody holds the turn yet
    takes &= ~tied

    position = np.arange(len(order))
    latest = np.maximum.accumulate(np.where(takes, position, -1))
    before = np.concatenate([[-1], latest]).astype(np.int64)[:-1]
    opens = np.diff(rec, prepend=-1) != 0
    first_of_recording = np.maximum.accumulate(np.where(opens, position, 0))
    held_by = np.append(speaker, NOBODY)[before]  # a silent batch has nobody to index
    holder = np.where(before >= first_of_recording, held_by, NOBODY)
    role = np.where(yields & (holder == 1 - speaker), BACKCHANNEL, FAILED)
    role = np.where(takes | (holder == speaker), CLAIM, role)

    back = np.empty(len(order), np.int64)
    back[order] = position
    role, holder = role[back], holder[back]
    return (
        _with_floor(user, role[:n_user], holder[:n_user]),
        _with_floor(model, role[n_user:], holder[n_user:]),
    )


def _with_floor(side: Speaker, role: Ints, holder: Ints) -> Speaker:
    return Speaker(
        side.ipus, side.ipu_words, side.ipu_word, side.group, side.groups, side.group_words,
        side.long, role, holder,
    )  # fmt: skip


def _claims(
    own: Speaker, other: Speaker, origin: Ints, ends_at: Ints, max_pause_ms: int
) -> tuple[Bools, Bools]:
    """For each IPU: takes the floor in any case; is a backchannel if the other holds the turn."""
    ipus, theirs = own.ipus, other.ipus
    around = np.searchsorted(theirs.start, ipus.start, "left") - 1
    ends = np.append(theirs.end, -NEVER)
    covered = ends[around] >= ipus.end
    # An attempt that outlasts the other in the end was one from the start; what follows it inside
    # the other's speech is not.
    last_free = np.full(len(own.groups), -1)
    last_free[own.group[~covered]] = np.flatnonzero(~covered)
    free = np.arange(len(ipus)) <= last_free[own.group]

    few = np.flatnonzero(~own.long)
    groups = own.groups.take(few)
    first, last = origin[groups.rec], ends_at[groups.rec]
    speaking = axis.inside(theirs, groups.start) >= 0
    stopped = axis.last_end(theirs, groups.start, first)
    goes_on = axis.next_start(theirs, groups.start, last)
    longer = axis.next_start(own.takeovers, groups.start, last)
    pausing = (groups.start - stopped <= max_pause_ms) & (goes_on < NEVER) & (goes_on < longer)
    short = np.zeros(len(own.groups), bool)
    short[few] = speaking | pausing
    yields = short[own.group]
    return free & ~yields, yields


def _interleave(user: Spans, model: Spans) -> tuple[Labelled, Ints]:
    """Spans of both speakers by start and end; and the order of the chained input that this is."""
    speaker = np.repeat([USER, MODEL], [len(user), len(model)])
    both = Spans(
        np.concatenate([user.rec, model.rec]),
        np.concatenate([user.start, model.start]),
        np.concatenate([user.end, model.end]),
    )
    order = _by_start(both.start, both.end)
    return Labelled(both.take(order), speaker[order]), order


def _by_start(start: Ints, end: Ints) -> Ints:
    """Order by start, then end, of two sorted lists of which no one holds a start twice.

    As ``lexsort``, several times faster: a stable sort merges the two runs, and at most two spans
    share a start.
    """
    order = np.argsort(start, kind="stable")
    at, until = start[order], end[order]
    late = np.flatnonzero((at[1:] == at[:-1]) & (until[1:] < until[:-1]))
    order[late], order[late + 1] = order[late + 1], order[late]
    return order


def _successive(side: Speaker, role: int) -> tuple[Spans, Ints]:
    """Successive IPUs of one group that share a role, joined; and how many they are."""
    which = np.flatnonzero(side.role == role)
    first = (np.diff(which, prepend=-2) != 1) | (np.diff(side.group[which], prepend=-1) != 0)
    return _joined(side.ipus.take(which), first)


def _joined(spans: Spans, first: Bools) -> tuple[Spans, Ints]:
    """Join the spans of one speaker from each ``first`` to the next; also how many."""
    heads = np.flatnonzero(first)
    stops = np.append(heads[1:], len(first))[: len(heads)]
    return Spans(spans.rec[heads], spans.start[heads], spans.end[stops - 1]), stops - heads


def _turns(user: Speaker, model: Speaker) -> Turns:
    claims, _ = _interleave(
        user.ipus.take(user.role == CLAIM), model.ipus.take(model.role == CLAIM)
    )
    changes = (np.diff(claims.spans.rec, prepend=-1) != 0) | (
        np.diff(claims.speaker, prepend=NOBODY) != 0
    )
    held, held_ipus = _joined(claims.spans, changes)
    offset = np.full(len(held), np.nan)
    follows = np.flatnonzero(np.diff(held.rec) == 0) + 1
    offset[follows] = held.start[follows] - held.end[follows - 1]

    tried, n_ipus = zip(*(_successive(side, FAILED) for side in (user, model)), strict=True)
    failed, by_start = _interleave(*tried)
    spans = Spans(
        np.concatenate([held.rec, failed.spans.rec]),
        np.concatenate([held.start, failed.spans.start]),
        np.concatenate([held.end, failed.spans.end]),
    )
    order = _by_start(spans.start, spans.end)
    return Turns(
        spans.take(order),
        np.concatenate([claims.speaker[changes], failed.speaker])[order],
        np.concatenate([held_ipus, np.concatenate(n_ipus)[by_start]])[order],
        np.repeat([True, False], [len(held), len(failed.spans)])[order],
        np.concatenate([offset, np.full(len(failed.spans), np.nan)])[order],
    )


def _backchannels(user: Speaker, model: Speaker) -> Labelled:
    return _interleave(_successive(user, BACKCHANNEL)[0], _successive(model, BACKCHANNEL)[0])[0]


def _interruptions(user: Speaker, model: Speaker) -> Interruptions:
    spans, success, stop_ms = [], [], []
    for label, own, other in ((USER, user, model), (MODEL, model, user)):
        hit = axis.straddling(other.ipus, own.ipus.start)
        claims = (own.role != BACKCHANNEL) & (own.holder != label) & (hit >= 0)
        # One attempt a group: the first such IPU of each.
        claims[claims] = np.diff(own.group[claims], prepend=-1) != 0
        at, first = hit[claims], own.ipus.take(claims)
        cut = Spans(first.rec, first.start, own.groups.end[own.group[claims]])
        stop = other.ipus.end[at]
        again = np.append(other.ipus.start, NEVER)[at + 1]
        spans.append(cut)
        success.append((stop < cut.end) & (again >= cut.end))
        stop_ms.append(stop - cut.start)
    found, order = _interleave(*spans)
    return Interruptions(
        found.spans, found.speaker, np.concatenate(success)[order], np.concatenate(stop_ms)[order]
    )


def _pauses_and_gaps(
    silences: Spans, user: Speaker, model: Speaker, turns: Turns
) -> tuple[Labelled, Spans]:
    """Classify silences between IPUs by who spoke before and who speaks after.

    Where both did or do (IPUs that end or start together), the silence is a pause if one speaker is
    on both sides; the holder's if both are.
    """
    before = [_among(side.ipus.end, silences.start) for side in (user, model)]
    after = [_among(side.ipus.start, silences.end) for side in (user, model)]
    inner = (before[0] | before[1]) & (after[0] | after[1])
    of_user, of_model = before[0] & after[0], before[1] & after[1]
    speaker = np.where(of_user, USER, np.where(of_model, MODEL, NOBODY))
    held = np.flatnonzero(turns.took_floor)
    last = np.searchsorted(turns.spans.start[held], silences.start, "left") - 1
    rec = np.append(turns.spans.rec[held], -1)[last]
    holder = np.where(rec == silences.rec, np.append(turns.speaker[held], NOBODY)[last], NOBODY)
    speaker = np.where(of_user & of_model, holder, speaker)
    is_pause = inner & (speaker != NOBODY)
    return Labelled(silences.take(is_pause), speaker[is_pause]), silences.take(inner & ~is_pause)


def _among(times: Ints, at: Ints) -> Bools:
    """Whether each moment is one of the sorted times."""
    found: Bools = np.append(times, NEVER)[np.searchsorted(times, at, "left")] == at
    return found
