"""Validation: truth validates perfectly, a known error comes out as exactly that error."""

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import SAMPLES, Cli, read_jsonl, write_jsonl
from factories import Dialogue, random_dialogue, tracks_of
from hypothesis import given, settings
from hypothesis import strategies as st

import flexi_score
from flexi_score.cli import main
from flexi_score.config import load_settings
from flexi_score.errors import InputError, SettingsError, TranscriptError
from flexi_score.formats import read_segments, read_words
from flexi_score.schema import EVENT_KINDS, FAILURES, SCENARIOS
from flexi_score.scoring.pipeline import score_tracks
from flexi_score.scoring.run import Run
from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.validate import Truth, Validation, read_truth, validate
from flexi_score.validate.match import match
from flexi_score.validate.report import print_validation, validation_md, write_validation
from flexi_score.validate.tables import validation_tables

unhurried = settings(deadline=None)

Segments = Sequence[tuple[int, int]]


def _run(dialogues: Sequence[Dialogue], failures: pl.DataFrame | None = None) -> Run:
    for dialogue in dialogues:
        dialogue.row.setdefault("audio", "call.wav")
    lost = FAILURES.to_frame() if failures is None else failures
    return score_tracks(tracks_of(dialogues), lost, load_settings())


def _row(number: int, dialogue: Dialogue, **more: Any) -> dict[str, Any]:
    row = {"id": f"r{number}", "duration_ms": dialogue.duration, **more}
    for side, spans, words in (
        ("user", dialogue.user, dialogue.user_words),
        ("model", dialogue.model, dialogue.model_words),
    ):
        clipped = [(max(a, 0), min(b, dialogue.duration)) for a, b in spans]
        row[f"{side}_speech"] = [[a, b] for a, b in clipped if b > a]
        row[f"{side}_words"] = None if words is None else [[max(a, 0), b, t] for a, b, t in words]
    return row


def _truth(tmp_path: Path, rows: Sequence[dict[str, Any]]) -> Truth:
    return read_truth(write_jsonl(tmp_path / "truth.jsonl", list(rows)))


def _talk(n: int = 12, spacing: int = 3000, length: int = 1400) -> Dialogue:
    """User and model by turns, far apart."""
    starts = [500 + spacing * i for i in range(n)]
    sides: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for i, start in enumerate(starts):
        sides[i % 2].append((start, start + length))
    return Dialogue(spacing * n + 1000, *sides)


def _errors(validation: Validation) -> pl.DataFrame:
    """Rows of the table that say something is wrong."""
    error = pl.col("measure").is_in(
        [
            "false_alarm",
            "miss",
            "error",
            "false_alarm_of_time",
            "miss_of_time",
            "median",
            "median_abs",
            "p90_abs",
            "unmatched_truth",
            "unmatched_found",
            "bias",
            "mae",
            "only_truth",
            "only_run",
        ]
    ) | (pl.col("part") == "aggregate") & (pl.col("measure") == "error")
    right = pl.col("measure").is_in(["precision", "recall", "f1", "agreement"])
    right |= pl.col("measure").str.starts_with("within")
    off = pl.col("measure").str.contains("found_") & ~pl.col("measure").is_in(
        ["truth_0_found_0", "truth_1_found_1", "found_speech", "unmatched_found"]
    )
    return validation.table.filter(
        ((error | off) & (pl.col("value").abs() > 1e-12))
        | (right & ((pl.col("value") - 100).abs() > 1e-9))
    )


# ---------------------------------------------------------------- what is right, and known wrongs


def test_the_truth_itself_validates_perfectly(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    dialogues = [random_dialogue(rng, SCENARIOS[i % len(SCENARIOS)]) for i in range(140)]
    rows = []
    for i, dialogue in enumerate(dialogues):
        if dialogue.user_words is not None:
            dialogue.user_words = [(max(a, 0), max(a, 0, b), t) for a, b, t in dialogue.user_words]
        if dialogue.model_words is not None:
            dialogue.model_words = [
                (max(a, 0), max(a, 0, b), t) for a, b, t in dialogue.model_words
            ]
        rows.append(_row(i, dialogue, condition={"third": i % 3}))
    result = validate(_run(dialogues), _truth(tmp_path, rows))
    assert result.info["compared"] == 140
    assert _errors(result).is_empty()
    found = result.table.filter(pl.col("by") == "all")
    for kind in EVENT_KINDS:
        n = found.filter((pl.col("item") == kind) & (pl.col("measure") == "recall"))["n"].sum()
        assert n > 0, kind
    agreed = found.filter((pl.col("item") == "all") & (pl.col("measure") == "agreement"))
    assert agreed["n"].item() > 20
    assert result.table.filter(pl.col("part") == "metric")["n"].sum() > 20


def test_ends_90_ms_late_come_out_as_exactly_that(tmp_path: Path) -> None:
    said = _talk()
    late = Dialogue(
        said.duration, [(a, b + 90) for a, b in said.user], [(a, b + 90) for a, b in said.model]
    )
    result = validate(_run([late]), _truth(tmp_path, [_row(0, said)]))
    assert result.value("boundary", "median", "end") == 90
    assert result.value("boundary", "p90_abs", "end") == 90
    assert result.value("boundary", "median", "start") == 0
    assert result.value("boundary", "within_25_ms", "start") == 100
    assert result.value("boundary", "within_25_ms", "end") == 0
    assert result.value("boundary", "within_100_ms", "end") == 100
    assert result.value("boundary", "within_25_ms", "any") == 50
    assert result.value("detection", "miss", "speech") == 0
    assert result.value("detection", "false_alarm", "speech") == pytest.approx(100 * 90 / 1400)
    assert result.value("detection", "false_alarm_of_time", "speech") == pytest.approx(
        100 * 12 * 90 / (2 * said.duration)
    )
    # Within the collar the events are the same; below it none that moved is.
    assert result.value("event", "f1", "ipu") == 100
    strict = validate(_run([late]), _truth(tmp_path, [_row(0, said)]), collar_ms=89)
    assert strict.value("event", "recall", "ipu") == 0
    assert strict.value("event", "precision", "ipu") == 0
    edge = validate(_run([late]), _truth(tmp_path, [_row(0, said)]), collar_ms=90)
    assert edge.value("event", "recall", "ipu") == 100


def test_every_third_ipu_missing_is_a_recall_of_two_thirds(tmp_path: Path) -> None:
    said = _talk(n=18)
    kept = Dialogue(
        said.duration,
        [span for i, span in enumerate(said.user) if i % 3],
        [span for i, span in enumerate(said.model) if i % 3],
    )
    result = validate(_run([kept]), _truth(tmp_path, [_row(0, said)]))
    for speaker in ("user", "model", "all"):
        assert result.value("event", "recall", "ipu", speaker) == pytest.approx(200 / 3)
        assert result.value("event", "precision", "ipu", speaker) == 100
        assert result.value("event", "f1", "ipu", speaker) == pytest.approx(80)
        assert result.value("detection", "miss", "speech", speaker) == pytest.approx(100 / 3)
        assert result.value("boundary", "unmatched_truth", "start", speaker) == pytest.approx(
            100 / 3
        )
        # A boundary that was not found is not within anything.
        assert result.value("boundary", "within_5_ms", "start", speaker) == pytest.approx(200 / 3)
    assert result.value("boundary", "unmatched_found", "any") == 0
    assert result.value("boundary", "median_abs", "any") == 0


def test_swapped_channels_find_nothing(tmp_path: Path) -> None:
    said = _talk()
    result = validate(_run([said.swapped()]), _truth(tmp_path, [_row(0, said)]))
    assert result.value("event", "recall", "ipu") == 0
    assert result.value("event", "precision", "turn") == 0
    # Silences belong to nobody and stay.
    assert result.value("event", "f1", "silence", "none") == 100
    assert result.value("detection", "miss", "speech") == 100
    assert result.value("detection", "false_alarm", "speech") == 100
    assert result.value("boundary", "unmatched_truth", "any") == 100


def test_short_silences_and_blips_are_treated_alike_on_both_sides(tmp_path: Path) -> None:
    said = Dialogue(9000, [(500, 1500), (1600, 2500), (4000, 4050)], [(5000, 6000)])
    heard = Dialogue(9000, [(500, 2500)], [(5000, 6000)])
    truth = _truth(tmp_path, [_row(0, said)])
    result = validate(_run([heard]), truth)
    assert _errors(result).is_empty()
    run = _run([heard])
    raw = validate(run, truth, speech=run.tracks)
    assert raw.info["level"] == "speech"
    assert raw.value("detection", "false_alarm", "speech", "user") == pytest.approx(
        100 * 100 / 1950
    )
    assert raw.value("detection", "miss", "speech", "user") == pytest.approx(100 * 50 / 1950)
    # (4000, 4050) is not found, and neither are 1500 and 1600.
    assert raw.value("boundary", "unmatched_truth", "any", "user") == pytest.approx(100 * 4 / 6)


def test_metric_errors_and_confusions_are_those_that_were_made(tmp_path: Path) -> None:
    row = {"scenario": "turn_taking"}
    truth_rows, heard = [], []
    for i, (offset, error) in enumerate([(300, 50), (700, -20), (500, 0), (800, None)]):
        said = Dialogue(9000, [(500, 2500)], [(2500 + offset, 5000)], row=dict(row))
        truth_rows.append(_row(i, said))
        model = [] if error is None else [(2500 + offset + error, 5000)]
        heard.append(Dialogue(9000, [(500, 2500)], model, row=dict(row)))
    result = validate(_run(heard), _truth(tmp_path, truth_rows))
    item = "turn_taking.latency"
    assert result.value("metric", "bias", item) == pytest.approx(0.01)
    assert result.value("metric", "mae", item) == pytest.approx(0.07 / 3)
    assert result.value("metric", "only_truth", item) == 1
    tor = "turn_taking.tor"
    cells = {
        name: result.value("outcome", name, tor)
        for name in ("truth_1_found_1", "truth_1_found_0", "truth_0_found_1", "truth_0_found_0")
    }
    assert list(cells.values()) == [3, 1, 0, 0]
    assert result.value("outcome", "agreement", tor) == 75
    level = result.aggregates["system"][0]
    assert result.value("aggregate", "truth", tor, level=level) == 1
    assert result.value("aggregate", "found", tor, level=level) == 0.75
    assert result.value("aggregate", "error", item, level=level) == pytest.approx(
        1.53 / 3 - 2.3 / 4
    )
    wrong = next(t for t in validation_tables(result) if t.title == "Wrong outcomes")
    assert [cells[0] for cells in wrong.rows] == ["r3"]


def test_a_stated_outcome_goes_before_the_one_of_the_speech(tmp_path: Path) -> None:
    said = Dialogue(9000, [(500, 2500)], [(3000, 5000)], row={"scenario": "turn_taking"})
    stated = {"tor": 0, "latency": None, "unknown_metric": 4}
    result = validate(_run([said]), _truth(tmp_path, [_row(0, said, outcome=stated)]))
    assert result.value("outcome", "truth_0_found_1", "turn_taking.tor") == 1
    assert result.value("metric", "only_run", "turn_taking.latency") == 1
    # What is not stated comes from the speech.
    assert result.value("metric", "mae", "turn_taking.floor_offset") == 0
    sources = dict(result.outcomes.select("metric", "truth_source").rows())
    assert sources == {
        "tor": "stated",
        "latency": "stated",
        "floor_offset": "speech",
        "jir": "speech",
    }


# ---------------------------------------------------------------- against slow references


def _slow_match(truth: Segments, found: Segments, collar: int) -> list[tuple[int, int]]:
    pairs = []
    for t, (a, b) in enumerate(truth):
        for f, (c, d) in enumerate(found):
            if abs(c - a) <= collar and abs(d - b) <= collar:
                early = (c - a) + (d - b) < 0
                pairs.append((abs(c - a) + abs(d - b), early, t, f))
    taken: list[tuple[int, int]] = []
    for _, _, t, f in sorted(pairs):
        if all(t != other and f != theirs for other, theirs in taken):
            taken.append((t, f))
    return sorted(taken)


_tracks = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), max_size=8).map(
    lambda steps: _laid_out(steps)
)


def _laid_out(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    spans, clock = [], 0
    for gap, length in steps:
        clock += gap + 1
        spans.append((clock, clock + length))
        clock += length
    return spans


def _spans(lists: Sequence[Segments]) -> Spans:
    flat = [
        (r, a + 100_000 * r, b + 100_000 * r) for r, spans in enumerate(lists) for a, b in spans
    ]
    data = np.array(flat, np.int64).reshape(-1, 3)
    return Spans(data[:, 0], data[:, 1], data[:, 2])


@unhurried
@given(st.lists(st.tuples(_tracks, _tracks), min_size=1, max_size=3), st.integers(0, 30))
def test_matching_equals_taking_the_closest_pair_again_and_again(
    sides: list[tuple[Segments, Segments]], collar: int
) -> None:
    got = match(_spans([t for t, _ in sides]), _spans([f for _, f in sides]), collar)
    want, ahead = [], [0, 0]
    for truth, found in sides:
        want += [(t + ahead[0], f + ahead[1]) for t, f in _slow_match(truth, found, collar)]
        ahead = [ahead[0] + len(truth), ahead[1] + len(found)]
    assert list(zip(*(side.tolist() for side in got), strict=True)) == want


@unhurried
@given(st.lists(st.tuples(_tracks, _tracks), min_size=1, max_size=3), st.integers(0, 30))
def test_matching_is_one_to_one_and_no_pair_is_left(
    sides: list[tuple[Segments, Segments]], collar: int
) -> None:
    truth, found = (_spans([pair[i] for pair in sides]) for i in (0, 1))
    t, f = match(truth, found, collar)
    assert len(set(t.tolist())) == len(t)
    assert len(set(f.tolist())) == len(f)
    assert (truth.rec[t] == found.rec[f]).all()
    free = (np.setdiff1d(np.arange(len(truth)), t), np.setdiff1d(np.arange(len(found)), f))
    starts = np.abs(truth.start[free[0]][:, None] - found.start[free[1]][None, :])
    ends = np.abs(truth.end[free[0]][:, None] - found.end[free[1]][None, :])
    assert not ((starts <= collar) & (ends <= collar)).any()


def test_matching_many_equally_spaced_boundaries_takes_few_rounds() -> None:
    at = np.arange(50_000, dtype=np.int64) * 800
    zero = np.zeros(len(at), np.int64)
    t, f = match(Spans(zero, at, at), Spans(zero, at + 400, at + 400), 500)
    assert (t == f).all()
    assert len(t) == len(at)


def test_measures_equal_a_plain_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    truth_rows, heard, plain = [], [], []
    for i in range(40):
        said = random_dialogue(rng)
        said.user_words = said.model_words = None
        other = random_dialogue(rng)
        moved = [
            [
                (max(0, a + int(rng.integers(-60, 60))), b + int(rng.integers(-60, 60)))
                for a, b in spans
                if rng.random() < 0.8
            ]
            for spans in (said.user, said.model)
        ]
        moved[0] += other.user[:2]
        heard.append(Dialogue(said.duration, moved[0], moved[1]))
        truth_rows.append(_row(i, said, condition={"half": i % 2}))
        plain.append((said.duration, (said.user, said.model), moved))
    run = _run(heard)
    result = validate(run, _truth(tmp_path, truth_rows), boundary_collar_ms=150)
    sums = np.zeros(3)
    errors: list[int] = []
    alone = [0, 0]
    for duration, said_spans, heard_spans in plain:
        for theirs, ours in zip(said_spans, heard_spans, strict=True):
            true, got = (_slow_ipus(side, duration) for side in (theirs, ours))
            bits = [np.zeros(duration + 1, bool) for _ in range(2)]
            for bit, side in zip(bits, (true, got), strict=True):
                for a, b in side:
                    bit[a:b] = True
            sums += [bits[0].sum(), (bits[1] & ~bits[0]).sum(), (bits[0] & ~bits[1]).sum()]
            for edge in (0, 1):
                points = [[(s[edge], s[edge]) for s in side] for side in (true, got)]
                pairs = _slow_match(points[0], points[1], 150)
                errors += [points[1][f][0] - points[0][t][0] for t, f in pairs]
                alone = [alone[0] + len(true) - len(pairs), alone[1] + len(got) - len(pairs)]
    assert result.value("detection", "false_alarm", "speech") == pytest.approx(
        100 * sums[1] / sums[0]
    )
    assert result.value("detection", "miss", "speech") == pytest.approx(100 * sums[2] / sums[0])
    assert result.value("boundary", "median", "any") == np.median(errors)
    assert result.value("boundary", "p90_abs", "any") == pytest.approx(
        np.quantile(np.abs(errors), 0.9)
    )
    total = len(errors) + alone[0]
    near = sum(abs(e) <= 25 for e in errors)
    assert result.value("boundary", "within_25_ms", "any") == pytest.approx(100 * near / total)
    assert result.value("boundary", "unmatched_truth", "any") == pytest.approx(
        100 * alone[0] / total
    )
    # Conditions add up to the whole.
    for part, measure, item in (
        ("detection", "miss", "speech"),
        ("event", "recall", "ipu"),
        ("boundary", "within_5_ms", "any"),
    ):
        rows = result.table.filter(
            (pl.col("part") == part)
            & (pl.col("measure") == measure)
            & (pl.col("item") == item)
            & (pl.col("speaker") == "all")
        )
        whole, halves = (rows.filter(pl.col("by") == by) for by in ("all", "half"))
        assert len(halves) == 2
        for column in ("n", "numerator", "denominator"):
            assert halves[column].sum() == whole[column].item()


def _slow_ipus(spans: Segments, duration: int) -> list[tuple[int, int]]:
    joined: list[list[int]] = []
    for a, b in sorted((max(a, 0), min(b, duration)) for a, b in spans):
        if b <= a:
            continue
        if joined and a - joined[-1][1] < 200:
            joined[-1][1] = max(b, joined[-1][1])
        else:
            joined.append([a, b])
    return [(a, b) for a, b in joined if b - a >= 90]


# ---------------------------------------------------------------- which recordings, which groups


def test_recordings_that_are_not_in_both_are_named(tmp_path: Path) -> None:
    said = _talk()
    lost = pl.DataFrame(
        [
            {
                "recording": "broken",
                "system": "model",
                "scenario": "conversation",
                "stage": "audio",
                "error": "AudioError",
                "reason": "gone",
            }
        ],
        schema=FAILURES,
    )
    rows = [_row(0, said), _row(7, said), _row(0, said) | {"id": "broken"}]
    result = validate(_run([said, _talk()], lost), _truth(tmp_path, rows))
    assert result.info["compared"] == 1
    assert result.info["in_truth_not_in_run"] == ["r7"]
    assert result.info["in_run_without_truth"] == ["r1"]
    assert result.info["failed_in_run"] == ["broken"]
    assert result.value("detection", "miss", "speech") == 0
    text = validation_md(result)
    assert "1 with truth but not in the run: 'r7'" in text
    assert "1 failed in the run" in text


def test_recordings_that_the_gate_left_out_are_told_apart(tmp_path: Path) -> None:
    said = _talk()
    said.row["audio"] = "call.wav"
    refused = pl.DataFrame(
        [
            {
                "recording": "dead",
                "system": "model",
                "scenario": "turn_taking",
                "stage": "health",
                "error": "dead",
                "reason": "dead",
            }
        ],
        schema=FAILURES,
    )
    run = score_tracks(tracks_of([said]), FAILURES.to_frame(), load_settings(), refused=refused)
    result = validate(run, _truth(tmp_path, [_row(0, said), _row(0, said) | {"id": "dead"}]))
    assert result.info["excluded_in_run"] == ["dead"]
    assert result.info["in_truth_not_in_run"] == []
    assert _errors(result).is_empty()


def test_nothing_in_common_is_an_error_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"share no recording.*'r0'.*'r9'"):
        validate(_run([_talk()]), _truth(tmp_path, [_row(9, _talk())]))


def test_a_side_without_truth_is_left_out(tmp_path: Path) -> None:
    said = _talk()
    row = _row(0, said) | {"model_speech": None}
    heard = Dialogue(said.duration, said.user, [])
    result = validate(_run([heard]), _truth(tmp_path, [row]))
    assert result.info["one_side_only"] == 1
    assert result.value("detection", "error", "speech", "user") == 0
    assert result.value("detection", "error", "speech", "model") is None
    assert result.value("event", "recall", "ipu") is None
    assert result.outcomes.is_empty()


def test_groups_by_condition_by_metadata_and_crossed(tmp_path: Path) -> None:
    said = _talk()
    late = Dialogue(said.duration, [(a, b + 60) for a, b in said.user], list(said.model))
    heard = []
    for i, dialogue in enumerate((said, late, late)):
        row = {"metadata": json.dumps({"voice": f"v{i}"}), "system": f"s{i % 2}"}
        heard.append(Dialogue(dialogue.duration, dialogue.user, dialogue.model, row=row))
    rows = [
        _row(i, said, condition={"snr_db": snr, "room": None}, batch="b")
        for i, snr in enumerate((30, 15, 5.5))
    ]
    run, truth = _run(heard), _truth(tmp_path, rows)
    result = validate(run, truth)
    levels = result.groups.filter(pl.col("by") == "snr_db")["level"].to_list()
    assert levels == ["30", "15", "5.5"]
    assert result.value("boundary", "median", "end", "user", "30") == 0
    assert result.value("boundary", "median", "end", "user", "5.5") == 60
    by = validate(run, truth, by=["voice", "system,snr_db", "batch"])
    assert by.value("boundary", "median", "end", "user", "v0") == 0
    assert set(by.groups["level"]) >= {"s0, 30", "s1, 15", "s0, 5.5", "b"}
    named = validate(
        run, _truth(tmp_path, [r | {"condition": {"name": "x", "snr_db": 1}} for r in rows])
    )
    assert set(named.groups["by"]) == {"all", "name"}
    with pytest.raises(SettingsError, match="--by 'vioce'"):
        validate(run, truth, by=["vioce"])
    with pytest.raises(SettingsError, match="boundary collar"):
        validate(run, truth, boundary_collar_ms=60_000)


# ---------------------------------------------------------------- formats of truth

_EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" VERSION="3.0">
 <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
 <TIME_ORDER>
{slots}
 </TIME_ORDER>
{tiers}
</ANNOTATION_DOCUMENT>
"""


def _eaf(sides: dict[str, Segments]) -> str:
    slots, tiers, number = [], [], 0
    for name, spans in sides.items():
        items = []
        for start, end in spans:
            for at in (start, end):
                number += 1
                slots.append(f'<TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{at}"/>')
            items.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" '
                f'TIME_SLOT_REF1="ts{number - 1}" TIME_SLOT_REF2="ts{number}">'
                "<ANNOTATION_VALUE>so &amp; so</ANNOTATION_VALUE>"
                "</ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        tiers.append(f'<TIER LINGUISTIC_TYPE_REF="x" TIER_ID="{name}">{"".join(items)}</TIER>')
    return _EAF.format(slots="\n".join(slots), tiers="\n".join(tiers))


def _grid(sides: dict[str, Segments], duration: int) -> str:
    lines = ['"ooTextFile"', '"TextGrid"', f"0 {duration / 1000}", "<exists>", f"{len(sides)}"]
    for name, spans in sides.items():
        items = [(a, b, "x") for a, b in spans]
        lines += ['"IntervalTier"', f'"{name}"', f"0 {duration / 1000}", f"{len(items)}"]
        lines += [f'{a / 1000} {b / 1000} "{text}"' for a, b, text in items]
    return "\n".join(lines) + "\n"


def _rttm(name: str, sides: dict[str, Segments]) -> str:
    return "".join(
        f"SPEAKER {name} 1 {a / 1000:.3f} {(b - a) / 1000:.3f} <NA> <NA> {side} <NA> <NA>\n"
        for side, spans in sides.items()
        for a, b in spans
    )


def test_every_format_of_truth_gives_the_same(tmp_path: Path) -> None:
    rows = [row for row in read_jsonl(SAMPLES / "truth.jsonl") if row["model_speech"]][:6]
    names = [row["id"] for row in rows]
    sides = {row["id"]: {s: row[f"{s}_speech"] for s in ("user", "model")} for row in rows}
    folders = {name: tmp_path / name for name in ("eaf", "grid", "rttm", "single", "paths")}
    for folder in folders.values():
        folder.mkdir()
    manifest = []
    for row in rows:
        name, said = row["id"], sides[row["id"]]
        (folders["eaf"] / f"{name}.eaf").write_text(_eaf(said))
        (folders["grid"] / f"{name}.TextGrid").write_text(_grid(said, row["duration_ms"]))
        (folders["rttm"] / f"{name}.rttm").write_text(_rttm("whatever", said))
        for side in said:
            file = f"{name}.{side}.rttm"
            (folders["single"] / file).write_text(_rttm("x", {"someone": said[side]}))
        (folders["paths"] / f"{name}.eaf").write_text(_eaf(said))
        manifest.append({"id": name, "user_speech": f"{name}.eaf", "model_speech": f"{name}.eaf"})
    write_jsonl(folders["paths"] / "truth.jsonl", manifest)
    together = tmp_path / "all.rttm"
    together.write_text("".join(_rttm(name, said) for name, said in sides.items()))
    want = read_truth(write_jsonl(tmp_path / "want.jsonl", rows)).speech.sort(pl.all())
    assert len(want) > 20
    for source in (*folders.values(), together):
        got = read_truth(source)
        assert got.failures.is_empty(), got.failures.rows()
        assert sorted(got.recordings["recording"]) == sorted(names)
        assert got.speech.sort(pl.all()).equals(want), source


def test_a_malformed_truth_costs_its_row_and_is_named(tmp_path: Path) -> None:
    good = _row(0, _talk())
    bad = [
        ({"id": "r1", "user_speech": [[5, 3]]}, r"user_speech\[0\]: ends at 3 ms"),
        ({"id": "r2", "user_speech": [[1.5, 3]]}, r"user_speech\[0\]: found 1.5, expected whole"),
        ({"id": "r3", "user_speech": [[1, 2, 3]]}, r"expected \[start_ms, end_ms\]"),
        ({"id": "r4"}, "has neither user_speech nor model_speech"),
        ({"user_speech": []}, "'id' is missing"),
        ({"id": "r6", "user_speech": [], "outcome": {"tor": "yes"}}, "outcome.tor: found 'yes'"),
        ({"id": "r7", "user_speech": "none.eaf"}, "none.eaf: no such file"),
        ({"id": "r0", "user_speech": []}, "'r0' is already that of line 1"),
        ({"id": "r9", "user_speech": [[-5, 3]]}, "found -5, expected whole milliseconds"),
        ({"id": "r10", "user_speech": [], "condition": "loud"}, "condition: found 'loud'"),
        ({"id": "r11", "user_speech": [], "duration_ms": "long"}, "duration_ms: found 'long'"),
    ]
    path = write_jsonl(tmp_path / "truth.jsonl", [good, *(row for row, _ in bad)])
    with path.open("a") as file:
        file.write("{not json\n")
    truth = read_truth(path)
    assert truth.recordings["recording"].to_list() == ["r0"]
    reasons = truth.failures["reason"].to_list()
    assert len(reasons) == len(bad) + 1
    for number, (reason, (_, pattern)) in enumerate(zip(reasons, bad, strict=False), 2):
        assert f"{path}, line {number}: " in reason
        with pytest.raises(AssertionError, match=pattern):
            raise AssertionError(reason)
    assert "line 13: not valid JSON" in reasons[-1]
    result = validate(_run([_talk()]), truth)
    assert len(result.info["unreadable_truth"]) == len(bad) + 1


def test_truth_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_truth(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no truth.*named after their recordings"):
        read_truth(tmp_path / "empty")
    (tmp_path / "empty" / "a.eaf").write_text("<html/>")
    with pytest.raises(InputError, match=r"a.eaf, line 1: found <'html'>"):
        read_truth(tmp_path / "empty")
    one = tmp_path / "one"
    one.mkdir()
    (one / "a.rttm").write_text(_rttm("a", {"speaker_1": [(0, 100)]}))
    with pytest.raises(InputError, match=r"speakers of 'a' are 'speaker_1', which leaves open"):
        read_truth(one)
    (one / "a.eaf").write_text(_eaf({"user": [(0, 100)], "model": []}))
    truth = read_truth(one)
    assert "already has its truth" in truth.failures["reason"].item()
    assert truth.recordings.select("user_known", "model_known").row(0) == (True, True)


# ---------------------------------------------------------------- ELAN


def test_elan_gives_speech_and_words(tmp_path: Path) -> None:
    path = tmp_path / "call.eaf"
    path.write_text(
        _eaf({"User": [(250, 900), (1200, 1300)], "model": [(2000, 2500)], "notes": []})
    )
    assert read_segments(path, "user").rows() == [(250, 900), (1200, 1300)]
    assert read_segments(path, "model").rows() == [(2000, 2500)]
    assert read_words(path, "model").rows() == [(2000, 2500, "so & so")]
    path.write_text(_eaf({"speech": [(5, 9)]}))
    assert read_segments(path, "user").rows() == [(5, 9)]
    unnamed = shutil.copy(path, tmp_path / "unnamed")
    assert read_segments(unnamed).rows() == [(5, 9)]


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (
            ("<ANNOTATION_DOCUMENT", '<!DOCTYPE x [<!ENTITY a "aa">]><ANNOTATION_DOCUMENT'),
            "line 2: found a document type",
        ),
        (("milliseconds", "PAL-frames"), "TIME_UNITS is 'PAL-frames'"),
        ((' TIME_VALUE="900"', ""), "line 12 .annotation 'a2'.: time slot 'ts2' has no TIME_VALUE"),
        (('TIME_VALUE="900"', 'TIME_VALUE="-9"'), "line 6: TIME_VALUE is '-9'"),
        (('TIME_VALUE="900"', 'TIME_VALUE="9"'), "ends at 9 ms, before its start at 250 ms"),
        (('TIME_SLOT_REF2="ts2"', 'TIME_SLOT_REF2="ts99"'), "'ts99' is not in the file"),
        (('TIER_ID="model"', 'TIER_ID="user"'), "tier 'user' is given twice"),
        (('TIER_ID="user"', 'TIER_ID="A"'), "found tiers 'A', 'model', expected one"),
        (("</ANNOTATION_DOCUMENT>", ""), "not valid XML"),
        (("so &amp; so", "so &b; so"), "not valid XML"),
    ],
)
def test_a_malformed_elan_file_is_named(
    tmp_path: Path, change: tuple[str, str], pattern: str
) -> None:
    text = _eaf({"user": [(250, 900), (1200, 1300)], "model": [(2000, 2500)]})
    assert change[0] in text
    path = tmp_path / "call.eaf"
    path.write_text(text.replace(*change, 1))
    with pytest.raises(TranscriptError, match=pattern) as caught:
        read_segments(path, "user")
    assert str(path) in str(caught.value)


def test_entities_never_expand(tmp_path: Path) -> None:
    nested = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    path = tmp_path / "bomb.eaf"
    head = f'<!DOCTYPE x [<!ENTITY e0 "ha">{nested}]>'
    path.write_text(head + _eaf({"user": [(1, 2)]}).split("\n", 1)[1].replace("so &amp;", "&e11;"))
    with pytest.raises(TranscriptError, match="document type or entity"):
        read_segments(path, "user")


# ---------------------------------------------------------------- files and the command line


def test_files_are_whole_and_names_cannot_break_them(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script> | `b` ]]> &amp;'
    said = _talk()
    rows = [_row(i, said, condition={"kind": evil if i else "plain"}) for i in range(2)]
    late = Dialogue(said.duration, [(a, b + 60) for a, b in said.user], list(said.model))
    result = validate(_run([late, said]), _truth(tmp_path, rows))
    written = write_validation(result, tmp_path / "out")
    assert {p.name for p in written} >= {
        f"validation.{s}" for s in ("parquet", "json", "md", "svg")
    }
    data = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert len(data["table"]) == len(result.table)
    assert pl.read_parquet(tmp_path / "out" / "validation.parquet").equals(result.table)
    svg = ET.fromstring((tmp_path / "out" / "validation.svg").read_text())
    texts = [node.text or "" for node in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert any("plain" in text for text in texts)
    assert not list(svg.iter("{http://www.w3.org/2000/svg}script"))
    assert "<script>" not in (tmp_path / "out" / "validation.md").read_text()


def test_a_group_without_any_speech_can_be_shown(tmp_path: Path) -> None:
    from rich.console import Console

    quiet = Dialogue(5000)
    rows = [_row(0, quiet, condition={"k": 1}), _row(1, quiet, condition={"k": 2})]
    result = validate(_run([quiet, quiet]), _truth(tmp_path, rows))
    assert result.value("detection", "miss", "speech") is None
    assert result.value("event", "f1", "silence", "none") == 100
    with (tmp_path / "shown").open("w") as file:
        print_validation(Console(file=file, width=100), result)
    write_validation(result, tmp_path)
    ET.fromstring((tmp_path / "validation.svg").read_text())


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory: pytest.TempPathFactory, sample_archive: Path) -> Path:
    """A run over the samples of one system."""
    folder = tmp_path_factory.mktemp("validate") / "run"
    rows = [row for row in read_jsonl(SAMPLES / "manifest.jsonl") if row["system"] == "calm"]
    for row in rows:
        row["audio"] = str(SAMPLES / row["audio"])
    manifest = write_jsonl(folder.parent / "manifest.jsonl", rows)
    plain = load_settings("paper", {"extract.asr": "none"})
    shutil.copytree(sample_archive, folder / "archive")
    run = flexi_score.score(manifest, settings=plain, archive=folder / "archive")
    flexi_score.write(run, folder)
    return folder


def _main(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in ("validate", *arguments)])
    shown = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, shown.out, shown.err


def test_the_samples_validate_from_the_command_line(
    sample_run: Path, cli: Cli, tmp_path: Path
) -> None:
    truth = SAMPLES / "truth.jsonl"
    done = cli("validate", sample_run, truth, "--out", tmp_path, "--by", "scenario")
    assert done.returncode == 0, done.stderr
    assert "16 with truth but not in the run: 'eager_turn_taking_1'" in done.stdout
    assert "13 recordings compared on IPUs" in done.stdout
    rows = json.loads((tmp_path / "validation.json").read_text())["table"]
    value = {
        (r["part"], r["item"], r["measure"]): r["value"]
        for r in rows
        if r["by"] == "all" and r["speaker"] == "all"
    }
    assert value["detection", "speech", "error"] < 5
    assert value["boundary", "any", "median_abs"] < 30
    assert value["boundary", "any", "unmatched_truth"] == 0
    assert value["event", "ipu", "f1"] == 100
    assert value["outcome", "all", "agreement"] == 100
    assert 0 < value["metric", "model_interrupt.lead", "mae"] < 0.1
    agreed = [r for r in rows if r["measure"] == "agreement" and r["item"] == "all"]
    assert len(agreed) == 7
    assert sum(r["n"] for r in agreed if r["by"] == "scenario") == agreed[0]["n"] > 10


def test_an_archive_is_scored_under_other_settings(
    sample_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = SAMPLES / "truth.jsonl"
    changed = ("--set", "speech.boundaries=false", "--set", "extract.asr=none", "--max-error", "2")
    code, _, errors = _main(capsys, sample_run / "archive", truth, *changed)
    assert code == 3
    assert "tripped: detection error is" in errors
    limit = ("--level", "speech", "--max-boundary-ms", "200")
    code, shown, errors = _main(capsys, sample_run, truth, *limit)
    assert code == 0, errors
    assert "compared on speech segments" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--level", "words"), 'Choose from: "ipu", "speech"'),
        (("--set", "ipu.min_silence_ms=1"), "give its archive as RUN"),
        (("--by", "moon"), "no recording has such a key"),
        (("--collar-ms", "-1"), "expected 0 to 5000 ms"),
    ],
)
def test_usage_errors(
    sample_run: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, _, errors = _main(capsys, sample_run, SAMPLES / "truth.jsonl", *arguments)
    assert code == 2
    assert message in errors


def test_unreadable_truth_makes_the_exit_code_1(
    sample_run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [*read_jsonl(SAMPLES / "truth.jsonl"), {"id": "broken", "user_speech": [[9, 1]]}]
    code, shown, _ = _main(capsys, sample_run, write_jsonl(tmp_path / "t.jsonl", rows))
    assert code == 1
    assert "t.jsonl, line 30: user_speech[0]: ends at 1 ms" in shown.replace("\n", "")


def test_axis_guard_is_wider_than_any_collar() -> None:
    from flexi_score.validate.validation import MOST_COLLAR_MS

    assert axis.GUARD_MS > MOST_COLLAR_MS
