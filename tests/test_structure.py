"""The structure: exact identities, agreement with the plain reference, dialogues made by hand."""

from collections import defaultdict

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
import reference_structure as plain
from factories import Dialogue, random_dialogue, tracks_of
from hypothesis import given, settings

from flexi_score.config import load_settings
from flexi_score.schema import EVENTS
from flexi_score.segment.events import events_frame
from flexi_score.segment.structure import build_structure
from flexi_score.segment.types import Structure

DEFAULTS = load_settings()
FIELDS = [name for name in EVENTS.names()[1:] if name != "estimated"]
ROW = (
    "speaker",
    "kind",
    "start_ms",
    "end_ms",
    "text",
    "n_words",
    "n_ipus",
    "success",
    "latency_ms",
)
SWAP = {"user": "model", "model": "user", "both": "both", "none": "none"}

seeds = st.integers(0, 2**32 - 1)
batches = st.lists(seeds, min_size=1, max_size=6).map(
    lambda found: [random_dialogue(np.random.default_rng(seed)) for seed in found]
)

grids = st.sampled_from([10, 50, 100, 500])
ticks = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), max_size=8)


@st.composite
def drawn(draw) -> list[Dialogue]:
    """Recordings on a coarse grid, so that hypothesis can shrink what fails."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        grid = draw(grids)
        user, model = ([(a * grid, (a + n) * grid) for a, n in draw(ticks)] for _ in range(2))
        found.append(Dialogue(draw(st.integers(0, 70)) * grid, user, model))
    return found


def structure_of(dialogues: list[Dialogue], chosen=DEFAULTS) -> Structure:
    return build_structure(tracks_of(dialogues), chosen)


def events_by_recording(structure: Structure) -> list[list[tuple]]:
    """Rows of each recording in a canonical order."""
    frame = events_frame(structure)
    assert frame.schema == EVENTS
    rows: list[list[tuple]] = [[] for _ in range(len(structure))]
    number = {name: i for i, name in enumerate(structure.tracks.recordings["recording"])}
    for name, *row in frame.select("recording", *FIELDS).iter_rows():
        rows[number[name]].append(tuple(row))
    return [sorted(found, key=repr) for found in rows]


def total(rows: list[tuple], kind: str, speaker: str | None = None) -> int:
    return sum(r[3] - r[2] for r in rows if r[1] == kind and speaker in (None, r[0]))


def check_identities(dialogues: list[Dialogue]) -> None:
    """Section 1 of the definitions, to the millisecond."""
    for dialogue, rows in zip(dialogues, events_by_recording(structure_of(dialogues)), strict=True):
        duration = dialogue.duration
        ipus = [r for r in rows if r[1] == "ipu"]
        silence, overlap = total(rows, "silence"), total(rows, "overlap")
        first = min((r[2] for r in ipus), default=duration)
        last = max((r[3] for r in ipus), default=duration)
        edge = first + duration - last
        assert silence == total(rows, "pause") + total(rows, "gap") + edge
        user, model = total(rows, "ipu", "user"), total(rows, "ipu", "model")
        assert user + model - overlap + silence == duration
        union, clock = 0, 0
        for _, _, start, end, *_ in sorted(ipus, key=lambda r: (r[2], r[3])):
            union += max(end - max(start, clock), 0)
            clock = max(clock, end)
        assert union + silence == duration
        kinds = defaultdict(set)
        for speaker, kind, start, end, *_ in rows:
            assert 0 <= start < end <= duration
            kinds[kind].add(speaker)
        assert kinds["silence"] | kinds["gap"] <= {"none"}
        assert kinds["overlap"] <= {"both"}
        # Every IPU lies in exactly one turn or backchannel of its speaker, which hold no others.
        for speaker in ("user", "model"):
            homes = [r for r in rows if r[0] == speaker and r[1] in ("turn", "backchannel")]
            mine = [r for r in ipus if r[0] == speaker]
            for unit in mine:
                inside = [h for h in homes if h[2] <= unit[2] and unit[3] <= h[3]]
                assert len(inside) == 1
            assert sum(h[6] for h in homes) == len(mine)
        # What a backchannel is.
        for row in rows:
            if row[1] == "backchannel":
                assert row[3] - row[2] <= DEFAULTS.backchannel.max_ms
                assert row[5] is None or row[5] <= DEFAULTS.backchannel.max_words


def check_swap(dialogues: list[Dialogue]) -> None:
    here = events_by_recording(structure_of(dialogues))
    there = events_by_recording(structure_of([d.swapped() for d in dialogues]))
    for ours, theirs in zip(here, there, strict=True):
        assert ours == sorted(((SWAP[r[0]], *r[1:]) for r in theirs), key=repr)


def check_shift(dialogues: list[Dialogue], by: int) -> None:
    here = events_by_recording(structure_of([d.shifted(0) for d in dialogues]))
    there = events_by_recording(structure_of([d.shifted(by) for d in dialogues]))
    for dialogue, ours, theirs in zip(dialogues, here, there, strict=True):
        first = min((r[2] for r in ours if r[1] == "ipu"), default=dialogue.duration)
        last = max((r[3] for r in ours if r[1] == "ipu"), default=0)

        def inner(rows: list[tuple], by: int, first: int = first, last: int = last) -> list[tuple]:
            moved = [(*r[:2], r[2] - by, r[3] - by, *r[4:]) for r in rows]
            return sorted((r for r in moved if first <= r[2] and r[3] <= last), key=repr)

        assert inner(theirs, by) == inner(ours, 0)


def check_reference(dialogues: list[Dialogue], chosen=DEFAULTS) -> None:
    for dialogue, rows in zip(
        dialogues, events_by_recording(structure_of(dialogues, chosen)), strict=True
    ):
        found = sorted(plain.Event(*row).key() for row in rows)
        assert found == sorted(e.key() for e in plain.analyse(dialogue, chosen).events)


def big_batch(n: int = 1500) -> list[Dialogue]:
    rng = np.random.default_rng(2024)
    return [random_dialogue(rng) for _ in range(n)]


class TestProperties:
    @given(st.one_of(drawn(), batches))
    @settings(max_examples=100, deadline=None)
    def test_identities(self, dialogues):
        check_identities(dialogues)

    @given(st.one_of(drawn(), batches))
    @settings(max_examples=25, deadline=None)
    def test_exchanging_the_channels_exchanges_the_labels(self, dialogues):
        check_swap(dialogues)

    @given(st.one_of(drawn(), batches), st.integers(1, 50_000))
    @settings(max_examples=25, deadline=None)
    def test_shift(self, dialogues, by):
        check_shift(dialogues, by)

    @given(st.one_of(drawn(), batches))
    @settings(max_examples=100, deadline=None)
    def test_equals_the_reference(self, dialogues):
        check_reference(dialogues)

    @given(batches, st.data())
    @settings(max_examples=30, deadline=None)
    def test_a_recording_alone_is_as_among_others(self, dialogues, data):
        order = data.draw(st.permutations(range(len(dialogues))))
        together = events_by_recording(structure_of(dialogues))
        mixed = events_by_recording(structure_of([dialogues[i] for i in order]))
        for place, i in enumerate(order):
            assert mixed[place] == together[i]
        alone = data.draw(st.sampled_from(range(len(dialogues))))
        assert events_by_recording(structure_of([dialogues[alone]]))[0] == together[alone]

    def test_fifteen_hundred_recordings(self):
        dialogues = big_batch()
        check_identities(dialogues)
        check_swap(dialogues)
        check_shift(dialogues, 7)
        check_reference(dialogues)

    @pytest.mark.parametrize(
        "changes",
        [
            {"ipu.min_silence_ms": 0, "ipu.min_speech_ms": 0},
            {"ipu.min_silence_ms": 600, "takeover.group_ms": 300},
            {"backchannel.max_ms": 2000, "backchannel.max_words": 0},
            {"backchannel.max_ms": 0, "backchannel.max_pause_ms": 0, "ipu.word_reach_ms": 0},
        ],
    )
    def test_equals_the_reference_under_other_settings(self, changes):
        check_reference(big_batch(250), load_settings("paper", changes))


# What is said: spans in ms, or (start, end, number of words). What is expected: turns, backchannels
# and interruptions as (speaker, kind, start, end, success, latency).
U, M = "user", "model"
GOLDEN = {
    "smooth exchange with a gap": (
        [(0, 3000), (7000, 9000)],
        [(3200, 6500)],
        [
            (U, "turn", 0, 3000, True, None),
            (M, "turn", 3200, 6500, True, 200),
            (U, "turn", 7000, 9000, True, 500),
        ],
        {"gap": [(3000, 3200), (6500, 7000)], "pause": [], "overlap": []},
    ),
    "overlap at the turn change": (
        [(0, 3000)],
        [(2700, 6000)],
        [
            (U, "turn", 0, 3000, True, None),
            (M, "turn", 2700, 6000, True, -300),
            (M, "interruption", 2700, 6000, True, 300),
        ],
        {"gap": [], "pause": [], "overlap": [(2700, 3000)]},
    ),
    "backchannel in overlap": (
        [(0, 6000)],
        [(2000, 2400)],
        [(U, "turn", 0, 6000, True, None), (M, "backchannel", 2000, 2400, None, None)],
        {"gap": [], "pause": [], "overlap": [(2000, 2400)]},
    ),
    "backchannel in a pause": (
        [(0, 3000), (4200, 6000)],
        [(3300, 3700)],
        [(U, "turn", 0, 6000, True, None), (M, "backchannel", 3300, 3700, None, None)],
        {"gap": [(3000, 3300), (3700, 4200)], "pause": [], "overlap": []},
    ),
    "a short utterance at which the speaker stops for good is an interruption": (
        [(0, 3000)],
        [(2600, 3200)],
        [
            (U, "turn", 0, 3000, True, None),
            (M, "turn", 2600, 3200, True, -400),
            (M, "interruption", 2600, 3200, True, 400),
        ],
        {"gap": [], "pause": [], "overlap": [(2600, 3000)]},
    ),
    "failed interruption": (
        [(0, 8000)],
        [(2000, 4000)],
        [
            (U, "turn", 0, 8000, True, None),
            (M, "turn", 2000, 4000, False, None),
            (M, "interruption", 2000, 4000, False, 6000),
        ],
        {"overlap": [(2000, 4000)]},
    ),
    "successful interruption": (
        [(0, 5000)],
        [(4000, 9000)],
        [
            (U, "turn", 0, 5000, True, None),
            (M, "turn", 4000, 9000, True, -1000),
            (M, "interruption", 4000, 9000, True, 1000),
        ],
        {"overlap": [(4000, 5000)]},
    ),
    "the interrupted one comes back before the interruption ends": (
        [(0, 5000), (6000, 12000)],
        [(4000, 9000)],
        [
            (U, "turn", 0, 5000, True, None),
            (M, "turn", 4000, 9000, True, -1000),
            (U, "turn", 6000, 12000, True, -3000),
            (M, "interruption", 4000, 9000, False, 1000),
            (U, "interruption", 6000, 12000, True, 3000),
        ],
        {"overlap": [(4000, 5000), (6000, 9000)]},
    ),
    "simultaneous start: the shorter takes the floor first": (
        [(1000, 3000)],
        [(1000, 4000)],
        [(U, "turn", 1000, 3000, True, None), (M, "turn", 1000, 4000, True, -2000)],
        {"overlap": [(1000, 3000)], "silence": [(0, 1000), (4000, 20000)]},
    ),
    "simultaneous in full: neither takes the floor": (
        [(1000, 3000), (3500, 6000)],
        [(1000, 3000)],
        [
            (U, "turn", 1000, 3000, False, None),
            (M, "turn", 1000, 3000, False, None),
            (U, "turn", 3500, 6000, True, None),
        ],
        {"pause": [(3000, 3500)], "overlap": [(1000, 3000)]},
    ),
    "a short answer after which the other does not go on": (
        [(0, 3000)],
        [(3400, 3800)],
        [(U, "turn", 0, 3000, True, None), (M, "turn", 3400, 3800, True, 400)],
        {"gap": [(3000, 3400)], "pause": []},
    ),
    "a short answer, then a longer one, then the other": (
        [(0, 3000), (9000, 11000)],
        [(3400, 3800), (5500, 8000)],
        [
            (U, "turn", 0, 3000, True, None),
            (M, "turn", 3400, 8000, True, 400),
            (U, "turn", 9000, 11000, True, 1000),
        ],
        {"gap": [(3000, 3400), (8000, 9000)], "pause": [(3800, 5500)]},
    ),
    "greeting first": (
        [(1500, 4000)],
        [(200, 700)],
        [(M, "turn", 200, 700, True, None), (U, "turn", 1500, 4000, True, 800)],
        {"gap": [(700, 1500)], "silence": [(0, 200), (700, 1500), (4000, 20000)]},
    ),
    "long pause inside a turn": (
        [(0, 3000), (8000, 9500)],
        [(10000, 12000)],
        [(U, "turn", 0, 9500, True, None), (M, "turn", 10000, 12000, True, 500)],
        {"pause": [(3000, 8000)], "gap": [(9500, 10000)]},
    ),
    "the other goes on 2.001 s after its own end: a turn": (
        [(0, 3000), (5001, 9000)],
        [(3500, 4000)],
        [
            (U, "turn", 0, 3000, True, None),
            (M, "turn", 3500, 4000, True, 500),
            (U, "turn", 5001, 9000, True, 1001),
        ],
        {"gap": [(3000, 3500), (4000, 5001)]},
    ),
    "the other goes on 2.000 s after its own end: a backchannel": (
        [(0, 3000), (5000, 9000)],
        [(3500, 4000)],
        [(U, "turn", 0, 9000, True, None), (M, "backchannel", 3500, 4000, None, None)],
        {"gap": [(3000, 3500), (4000, 5000)]},
    ),
    "of two short utterances the other goes on after the last only": (
        [(0, 3000), (4900, 9000)],
        [(3200, 3500), (4600, 4800)],
        [
            (U, "turn", 0, 3000, True, None),
            (M, "turn", 3200, 4800, True, 200),
            (U, "turn", 4900, 9000, True, 100),
        ],
        {},
    ),
    "0.9 s with 4 words is no backchannel": (
        [(0, 6000, 12)],
        [(2000, 2900, 4)],
        [
            (U, "turn", 0, 6000, True, None),
            (M, "turn", 2000, 2900, False, None),
            (M, "interruption", 2000, 2900, False, 4000),
        ],
        {"overlap": [(2000, 2900)]},
    ),
    "0.9 s with 3 words is one": (
        [(0, 6000, 12)],
        [(2000, 2900, 3)],
        [(U, "turn", 0, 6000, True, None), (M, "backchannel", 2000, 2900, None, None)],
        {"overlap": [(2000, 2900)]},
    ),
    "1000 ms is a backchannel": (
        [(0, 6000)],
        [(2000, 3000)],
        [(U, "turn", 0, 6000, True, None), (M, "backchannel", 2000, 3000, None, None)],
        {},
    ),
    "1001 ms is none": (
        [(0, 6000)],
        [(2000, 3001)],
        [
            (U, "turn", 0, 6000, True, None),
            (M, "turn", 2000, 3001, False, None),
            (M, "interruption", 2000, 3001, False, 4000),
        ],
        {},
    ),
    "199 ms of silence is bridged, 200 ms is a pause": (
        [(0, 2000), (2199, 4000), (4200, 6000)],
        [],
        [(U, "turn", 0, 6000, True, None)],
        {"pause": [(4000, 4200)], "ipu": [(0, 4000), (4200, 6000)]},
    ),
    "89 ms of speech is dropped, 90 ms is an IPU": (
        [(0, 89), (1000, 1090)],
        [],
        [(U, "turn", 1000, 1090, True, None)],
        {"ipu": [(1000, 1090)], "silence": [(0, 1000), (1090, 20000)]},
    ),
    "two acknowledgements 10 s apart are two backchannels": (
        [(0, 16000)],
        [(2000, 2400), (12400, 12800)],
        [
            (U, "turn", 0, 16000, True, None),
            (M, "backchannel", 2000, 2400, None, None),
            (M, "backchannel", 12400, 12800, None, None),
        ],
        {},
    ),
    "the tail of an utterance under the answer does not take the floor back": (
        [(0, 1200), (1600, 1800), (5000, 5300)],
        [(1300, 9000)],
        [
            (U, "turn", 0, 1200, True, None),
            (M, "turn", 1300, 9000, True, 100),
            (U, "backchannel", 1600, 1800, None, None),
            (U, "backchannel", 5000, 5300, None, None),
        ],
        {},
    ),
    "an acknowledgement is not the head of the interruption that follows it": (
        [(0, 5000)],
        [(4000, 4400), (4700, 8000)],
        [
            (U, "turn", 0, 5000, True, None),
            (M, "backchannel", 4000, 4400, None, None),
            (M, "turn", 4700, 8000, True, -300),
            (M, "interruption", 4700, 8000, True, 300),
        ],
        {},
    ),
    "an interruption is its IPU, and the loser's backchannel does not undo it": (
        [(2000, 5000), (5500, 9000)],
        [(0, 2500), (7000, 7300)],
        [
            (M, "turn", 0, 2500, True, None),
            (U, "turn", 2000, 9000, True, -500),
            (U, "interruption", 2000, 5000, True, 500),
            (M, "backchannel", 7000, 7300, None, None),
        ],
        {},
    ),
    "short utterances long after the other has stopped are a turn": (
        [(2100, 2500), (6000, 6500)],
        [(0, 2000), (7000, 9000)],
        [
            (M, "turn", 0, 2000, True, None),
            (U, "turn", 2100, 6500, True, 100),
            (M, "turn", 7000, 9000, True, 500),
        ],
        {},
    ),
    "a short utterance that outlasts the other by a hair is a turn": (
        [(0, 5000)],
        [(4999, 5600)],
        [
            (U, "turn", 0, 5000, True, None),
            (M, "turn", 4999, 5600, True, -1),
            (M, "interruption", 4999, 5600, True, 1),
        ],
        {},
    ),
    "what the holder says under a long backchannel stays the holder's": (
        [(0, 3000, 9), (5000, 5600, 4), (7500, 9000, 4)],
        [(4900, 5700, 3)],
        [(U, "turn", 0, 9000, True, None), (M, "backchannel", 4900, 5700, None, None)],
        {},
    ),
    "silence only": ([], [], [], {"silence": [(0, 20000)], "pause": [], "gap": []}),
}


def golden_dialogue(user: list, model: list) -> Dialogue:
    def words(spans: list) -> list[tuple[int, int, str]] | None:
        if not spans or len(spans[0]) == 2:
            return None
        return [
            (a + k * (b - a) // n, a + (k + 1) * (b - a) // n, f"w{k}")
            for a, b, n in spans
            for k in range(n)
        ]

    return Dialogue(20000, [s[:2] for s in user], [s[:2] for s in model], words(user), words(model))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name):
    user, model, expected, plainer = GOLDEN[name]
    dialogue = golden_dialogue(user, model)
    (rows,) = events_by_recording(structure_of([dialogue]))
    found = [(*r[:4], *r[7:9]) for r in rows if r[1] in ("turn", "backchannel", "interruption")]
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    for kind, spans in plainer.items():
        assert sorted((r[2], r[3]) for r in rows if r[1] == kind) == spans
    reference = plain.analyse(dialogue, DEFAULTS)
    assert sorted(plain.Event(*r).key() for r in rows) == sorted(e.key() for e in reference.events)


def test_pause_belongs_to_its_speaker():
    dialogue = Dialogue(20000, [(0, 2000), (3000, 4000)], [(6000, 8000), (9000, 11000)])
    (rows,) = events_by_recording(structure_of([dialogue]))
    pauses = [r[:4] for r in rows if r[1] == "pause"]
    assert pauses == [("model", "pause", 8000, 9000), ("user", "pause", 2000, 3000)]


def test_silence_with_both_on_both_sides_is_the_holders_pause():
    dialogue = Dialogue(
        9000, [(0, 300), (1000, 1500), (2000, 2300)], [(0, 500), (1000, 1500), (2000, 2300)]
    )
    (rows,) = events_by_recording(structure_of([dialogue]))
    assert ("model", "pause", 1500, 2000) in [r[:4] for r in rows]
    never_held = Dialogue(9000, [(0, 500), (1000, 1500)], [(0, 500), (1000, 1500)])
    (rows,) = events_by_recording(structure_of([never_held]))
    assert ("none", "gap", 500, 1000) in [r[:4] for r in rows]


def test_first_after_a_tie_takes_the_floor():
    user, model = [(0, 500), (2000, 2600)], [(0, 500), (2200, 2500), (4000, 4300)]
    (rows,) = events_by_recording(structure_of([Dialogue(9000, user, model)]))
    assert ("user", "turn", 2000, 2600) in [r[:4] for r in rows]
    assert ("model", "backchannel", 2200, 2500) in [r[:4] for r in rows]


def test_words_of_an_event_are_those_of_its_ipus():
    words = [(100, 300, "so"), (350, 600, "well"), (2400, 2900, "yes"), (9000, 9100, "ghost")]
    dialogue = Dialogue(20000, [(0, 700), (2300, 3000)], [], words)
    frame = events_frame(structure_of([dialogue]))
    turn = frame.filter(pl.col("kind") == "turn").row(0, named=True)
    assert (turn["text"], turn["n_words"], turn["n_ipus"]) == ("so well yes", 3, 2)
    ipus = frame.filter(pl.col("kind") == "ipu")
    assert ipus["text"].to_list() == ["so well", "yes"]
    assert frame.filter(pl.col("kind") == "silence")["text"].is_null().all()


@pytest.mark.parametrize(("away", "counts"), [(300, 1), (301, 0)])
def test_reach_of_a_word_outside_every_ipu(away, counts):
    at = 1000 + away - 1  # the last millisecond of speech is 999
    dialogue = Dialogue(9000, [(0, 1000)], [], [(at, at, "late")])
    frame = events_frame(structure_of([dialogue]))
    assert frame.filter(pl.col("kind") == "ipu")["n_words"].to_list() == [counts]


def test_no_transcript_is_null_and_an_empty_one_is_not():
    frame = events_frame(
        structure_of([Dialogue(5000, [(0, 2000)]), Dialogue(5000, [(0, 2000)], user_words=[])])
    )
    turns = frame.filter(pl.col("kind") == "turn")
    assert turns["n_words"].to_list() == [None, 0]
    assert turns["text"].to_list() == [None, ""]
    without = events_frame(
        structure_of([Dialogue(5000, [(0, 2000)], user_words=[])]), with_text=False
    )
    assert without["text"].is_null().all()
    assert without.drop("text").equals(
        frame.filter(pl.col("recording") == "r1").drop("text").with_columns(recording=pl.lit("r0"))
    )


def test_a_word_hours_past_its_recording_stays_out_of_the_next():
    far = [(at, at + 100, "stray") for at in range(7_900_000, 8_200_000, 500)]
    dialogues = [Dialogue(10_000, [(0, 1000)], [], far), Dialogue(200_000, [(0, 190_000)], [], [])]
    frame = events_frame(structure_of(dialogues)).filter(pl.col("kind") == "ipu")
    assert frame["n_words"].to_list() == [0, 0]


def test_no_recordings_at_all():
    structure = structure_of([])
    assert len(structure) == 0
    assert events_frame(structure).schema == EVENTS
