"""The dGSLM formalization: IPUs, turns, pauses, gaps, overlaps, backchannels, interruptions.

Definitions are those of the FLEXI paper (section 2.1, equations 2 to 6) after dGSLM (Nguyen et al.
2022) and Arora et al. 2025. Where they are silent, this module decides:

- **Group.** Successive IPUs of one speaker less than ``takeover.group_ms`` apart, parted where
  containment changes: an IPU that lies wholly inside one IPU of the other groups only with IPUs
  inside that same IPU. An acknowledgement inside the user's speech is never the head of the answer.
- **Who holds the turn.** Going through the IPUs of both speakers by their start, an IPU takes the
  floor unless it belongs to a backchannel, or lies wholly within an IPU of the other that began
  before it (a failed attempt: the other never stopped). The holder is whoever took it last; what
  the holder says belongs to the holder's turn.
- **Backchannel.** A group at most ``backchannel.max_ms`` long and of at most
  ``backchannel.max_words`` words, begun while the other holds the turn, after which the other goes
  on: an IPU of the other covers its end, or the other speaks again within
  ``backchannel.max_pause_ms`` of the other's own last end and before the listener says anything
  more. A short utterance that silences the other, or that the other never follows, claims the
  floor: it is a turn, or an interruption.
- **Turn.** IPUs of one speaker that took or kept the floor, with no IPU of the other taking it in
  between. Every failed attempt (successive IPUs of one group that failed) is a turn of its own,
  with ``success`` false.
- **Interruption.** An IPU that is no backchannel, of a speaker who does not hold the turn, that
  starts inside an IPU of the other. It is that IPU, not its group. Successful if the other stops
  first and no IPU of the other but backchannels starts before it ends.
- **Ties.** Two IPUs with the same start are taken by their end; with the same start and end neither
  takes the floor. A silence with both speakers on both sides is a pause of the holder, or a gap if
  nobody holds the turn. So exchanging the channels exchanges the labels and nothing else.
"""

import numpy as np

from flexi_score.config import Settings
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Among, Interleaved, Spans
from flexi_score.segment.tracks import Bools, Floats, Ints, Tracks, Words
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
    """Structure of all recordings at once."""
    origin = axis.origins(tracks.duration_ms)
    user_ipus, model_ipus = (
        build_ipus(axis.place(speech, origin, tracks.duration_ms), settings)
        for speech in (tracks.user_speech, tracks.model_speech)
    )
    user = _speaker(user_ipus, model_ipus, tracks.user_words, origin, settings)
    model = _speaker(model_ipus, user_ipus, tracks.model_words, origin, settings)
    both = axis.interleave(user.ipus, model.ipus)
    user, model, role = _floor(user, model, both, origin, tracks.duration_ms, settings)
    turns = _turns(user, model, both, role)
    taken, block = axis.blocks(both.spans, 0)
    pauses, gaps = _pauses_and_gaps(taken, block, both, turns)
    return Structure(
        tracks=tracks,
        origin=origin,
        duration_ms=tracks.duration_ms,
        user=user,
        model=model,
        turns=turns,
        backchannels=_backchannels(user, model),
        interruptions=_interruptions(user, model, both),
        silences=axis.complement(taken, origin, tracks.duration_ms),
        pauses=pauses,
        gaps=gaps,
        overlaps=axis.intersect(user.ipus, model.ipus),
    )


def group_ids(ipus: Spans, other: Spans, group_ms: int) -> Ints:
    """Number of the group of each IPU of a speaker, from 0.

    IPUs at least ``group_ms`` apart are in different groups; IPUs inside an IPU of the other group
    only with IPUs inside the same one.
    """
    if not len(ipus):
        return np.empty(0, np.int64)
    around = np.searchsorted(other.start, ipus.start, "right") - 1
    around = np.where(np.append(other.end, -NEVER)[around] >= ipus.end, around, -1)
    apart = ipus.start[1:] - ipus.end[:-1] >= max(group_ms, 1)
    apart |= around[1:] != around[:-1]
    return np.concatenate([[0], np.cumsum(apart)]).astype(np.int64)


def _speaker(ipus: Spans, other: Spans, words: Words, origin: Ints, settings: Settings) -> Speaker:
    ipu_word = _word_ipus(ipus, words, origin, settings.ipu.word_reach_ms)
    held = ipu_word >= 0
    counts = np.bincount(ipu_word[held], words.count[held], minlength=len(ipus))
    known = words.known[ipus.rec]
    if words.heard_ms is not None:
        limit = words.heard_ms[ipus.rec]
        known &= (limit == 0) | (ipus.end - ipus.start <= limit)
    ipu_words = np.where(known, counts.astype(np.float64), np.nan)
    group = group_ids(ipus, other, settings.takeover.group_ms)
    heads = axis.heads(group)
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
    if not len(ipus) or not len(words.rec):
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
    user: Speaker,
    model: Speaker,
    both: Interleaved,
    origin: Ints,
    duration_ms: Ints,
    settings: Settings,
) -> tuple[Speaker, Speaker, Ints]:
    """Give every IPU its role and the holder of the turn at its start.

    Also the roles of all IPUs in the order of ``both``.
    """
    ends_at = origin + duration_ms
    pause_ms = settings.backchannel.max_pause_ms
    sides = [
        _claims(user, model, both.first, ends_at, pause_ms),
        _claims(model, user, both.second, ends_at, pause_ms),
    ]
    rec, speaker = both.spans.rec, both.speaker
    takes = both.join(sides[0][0], sides[1][0])  # takes the floor whoever holds it
    yields = both.join(sides[0][1], sides[1][1])  # a backchannel if the other holds it

    opens = axis.heads(rec)
    same = both.ties[both.spans.end[both.ties + 1] == both.spans.end[both.ties]]
    if len(same):
        tied = np.zeros(len(rec), bool)
        tied[same] = tied[same + 1] = True
        free = np.flatnonzero(~tied)
        takes[free[axis.heads(rec[free])]] = True  # nobody holds the turn yet
        takes &= ~tied
    else:
        takes[opens] = True

    # Who took the floor last before each IPU, in the same recording.
    taken = np.flatnonzero(takes)
    before = np.append(taken, -1)[np.cumsum(takes) - takes - 1]
    first_of_recording = np.repeat(opens, np.diff(np.append(opens, len(rec))))
    holder = np.append(speaker, NOBODY)[before]  # a silent batch has nobody to index
    holder[np.flatnonzero(before < first_of_recording)] = NOBODY
    # Set where they hold: choosing between two arrays at random costs several times as much.
    role = np.full(len(rec), FAILED, np.int64)
    role[np.flatnonzero(yields & (holder == 1 - speaker))] = BACKCHANNEL
    role[np.flatnonzero(takes | (holder == speaker))] = CLAIM
    return (
        _with_floor(user, role[both.first.place], holder[both.first.place]),
        _with_floor(model, role[both.second.place], holder[both.second.place]),
        role,
    )


def _with_floor(side: Speaker, role: Ints, holder: Ints) -> Speaker:
    return Speaker(
        side.ipus,
        side.ipu_words,
        side.ipu_word,
        side.group,
        side.groups,
        side.group_words,
        side.long,
        role,
        holder,
    )


def _claims(
    own: Speaker, other: Speaker, among: Among, ends_at: Ints, max_pause_ms: int
) -> tuple[Bools, Bools]:
    """For each IPU: takes the floor in any case; is a backchannel if the other holds the turn."""
    other_ipus = other.ipus
    ends = np.append(other_ipus.end, -NEVER)
    failed = ends[among.before - 1] >= own.ipus.end

    # Groups that are short enough, and after which the other goes on.
    few = np.flatnonzero(~own.long)
    groups = own.groups.take(few)
    begun = np.searchsorted(other_ipus.start, groups.end, "left")
    last_end = ends[begun - 1]
    again = np.append(other_ipus.start, NEVER)[begun]
    more = np.append(own.groups.start, NEVER)[few + 1]
    follows = (again - last_end <= max_pause_ms) & (again < more) & (again < ends_at[groups.rec])
    short = np.zeros(len(own.groups), bool)
    short[few] = (last_end > groups.end) | follows
    yields = short[own.group]
    return ~failed & ~yields, yields


def _interleave(user: Spans, model: Spans) -> tuple[Labelled, Interleaved]:
    """Spans of both speakers by start and end."""
    both = axis.interleave(user, model)
    return Labelled(both.spans, both.speaker), both


def _successive(side: Speaker, role: int) -> tuple[Spans, Ints]:
    """Successive IPUs of one group that share a role, joined; and how many they are."""
    which = np.flatnonzero(side.role == role)
    first = np.ones(len(which), bool)
    first[1:] = (np.diff(which) != 1) | (np.diff(side.group[which]) != 0)
    return _joined(side.ipus.take(which), first)


def _joined(spans: Spans, first: Bools) -> tuple[Spans, Ints]:
    """Join the spans of one speaker from each ``first`` to the next; also how many."""
    heads = np.flatnonzero(first)
    stops = np.append(heads[1:], len(first))[: len(heads)]
    return Spans(spans.rec[heads], spans.start[heads], spans.end[stops - 1]), stops - heads


def _turns(user: Speaker, model: Speaker, both: Interleaved, role: Ints) -> Turns:
    claimed = np.flatnonzero(role == CLAIM)
    claims, speaker = both.spans.take(claimed), both.speaker[claimed]
    changes = np.ones(len(claimed), bool)
    changes[1:] = (np.diff(claims.rec) != 0) | (np.diff(speaker) != 0)
    held, held_ipus = _joined(claims, changes)
    offset = np.full(len(held), np.nan)
    follows = np.flatnonzero(np.diff(held.rec) == 0) + 1
    offset[follows] = held.start[follows] - held.end[follows - 1]

    tried, n_ipus = zip(*(_successive(side, FAILED) for side in (user, model)), strict=True)
    failed, by_side = _interleave(*tried)
    spans = Spans(
        np.concatenate([held.rec, failed.spans.rec]),
        np.concatenate([held.start, failed.spans.start]),
        np.concatenate([held.end, failed.spans.end]),
    )
    order = _by_start(spans.start, spans.end, len(held))
    return Turns(
        spans.take(order),
        np.concatenate([speaker[np.flatnonzero(changes)], failed.speaker])[order],
        np.concatenate([held_ipus, by_side.join(*n_ipus)])[order],
        np.repeat([True, False], [len(held), len(failed.spans)])[order],
        np.concatenate([offset, np.full(len(failed.spans), np.nan)])[order],
    )


def _by_start(start: Ints, end: Ints, n_first: int) -> Ints:
    """Order by start, then end, of two sorted lists (the first of ``n_first``) end to end.

    No more than two spans share a start. As ``lexsort``, many times faster.
    """
    # Which list as the last bit: merging values is several times faster than an order of them.
    key = start * 2
    key[n_first:] += 1
    key.sort(kind="stable")
    of_second = (key & 1).astype(np.bool_)
    order = np.empty(len(start), np.int64)
    order[np.flatnonzero(~of_second)] = np.arange(n_first)
    order[np.flatnonzero(of_second)] = np.arange(n_first, len(start))
    at, until = start[order], end[order]
    late = np.flatnonzero((at[1:] == at[:-1]) & (until[1:] < until[:-1]))
    order[late], order[late + 1] = order[late + 1], order[late]
    return order


def _backchannels(user: Speaker, model: Speaker) -> Labelled:
    return _interleave(_successive(user, BACKCHANNEL)[0], _successive(model, BACKCHANNEL)[0])[0]


def _interruptions(user: Speaker, model: Speaker, both: Interleaved) -> Interruptions:
    spans, success, stop_ms = [], [], []
    for label, own, other, among in (
        (USER, user, model, both.first),
        (MODEL, model, user, both.second),
    ):
        ends = np.append(other.ipus.end, -NEVER)
        starts_inside = own.ipus.start < ends[among.before - 1]
        cuts = np.flatnonzero(starts_inside & (own.role != BACKCHANNEL) & (own.holder != label))
        cut, stop = own.ipus.take(cuts), other.ipus.end[among.before[cuts] - 1]
        claims = other.ipus.start[other.role != BACKCHANNEL]
        again = np.append(claims, NEVER)[np.searchsorted(claims, stop, "left")]
        spans.append(cut)
        success.append((stop < cut.end) & (again >= cut.end))
        stop_ms.append(stop - cut.start)
    merged, by_side = _interleave(*spans)
    return Interruptions(
        merged.spans, merged.speaker, by_side.join(*success), by_side.join(*stop_ms)
    )


def _pauses_and_gaps(
    taken: Spans, block: Ints, both: Interleaved, turns: Turns
) -> tuple[Labelled, Spans]:
    """Classify silences between IPUs by who spoke before and who speaks after.

    Where both did or do (IPUs that end or start together), the silence is a pause if one speaker is
    on both sides; the holder's if both are. ``taken`` is the union of all IPUs, ``block`` where in
    it each of them is.
    """
    inner = np.flatnonzero(np.diff(taken.rec) == 0)
    silences = Spans(taken.rec[inner], taken.end[inner], taken.start[inner + 1])
    on_both_sides = []
    for among in (both.first, both.second):
        own = block[among.place]
        opens, closes = np.zeros(len(taken), bool), np.zeros(len(taken), bool)
        opens[own[both.spans.start[among.place] == taken.start[own]]] = True
        closes[own[both.spans.end[among.place] == taken.end[own]]] = True
        on_both_sides.append(closes[inner] & opens[inner + 1])
    of_user, of_model = on_both_sides
    speaker = np.full(len(silences), NOBODY, np.int64)
    speaker[np.flatnonzero(of_model)] = MODEL
    speaker[np.flatnonzero(of_user)] = USER
    unclear = np.flatnonzero(of_user & of_model)
    if len(unclear):
        held = np.flatnonzero(turns.took_floor)
        last = np.searchsorted(turns.spans.start[held], silences.start[unclear], "left") - 1
        same = np.append(turns.spans.rec[held], -1)[last] == silences.rec[unclear]
        holder = np.append(turns.speaker[held], NOBODY)[last]
        speaker[unclear] = np.where(same, holder, NOBODY)
    is_pause = speaker != NOBODY
    pauses = np.flatnonzero(is_pause)
    return Labelled(silences.take(pauses), speaker[pauses]), silences.take(~is_pause)
