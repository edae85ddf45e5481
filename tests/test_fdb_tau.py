"""Profiles fdb-v1 and tau: plain references, dialogues made by hand, what is hidden and why."""

import json
from dataclasses import fields, replace

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
import reference_conversation as plain
from factories import Dialogue, random_dialogue, tracks_of
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from flexi_score.aggregate import summarize
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import PROFILES, SummarySettings, load_settings
from flexi_score.metrics import fdb_v1, release, tau
from flexi_score.schema import SCENARIOS, SCORES
from flexi_score.scoring.fill import fill_given
from flexi_score.scoring.load import load_tracks
from flexi_score.segment.structure import build_structure
from flexi_score.segment.tracks import Envelope, select_tracks

FDB = load_settings("fdb-v1")
ALL = load_settings("tau", {"tau.min_events": 0})
TAU = load_settings("tau")
FAST = SummarySettings(resamples=100)
OVERLAPPED = ("user_interrupt", "user_backchannel")
seeds = st.integers(0, 2**32 - 1)


def dialogues_of(found, scenario="conversation"):
    made = [random_dialogue(np.random.default_rng(seed), scenario) for seed in found]
    for seed, dialogue in zip(found, made, strict=True):
        at = np.random.default_rng(seed).integers(0, dialogue.duration + 1, (seed % 3, 2))
        pairs = np.sort(at, axis=1).tolist()
        dialogue.row["tools"] = [{"start_ms": a, "end_ms": b} for a, b in pairs] or None
    return made


def by_recording(table):
    """Rows by metric and recording number."""
    return {(row["metric"], int(row["recording"][1:])): row for row in table.iter_rows(named=True)}


# ---- fdb-v1


def levels_of(dialogues):
    """An envelope of each model's channel (hundredths of dB every 10 ms); every third has none."""
    rng = np.random.default_rng(len(dialogues))
    return [
        rng.integers(-9000, 0, 0 if i % 3 == 2 else d.duration // 10)
        for i, d in enumerate(dialogues)
    ]


def fdb(dialogues, scenario, chosen=FDB, levels=None):
    tracks = tracks_of(dialogues)
    levels = levels_of(dialogues) if levels is None else levels
    first = np.cumsum([0, *map(len, levels)])
    late = np.array([d.row.get("model_offset_ms") or 0 for d in dialogues], np.int64)
    cdb = np.concatenate([np.empty(0, np.int64), *levels])
    tracks = replace(tracks, model_envelope=Envelope(cdb, first, late))
    table = fdb_v1.SCORERS[scenario](tracks, np.arange(len(dialogues)), chosen, {})
    table = fill_given(table, tracks.recordings)
    assert table.schema == SCORES
    names = [m.name for m in fdb_v1.METRICS if m.scenario == scenario]
    if dialogues:
        assert table["metric"].unique(maintain_order=True).to_list() == names
    assert table["reason"].null_count() == 0
    assert table["rule"].null_count() == 0
    unscored = ["not_applicable", "excluded", "failed"]
    assert (table["value"].is_null() == table["status"].is_in(unscored)).all()
    return by_recording(table)


def overlap_of(dialogue, scenario):
    row = dialogue.row
    if scenario == "user_interrupt":
        found = row.get("interrupt_start_ms"), row.get("interrupt_end_ms")
        return None if None in found else found
    spans = row.get("backchannels") or []
    return (spans[0]["start_ms"], spans[0]["end_ms"]) if spans else None


def check_fdb(dialogues):
    for scenario, end in (
        ("turn_taking", "user_turn_end_ms"),
        ("pause_handling", None),
        ("user_interrupt", "interrupt_end_ms"),
    ):
        table = fdb(dialogues, scenario)
        for i, dialogue in enumerate(dialogues):
            tor, _ = plain.fdb_takeover(dialogue.model_words)
            assert table["tor", i]["value"] == tor
            if end is not None:
                want = plain.fdb_latency(dialogue.model_words, dialogue.row.get(end))
                assert table["latency", i]["value"] == want
            if scenario == "turn_taking":
                found = [table[name, i]["value"] for name in ("tool_latency", "task_latency")]
                assert found == pytest.approx(list(plain.fdb_tools(dialogue)))
            if scenario == "user_interrupt":
                rating = dialogue.row.get("rating")
                assert table["rating", i]["value"] == (rating if tor else None)
    levels = levels_of(dialogues)
    for scenario in OVERLAPPED:
        table = fdb(dialogues, scenario)
        for i, dialogue in enumerate(dialogues):
            for name, events in zip(
                ("stop_latency", "response_latency"), plain.fdb_timing(dialogue, FDB), strict=True
            ):
                row = table[name, i]
                assert row["weight"] == (len(events) or None)
                if events:
                    assert row["value"] == pytest.approx(sum(events) / len(events) / 1000)
            change = plain.fdb_rate_change(dialogue, overlap_of(dialogue, scenario), FDB)
            assert table["rate_change", i]["value"] == pytest.approx(change)
            change = plain.fdb_intensity_change(dialogue, overlap_of(dialogue, scenario), levels[i])
            assert table["intensity_change", i]["value"] == pytest.approx(change)
            want = plain.fdb_behaviour(dialogue, overlap_of(dialogue, scenario), FDB)
            for name in ("respond", "resume", "uncertain", "unknown"):
                assert table[name, i]["value"] == (None if want is None else want == name)


def test_fdb_is_the_reference_on_random_recordings():
    check_fdb(dialogues_of(range(400)))


def test_speech_rate_before_and_after_worked_out_on_paper():
    # 1.8 s with 6 words before the overlap at 2 s, 0.6 s in it, 2 s with 3 words after it.
    call = Dialogue(
        6000,
        [(2000, 2600)],
        [(200, 2600), (3600, 5600)],
        None,
        [(200 + 300 * k, 500 + 300 * k, "w") for k in range(6)]
        + [(2000, 2600, "cut")]
        + [(3600 + 600 * k, 4200 + 600 * k, "w") for k in range(3)],
        {"interrupt_start_ms": 2000, "interrupt_end_ms": 2600},
    )
    row = fdb([call], "user_interrupt")["rate_change", 0]
    assert row["value"] == pytest.approx(3 / 2 - 6 / 1.8)
    assert row["reason"] == "3.333 words/s before, 1.5 words/s after"
    alone = fdb([Dialogue(6000, [(2000, 2600)], [(200, 2600)], None, call.model_words, call.row)],
                "user_interrupt")["rate_change", 0]  # fmt: skip
    assert (alone["value"], alone["status"]) == (None, "not_applicable")


def test_waiting_for_tools_worked_out_on_paper():
    # The turn ends at 2 s; tools run in 2.5-3.5 and 3-6 s; "one moment" at 4 s, then at 6.4 s.
    tools = [{"start_ms": 2500, "end_ms": 3500}, {"start_ms": 3000, "end_ms": 6000}]
    row = {"user_turn_end_ms": 2000, "tools": tools}
    words = [(4000, 4400, "one"), (4400, 4900, "moment"), (6400, 6900, "found")]
    speech = [(4000, 4900), (6400, 6900)]
    call = Dialogue(9000, [(200, 2000)], speech, None, words, row)
    table = fdb([call], "turn_taking")
    assert table["tool_latency", 0]["value"] == pytest.approx(0.5)
    assert table["task_latency", 0]["value"] == pytest.approx(4.4)
    early = Dialogue(9000, [(200, 2000)], [(1500, 1900)], None, [(1500, 1900, "hm"), *words], row)
    table = fdb([early], "turn_taking")
    assert {table[name, 0]["rule"] for name in ("tool_latency", "task_latency")} == {"interrupts"}
    table = fdb([Dialogue(9000, [], speech[:1], None, words[:2], row)], "turn_taking")
    assert table["task_latency", 0]["rule"] == "untold"


def test_intensity_before_and_after_worked_out_on_paper():
    # The model's file starts at 1 s. It speaks in 1-1.1 s at -20 and -30 dB, half each, over the
    # overlap at 0 dB, and in 2-2.1 s at -10 dB: from -25 to -10 dB. Silence at -90 dB is no speech.
    row = {"interrupt_start_ms": 1200, "interrupt_end_ms": 1500, "model_offset_ms": 1000}
    call = Dialogue(3000, [(1200, 1500)], [(1000, 1100), (1200, 1500), (2000, 2100)], None, [], row)
    level = np.full(150, -9000)
    level[0:5], level[5:10], level[20:50], level[100:110] = -2000, -3000, 0, -1000
    found = fdb([call], "user_interrupt", levels=[level])["intensity_change", 0]
    assert found["value"] == pytest.approx(15)
    assert found["reason"] == "-25.0 dB before, -10.0 dB after"
    gone = fdb([call], "user_interrupt", levels=[level[:0]])["intensity_change", 0]
    assert (gone["value"], gone["rule"]) == (None, "no_audio")


def test_envelopes_are_those_of_the_archive(sample_archive):
    reader = ArchiveReader(sample_archive)
    rows = reader.recordings()
    heard = load_tracks(reader, rows, FDB)[0].model_envelope
    frames = dict(reader.read("frames", columns=["key", "envelope_cdb"]).iter_rows())
    for i, key in enumerate(rows["model_key"]):
        assert heard.cdb[heard.first[i] : heard.first[i + 1]].tolist() == frames[key]
    assert load_tracks(reader, rows, TAU)[0].model_envelope is None, "it is read where needed"


def test_an_envelope_is_selected_with_its_recording():
    tracks = tracks_of([Dialogue(100), Dialogue(200), Dialogue(300)])
    whole = Envelope(np.arange(6), np.array([0, 1, 3, 6]), np.array([7, 8, 9]))
    chosen = select_tracks(replace(tracks, model_envelope=whole), np.array([True, False, True]))
    found = chosen.model_envelope
    assert [a.tolist() for a in (found.cdb, found.first, found.start_ms)] == [
        [0, 3, 4, 5], [0, 1, 4], [7, 9]
    ]  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.lists(seeds, min_size=1, max_size=4))
def test_fdb_is_the_reference(found):
    check_fdb(dialogues_of(found))


@settings(max_examples=20, deadline=None)
@given(st.lists(seeds, min_size=1, max_size=6))
def test_fdb_differs_from_the_release_only_where_it_says(found):
    dialogues = dialogues_of(found)
    tracks, rec = tracks_of(dialogues), np.arange(len(dialogues))
    ours = fdb(dialogues, "turn_taking")
    theirs = by_recording(release.SCORERS["turn_taking"](tracks, rec, FDB, {}))
    for i in rec:
        for field in ("value", "status", "reason"):
            assert ours["tor", i][field] == theirs["tor", i][field]
        signed = theirs["floor_offset", i]["value"]
        assert ours["latency", i]["value"] == (None if signed is None else max(signed, 0.0))
    scorer = fdb_v1.SCORERS["model_backchannel"]
    assert_frame_equal(
        scorer(tracks, rec, FDB, {}), release.SCORERS["model_backchannel"](tracks, rec, FDB, {})
    )


def words(*spans):
    return [(a, b, "w") for a, b in spans]


def test_fdb_by_hand():
    early = Dialogue(
        9000, model_words=words((1500, 1800), (2200, 3600)), row={"user_turn_end_ms": 2000}
    )
    late = Dialogue(
        9000, model_words=words((2500, 2800), (2900, 3900)), row={"user_turn_end_ms": 2000}
    )
    brief = Dialogue(9000, model_words=words((2500, 3400)), row={"user_turn_end_ms": 2000})
    quiet = Dialogue(9000, model_words=[], row={"user_turn_end_ms": 2000})
    unheard = Dialogue(9000, row={"user_turn_end_ms": 2000})
    dialogues = [early, late, brief, quiet, unheard]
    turn = fdb(dialogues, "turn_taking")
    assert [turn["tor", i]["value"] for i in range(5)] == [1.0, 1.0, 0.0, 0.0, None]
    assert [turn["latency", i]["value"] for i in range(5)] == [0.0, 0.5, None, None, None]
    assert "counts as 0 s" in turn["latency", 0]["reason"]
    assert [turn["tor", i]["status"] for i in (3, 4)] == ["silent", "failed"]
    # No window: a reply at the very end of the recording is a takeover of the pause.
    pause = fdb(
        [
            Dialogue(
                60_000,
                model_words=words((50_000, 59_000)),
                row={"pause_start_ms": 1000, "pause_end_ms": 2000},
            ),
            quiet,
        ],
        "pause_handling",
    )
    assert [pause["tor", i]["value"] for i in (0, 1)] == [1.0, 0.0]


OVERLAP = {"interrupt_start_ms": 3000, "interrupt_end_ms": 4000}


@pytest.mark.parametrize(
    ("model", "behaviour"),
    [
        ([(1000, 3400), (4600, 7000)], "respond"),
        ([(1000, 4800), (5400, 7000)], "respond"),  # stops within a second of the end
        ([(1000, 9000)], "resume"),
        ([(1000, 5200)], "resume"),  # stops, but not for the overlap
        ([(1000, 3100), (3700, 9000)], "resume"),
        ([(1000, 3400), (4600, 5000)], "uncertain"),
        ([(1000, 3400)], "unknown"),
        ([], "unknown"),
        ([(4500, 9000)], None),
        ([(1000, 3400), (3900, 9000)], "respond"),  # 500 ms apart: one segment, see below
    ],
)
def test_behaviours_after_an_overlap(model, behaviour):
    if model[-1:] == [(3900, 9000)]:
        behaviour = "resume"  # as the timing script joins segments
    table = fdb([Dialogue(10_000, user=[(3000, 4000)], model=model, row=OVERLAP)], "user_interrupt")
    for name in ("respond", "resume", "uncertain", "unknown"):
        row = table[name, 0]
        assert row["value"] == (None if behaviour is None else float(name == behaviour))
        assert row["status"] == (
            "silent" if not model else "not_applicable" if behaviour is None else "scored"
        )


def test_fdb_timing_by_hand():
    # User segments 600 ms apart are one, 601 ms two. A start at the very end (3000) is no response
    # to it; of the two ends before 8000 the later counts.
    row = {"backchannels": [{"start_ms": 0, "end_ms": 500}]}
    dialogue = Dialogue(
        20_000,
        user=[(0, 500), (1100, 2000), (2601, 3000), (6000, 7000)],
        model=[(1500, 2300), (3000, 3500), (8000, 9000), (9500, 9900)],
        row=row,
    )
    table = fdb([dialogue], "user_backchannel")
    assert (table["stop_latency", 0]["value"], table["stop_latency", 0]["weight"]) == (0.5, 1)
    assert table["response_latency", 0]["weight"] == 2
    assert table["response_latency", 0]["value"] == pytest.approx((1.0 + 1.0) / 2)


def test_fdb_in_a_summary():
    dialogues = [
        Dialogue(
            9000,
            model_words=words((1000 * k, 1000 * k + 2000)),
            row={"user_turn_end_ms": 2000, "scenario": "turn_taking"},
        )
        for k in range(5)
    ]
    scores = fdb_v1.SCORERS["turn_taking"](tracks_of(dialogues), np.arange(5), FDB, {})
    table = summarize(scores, fdb_v1.METRICS, FAST)
    assert table["metric"].to_list() == ["tor", "latency", "tool_latency", "task_latency"]
    assert table["value"].to_list() == [1.0, pytest.approx((0 + 0 + 0 + 1 + 2) / 5), None, None]


# ---- tau


def noted_of(seed):
    """Random vocal tics and speech not meant for the model (ms)."""
    rng = np.random.default_rng([seed, 7])
    out = {}
    for kind in ("vocal_tics", "non_directed"):
        if rng.random() < 0.6:
            starts = rng.integers(0, 20_000, rng.integers(0, 5))
            out[kind] = [(int(a), int(a + rng.integers(1, 2500))) for a in starts]
    return out


def annotate(dialogue, noted):
    seconds = {kind: [[a / 1000, b / 1000] for a, b in spans] for kind, spans in noted.items()}
    dialogue.row = {**dialogue.row, "metadata": json.dumps({"of": "a test", **seconds})}
    return dialogue


def tau_scores(dialogues, chosen=ALL):
    structure = build_structure(tracks_of(dialogues), chosen)
    table = tau.score(structure, np.arange(len(dialogues)), chosen, {})
    assert table.schema == SCORES
    return table


def check_tau(found):
    noted = [noted_of(seed) for seed in found]
    dialogues = [
        annotate(dialogue, spans)
        for dialogue, spans in zip(dialogues_of(found), noted, strict=True)
    ]
    table = by_recording(tau_scores(dialogues))
    for i, (dialogue, spans) in enumerate(zip(dialogues, noted, strict=True)):
        want = plain.tau(dialogue, ALL, spans)
        assert {name for name, k in table if k == i} == set(want)
        for name, (total, number) in want.items():
            row = table[name, i]
            assert row["weight"] == (number or None), (name, i)
            if number:
                assert row["value"] == pytest.approx(total / number), (name, i)
            else:
                assert (row["value"], row["status"]) == (None, "not_applicable")


def test_tau_is_the_reference_on_random_recordings():
    check_tau(range(1000))


@settings(max_examples=30, deadline=None)
@given(st.lists(seeds, min_size=1, max_size=5))
def test_tau_is_the_reference(found):
    check_tau(found)


def test_tau_by_hand():
    dialogue = annotate(
        Dialogue(
            40_000,
            user=[
                (0, 1000),
                (1300, 2000),  # one turn with a breath, answered after 0.5 s
                (4000, 4300),  # mhm, talked through
                (6000, 8000),  # cuts in, the model stops after 0.4 s and answers after 0.6 s
                (14_000, 15_500),  # not answered before ...
                (17_000, 18_000),  # ... this one, where the model jumps in after 0.5 s
                (22_000, 22_500),  # a cough
            ],
            model=[(2500, 6400), (8600, 12_000), (17_500, 21_000)],
        ),
        {"vocal_tics": [(22_000, 22_500)]},
    )
    row = {name: row for (name, _), row in by_recording(tau_scores([dialogue])).items()}
    value = {name: found["value"] for name, found in row.items()}
    assert row["response_rate"]["reason"] == "2 of 3 user turns answered"
    assert value["response_latency"] == pytest.approx((0.5 + 0.6) / 2)
    assert (value["yield_rate"], value["yield_latency"]) == (1.0, pytest.approx(0.4))
    assert value["agent_interruptions"] == pytest.approx(1 / 3)
    assert (value["selectivity_backchannel"], row["selectivity_backchannel"]["weight"]) == (1, 1)
    assert (value["selectivity_vocal_tic"], row["selectivity_vocal_tic"]["weight"]) == (1, 1)
    assert value["selectivity_non_directed"] is None
    assert (value["selectivity"], row["selectivity"]["weight"]) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("model", "right"),
    [
        ([(0, 6000)], 1.0),
        ([(0, 3999)], 0.0),  # stops 0.999 s after the event began
        ([(0, 4000)], 1.0),
        ([(0, 1000), (3200, 5000)], 0.0),  # starts during it
        ([(0, 1000), (5500, 7000)], 0.0),  # answers 2 s after it
        ([(0, 1000), (5501, 7000)], 1.0),
        ([], 1.0),
    ],
)
def test_what_was_not_meant_for_the_model(model, right):
    dialogue = annotate(Dialogue(9000, model=model), {"non_directed": [(3000, 3500)]})
    row = by_recording(tau_scores([dialogue]))["selectivity_non_directed", 0]
    assert row["value"] == right
    assert row["status"] == ("scored" if model else "silent")


def test_events_that_the_recording_cuts_short_are_left_out():
    talking = annotate(Dialogue(3600, model=[(0, 3600)]), {"vocal_tics": [(3000, 3200)]})
    waiting = annotate(Dialogue(5000, model=[(0, 1000)]), {"vocal_tics": [(3000, 3200)]})
    cut_off = Dialogue(5000, user=[(4000, 5000)], model=[(0, 5000)])
    table = by_recording(tau_scores([talking, waiting, cut_off]))
    assert [table["selectivity_vocal_tic", i]["status"] for i in (0, 1)] == ["not_applicable"] * 2
    assert table["yield_rate", 2]["status"] == "not_applicable"


@pytest.mark.parametrize(
    "text",
    [
        '"soon"',
        "[1.0, 2.0]",
        "[[1.0]]",
        "[[1.0, 2.0], 3]",
        "[[2.0, 1.0]]",
        '[["1", "2"]]',
        "{}",
        "[[1e99, 2e99]]",
        "[[-1, 2]]",
    ],
)
def test_unreadable_metadata_costs_that_recording(text):
    wrong = Dialogue(9000, row={"metadata": f'{{"vocal_tics": {text}}}'})
    good = annotate(Dialogue(9000, model=[(0, 1000)]), {"vocal_tics": [(3000, 3500)]})
    table = by_recording(tau_scores([wrong, good]))
    row = table["selectivity_vocal_tic", 0]
    assert (row["value"], row["status"]) == (None, "excluded")
    assert "vocal_tics: expected [[start, end], ...]" in row["reason"]
    assert table["selectivity", 0]["status"] == "excluded"
    assert table["selectivity_non_directed", 0]["status"] == "not_applicable"
    assert table["selectivity_vocal_tic", 1]["value"] == 1.0


def answered(system, scenario="conversation"):
    row = {"system": system, "scenario": scenario}
    return Dialogue(9000, user=[(0, 1000)], model=[(1500, 4000)], row=row)


def test_rates_on_few_events_are_hidden_with_the_reason():
    dialogues = [answered("many") for _ in range(10)] + [answered("few") for _ in range(9)]
    dialogues += [answered("few", "turn_taking")]
    table = tau_scores(dialogues, TAU).filter(pl.col("metric") == "response_rate")
    assert table["value"].to_list() == [1.0] * 10 + [None] * 10
    assert table["status"].to_list() == ["scored"] * 10 + ["excluded"] * 10
    assert table["reason"].to_list()[10] == (
        "hidden: few has 9 user turns in scenario conversation, and tau.min_events is 10"
    )
    summary = summarize(table, tau.METRICS, FAST)
    shown = dict(summary.select(pl.format("{}/{}", "system", "scenario"), "value").iter_rows())
    assert shown == {"many/conversation": 1.0, "few/conversation": None, "few/turn_taking": None}
    assert summary["excluded"].to_list() == [0, 1, 9]  # in the order of the registry
    everything = tau_scores(dialogues, load_settings("tau", {"tau.min_events": "9"}))
    rates = everything.filter(pl.col("metric") == "response_rate")["value"].to_list()
    assert rates == [1.0] * 19 + [None]


def test_tau_adds_up_over_recordings():
    dialogues = dialogues_of(range(100, 160))
    table = tau_scores(dialogues)
    whole = summarize(table, tau.METRICS, FAST)
    assert whole["metric"].to_list() == [m.name for m in tau.METRICS[: len(whole)]]
    halves = [
        summarize(tau_scores(part), tau.METRICS, FAST) for part in (dialogues[:23], dialogues[23:])
    ]
    names = ["numerator", "denominator", "n"]
    pooled = pl.concat(halves).group_by("metric", maintain_order=True).agg(pl.col(names).sum())
    assert_frame_equal(whole.select("metric", *names), pooled, check_dtypes=False, abs_tol=1e-9)
    for row in whole.iter_rows(named=True):
        if row["denominator"]:
            assert row["value"] == pytest.approx(row["numerator"] / row["denominator"])


# ---- registry and settings


@pytest.mark.parametrize("metrics", [fdb_v1.METRICS, tau.METRICS])
def test_every_metric_is_described(metrics):
    keys = {(m.profile, m.scenario, m.name) for m in metrics}
    assert len(keys) == len(metrics)
    assert len({m.profile for m in metrics}) == 1
    for metric in metrics:
        for field in fields(metric):
            if field.name not in ("unit", "judged", "empty"):
                assert getattr(metric, field.name), (metric.name, field.name)


def test_the_panel_is_there_for_every_scenario():
    assert {m.scenario for m in tau.METRICS} == set(SCENARIOS)


def test_fdb_scores_what_it_describes():
    assert {m.scenario for m in fdb_v1.METRICS} == set(fdb_v1.SCORERS)


def test_profiles_load():
    for name in PROFILES:
        assert load_settings(name).profile == name
    assert FDB.speech == load_settings("release").speech
    assert FDB.judge.mode == "replay"
    assert TAU.speech == load_settings("paper").speech
