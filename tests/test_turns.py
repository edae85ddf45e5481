"""Turn ends and interruptions against annotators: a conversation by hand, plain rules, the verb."""

import json

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings

from flexi_score.config import SummarySettings
from flexi_score.errors import InputError
from flexi_score.validate.turn_measures import turn_measures
from flexi_score.validate.turns import (
    CLASSES,
    ITEMS,
    LABELS,
    PREDICTIONS,
    Label,
    agreed_labels,
    find_items,
    read_labels,
    read_predictions,
    turn_items,
)

FAST = SummarySettings(resamples=100)
FLOOR, ATTEMPT = (
    "Floor-taking Competitive Interruption",
    "Non-floor Taking Competitive Interruption",
)

#: Speaker 1 talks with a pause at 2.0 to 2.8 s, until 5 s; speaker 2 acknowledges at 3 s, answers
#: at 5.4 s, and is cut off by speaker 1 at 8 s.
CALL = {
    1: [(0, 2000, "Normal Turn"), (2800, 5000, "Normal Turn"), (8000, 10_000, FLOOR)],
    2: [(3000, 3400, "Continuer Backchannel"), (5400, 8300, "Normal Turn")],
}


def frame(tracks):
    """Labels of (speaker, annotator): entries."""
    rows = [
        {"recording": "c", "speaker": ("user", "model")[speaker - 1], "annotator": annotator}
        | {"start_ms": a, "end_ms": b, "label": text}
        for (speaker, annotator), entries in tracks.items()
        for a, b, text in entries
    ]
    return pl.DataFrame(rows, schema=LABELS)


def call(shift=0, extra=()):
    """Three annotators, the second of whom is off by ``shift``, the third with more labels."""
    tracks = {}
    for speaker, entries in CALL.items():
        tracks[speaker, "a"] = entries
        tracks[speaker, "b"] = [(a + shift, b + shift, text) for a, b, text in entries]
        tracks[speaker, "c"] = [*entries, *(extra if speaker == 1 else ())]
    return tracks


def predicted(*rows):
    return pl.DataFrame([("c", *row) for row in rows], schema=PREDICTIONS, orient="row")


def measured(labels, predictions):
    items, agreement = turn_items(labels, predictions)
    assert items.schema == ITEMS
    table = turn_measures(items, agreement, FAST)
    return items, {(r["task"], r["measure"]): r for r in table.iter_rows(named=True)}


def test_a_conversation_worked_out_on_paper():
    predictions = predicted(
        ("user", "end_of_turn", 1800),  # 0.2 s before the pause: false
        ("user", "end_of_turn", 5300),  # 0.3 s late
        ("user", "end_of_turn", 5350),  # a second one counts no further, and in no pause
        ("model", "end_of_turn", 11_400),  # 3.1 s after 8.3 s: a miss
        ("user", "interruption", 8500),  # 0.5 s late
        ("model", "interruption", 3200),  # at a backchannel: false
        ("model", "interruption", 6000),  # nowhere: does not count
    )
    items, found = measured(frame(call(shift=100)), predictions)
    # The model's floor passes at 8.3 s: the user, who cut in, is still speaking.
    events = items.filter("positive").select("speaker", "task", "start_ms", "predicted_ms").rows()
    assert sorted(events) == [
        ("model", "end_of_turn", 8300, None),
        ("user", "end_of_turn", 5000, 5300),
        ("user", "end_of_turn", 10_000, None),
        ("user", "interruption", 8000, 8500),
    ]
    spans = items.filter(~pl.col("positive")).drop("recording", "positive").rows()
    assert sorted(spans) == [
        ("model", "interruption", 3000, 3400, 3200),
        ("user", "end_of_turn", 2000, 2800, 1800),
    ]
    assert found["end_of_turn", "recall"]["value"] == pytest.approx(1 / 3)
    assert found["end_of_turn", "false_positive"]["value"] == 1.0
    assert found["end_of_turn", "latency_p50"]["value"] == pytest.approx(0.3)
    assert found["interruption", "recall"]["value"] == 1.0
    # 0.5 s for the hit, 0.4 s for the backchannel that fires, over two.
    assert found["interruption", "penalty"]["value"] == pytest.approx(0.45)
    for task in ("end_of_turn", "interruption"):
        assert found[task, "agreed"]["value"] == found[task, "f1"]["value"] == 1.0
    assert found["interruption", "recall"]["ci_low"] is None  # one recording


def test_what_is_missed_costs_its_length():
    _, found = measured(frame(call()), predicted(("user", "end_of_turn", 0)))
    assert found["interruption", "penalty"]["value"] == pytest.approx(2.0 / 2)
    assert found["interruption", "latency_p50"]["value"] is None


def test_labels_without_a_majority_count_neither_way():
    alone = call(extra=[(11_000, 12_000, "Normal Turn"), (8000, 9000, "Laughter")])
    times = predicted(("user", "interruption", 11_500), ("user", "end_of_turn", 11_900))
    items, found = measured(frame(alone), times)
    assert items["predicted_ms"].null_count() == len(items)
    # Five labels of each annotator are backed, the third's turn at 11 s and the laugh are not.
    row = found["interruption", "agreed"]
    assert (row["numerator"], row["denominator"]) == (15, 17)
    # An attempt that does not take the floor is no event, and nothing false.
    tried = {
        key: [(a, b, ATTEMPT if text == FLOOR else text) for a, b, text in entries]
        for key, entries in call().items()
    }
    items, _ = measured(frame(tried), predicted(("user", "interruption", 8100)))
    assert items.filter(task="interruption")["predicted_ms"].to_list() == [None]


def test_a_pause_ends_at_the_first_sign_that_it_is_none():
    tracks = call()
    for who in "abc":
        tracks[1, who] = [*tracks[1, who], (2300, 2500, "Continuer Backchannel")]
    items, _ = measured(frame(tracks), predicted(("user", "end_of_turn", 0)))
    pause = items.filter(~pl.col("positive"), task="end_of_turn")
    assert pause.select("start_ms", "end_ms").rows() == [(2000, 2300)]


def test_agreement_takes_the_most_and_their_median():
    a, b, c = [Label(0, 1000, "turn")], [Label(150, 1100, "turn")], [Label(300, 1200, "turn")]
    # The first and third are 0.3 s apart: the first takes the second, the third stands alone, but
    # overlaps what is agreed.
    assert agreed_labels([a, b, c]) == ([Label(75, 1050, "turn")], [], 2)
    assert agreed_labels([a, [], c]) == ([], [Label(0, 1200, "disputed")], 0)
    assert agreed_labels([a, [Label(0, 1000, "sound")], a])[0] == a


times = st.lists(st.integers(0, 400).map(lambda i: i * 50), max_size=8, unique=True).map(sorted)


@settings(max_examples=37, deadline=None)
@given(times, times, times)
def test_claims_equal_the_plain_rules(starts, edges, fired):
    events = [Label(s, s, "end") for s in starts]
    spans = [Label(a, b, "pause") for a, b in zip(edges[::2], edges[1::2], strict=False)]
    left, windows, want = list(fired), [], []
    for i, start in enumerate(starts):
        low, high = start - 250, start + 3000
        if i + 1 < len(starts):
            high = min(high, starts[i + 1])
        windows.append((low, high))
        inside = [t for t in left if low <= t <= high]
        want.append(inside[0] if inside else None)
        if inside:
            left.remove(inside[0])
    free = [t for t in left if all(not low <= t <= high for low, high in windows)]
    false = [next((t for t in free if s.start - 250 <= t <= s.end), None) for s in spans]
    assert find_items(events, spans, fired) == (want, false)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.sampled_from(sorted(CLASSES)),
                          st.integers(0, 200), st.integers(1, 40)), max_size=10))  # fmt: skip
def test_whoever_predicts_the_labels_is_right(entries):
    tracks = {(s, who): [] for s in (1, 2) for who in "abc"}
    apart = 3  # steps; within 0.2 s two labels of one speaker could stand for each other
    ends = {1: -apart, 2: -apart}
    for speaker, text, start, length in sorted(entries, key=lambda entry: entry[2:]):
        if start < ends[speaker] + apart:
            continue
        ends[speaker] = start + length
        for who in "abc":
            tracks[speaker, who].append((start * 100, (start + length) * 100, text))
    labels = frame(tracks)
    if labels.is_empty():
        return
    items, _ = turn_items(labels, PREDICTIONS.to_frame())
    right = items.filter("positive").select("recording", "speaker", "task", time_ms="start_ms")
    _, found = measured(labels, right)
    for task in ("end_of_turn", "interruption"):
        recall = found[task, "recall"]
        # A second prediction at the very time of another event is claimed all the same.
        assert recall["value"] in (None, 1.0)
        assert found[task, "false_positive"]["value"] in (None, 0.0)
        assert found[task, "agreed"]["value"] in (None, 1.0)


def stamp(ms):
    return f"00:00:{ms // 1000:02d},{ms % 1000:03d}"


def test_the_verb_reads_turnbench_folders_and_submissions(cli, tmp_path):
    folder = tmp_path / "dev" / "20"
    folder.mkdir(parents=True)
    for (speaker, who), entries in call().items():
        cues = [
            f"{i}\n{stamp(a)} --> {stamp(b)}\n{text}\n" for i, (a, b, text) in enumerate(entries, 1)
        ]
        (folder / f"speaker_{speaker}_annotation_{who}.srt").write_text("\n".join(cues))
        (folder / f"speaker_{speaker}_audio.wav").touch()
    labels = read_labels(tmp_path / "dev")
    assert labels["recording"].unique().to_list() == ["20"]
    assert len(labels) == 15
    submission = {
        "schema_version": 1,
        "predictions": [
            {"conversation_id": "20", "speaker_1": {"eot": [5.3], "interruption": [8.5]}}
            | {"speaker_2": {"eot": [], "interruption": []}}
        ],
    }
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps(submission))
    told = cli("turns", file, tmp_path / "dev", "--out", tmp_path / "turns.csv")
    assert told.returncode == 0, told.stderr
    table = pl.read_csv(tmp_path / "turns.csv")
    recall = table.filter(task="end_of_turn", measure="recall")
    assert recall["value"].to_list() == pytest.approx([1 / 3])
    assert "0.333" in told.stdout
    file.write_text('{"predictions": [{}]}')
    with pytest.raises(InputError, match="is no submission to TurnBench"):
        read_predictions(file)
    (folder / "speaker_1_annotation_a.srt").write_text(f"1\n{stamp(0)} --> {stamp(9)}\nHello\n")
    with pytest.raises(InputError, match="found the label 'Hello', expected one of Normal Turn"):
        read_labels(tmp_path / "dev")
