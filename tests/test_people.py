"""Timing held against people's: plain references, a call made by hand, coverage, files."""

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from conftest import write_jsonl
from factories import Dialogue, random_dialogue, tracks_of
from hypothesis import given, settings
from reference_structure import OTHER, analyse
from scipy.stats import wasserstein_distance

import flexi_score as fs
from flexi_score.aggregate.people import people_frame, read_reference
from flexi_score.config import SummarySettings, load_settings
from flexi_score.errors import InputError
from flexi_score.metrics.people import KINDS, METRICS, TIMINGS, timings
from flexi_score.segment.events import events_frame
from flexi_score.segment.structure import build_structure

DEFAULTS = load_settings()
seeds = st.integers(0, 2**32 - 1)


def timings_of(dialogues):
    return timings(events_frame(build_structure(tracks_of(dialogues), DEFAULTS)))


def plain_timings(dialogue):
    """Times of single events (ms) of one recording, from the definitions."""
    found, out = analyse(dialogue, DEFAULTS), []
    for turn in found.of("turn"):
        if turn.success and turn.latency is not None:
            out.append((turn.speaker, "floor_offset", turn.latency))
    for pause in found.of("pause"):
        out.append((pause.speaker, "pause", pause.end - pause.start))
    for side, units in found.units.items():
        starts = {unit.start for unit in units}
        for gap in found.of("gap"):
            if gap.end in starts:
                out.append((side, "gap", gap.end - gap.start))
        for both in found.of("overlap"):
            if both.start in starts:
                out.append((side, "overlap", both.end - both.start))
        for said in found.of("backchannel", side):
            before = [u.end for u in found.units[OTHER[side]] if u.start < said.start]
            if before:
                out.append((side, "backchannel", said.start - before[-1]))
    return sorted(out)


@settings(max_examples=30, deadline=None)
@given(st.lists(seeds, min_size=1, max_size=5))
def test_timings_equal_the_plain_reference(found):
    dialogues = [random_dialogue(np.random.default_rng(seed)) for seed in found]
    table = timings_of(dialogues)
    assert table.schema == TIMINGS
    for i, dialogue in enumerate(dialogues):
        own = table.filter(recording=f"r{i}").select("speaker", "kind", pl.col("value_s") * 1000)
        assert sorted((s, k, round(v)) for s, k, v in own.rows()) == plain_timings(dialogue)


def test_timings_of_a_call_made_by_hand():
    # The user speaks to 4 s with a pause of 0.5 s, into which the model's "yes" of 0.2 s starts
    # 0.1 s after the first part; the model answers 0.4 s after the end, and the user's next turn
    # begins 0.3 s before the model has ended.
    call = Dialogue(12_000, [(0, 2000), (2500, 4000), (7700, 9000)], [(2100, 2300), (4400, 8000)])
    assert sorted(timings_of([call]).drop("recording").rows()) == sorted(
        [
            ("model", "backchannel", 0.1),
            ("model", "floor_offset", 0.4),
            ("user", "floor_offset", -0.3),
            ("model", "gap", 0.1),
            ("user", "gap", 0.2),
            ("model", "gap", 0.4),
            ("user", "overlap", 0.3),
        ]
    )


def frames(x, y, x_units=None, y_units=None):
    own = pl.DataFrame(
        {
            "system": "m",
            "recording": [str(i) for i in (x_units if x_units is not None else range(len(x)))],
            "kind": "gap",
            "value_s": x,
        },
        schema_overrides={"value_s": pl.Float64},
    ).with_columns(unit="recording")
    units = [None if y_units is None else str(i) for i in (y_units or range(len(y)))]
    schema = {"conversation": pl.String, "kind": pl.String, "value_s": pl.Float64}
    people = pl.DataFrame(
        {"conversation": units, "kind": ["gap"] * len(y), "value_s": y}, schema=schema
    )
    return own, people


def distances(x, y, x_units=None, y_units=None, **more):
    table = people_frame(*frames(x, y, x_units, y_units), SummarySettings(resamples=100, **more))
    assert table["kind"].unique(maintain_order=True).to_list() == list(KINDS)
    return {r["statistic"]: r for r in table.filter(kind="gap").iter_rows(named=True)}


times = st.lists(st.integers(-40, 40).map(lambda i: i / 20), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(times, times)
def test_distances_equal_their_definitions(x, y):
    found = distances(x, y)
    apart = max(abs(np.mean(np.array(x) <= t) - np.mean(np.array(y) <= t)) for t in x + y)
    assert found["ks"]["value"] == pytest.approx(apart)
    assert found["wasserstein"]["value"] == pytest.approx(wasserstein_distance(x, y), abs=1e-12)
    assert found["ks"]["ceiling"] is None  # the reference names no conversation
    assert found["ks"]["n_conversations"] == 0


def test_distances_worked_out_on_paper():
    # Half of the model's gaps are longer than all of people's: 0.5. Both halves move mass: from
    # {0.2, 0.4} to {0.2, 1.0} half of it goes 0.6 s.
    found = distances([0.2, 1.0], [0.2, 0.4])
    assert (found["ks"]["value"], found["wasserstein"]["value"]) == pytest.approx((0.5, 0.3))
    assert found["ks"]["n_events"] == found["ks"]["n_people"] == 2
    # Two conversations of people: there is one way to halve them.
    halves = distances([0.2], [0.2, 0.4, 1.0, 1.2], y_units=[0, 0, 1, 1])
    assert (halves["ks"]["ceiling"], halves["wasserstein"]["ceiling"]) == pytest.approx((1.0, 0.8))


def test_nothing_to_compare_is_null():
    for x, y in (([], [0.1]), ([0.1], [])):
        own, people = frames(x or [0.1], y)
        own = own if x else own.with_columns(kind=pl.lit("pause"))
        table = people_frame(own, people, SummarySettings(resamples=100)).filter(kind="gap")
        assert table["value"].null_count() == len(table) == 2
    one = distances([0.1, 0.2], [0.3], x_units=[0, 0])
    assert one["ks"]["value"] == 1.0
    assert one["ks"]["ci_low"] is None


def test_intervals_cover_the_distance_and_respect_conversations():
    def sample(rng, shift, conversations=25, each=6):
        units = np.repeat(np.arange(conversations), each)
        own = rng.normal(shift, 0.3, conversations)[units]
        return own + rng.normal(0, 0.5, len(units)), units

    inside, wider = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        (x, x_units), (y, y_units) = sample(rng, 1.0), sample(rng, 0.0)
        row = distances(x, y, x_units.tolist(), y_units.tolist(), seed=seed)["wasserstein"]
        inside.append(row["ci_low"] <= 1.0 <= row["ci_high"])
        if seed < 5:
            alone = distances(x, y, None, list(range(len(y))), seed=seed)["wasserstein"]
            wider.append(row["ci_high"] - row["ci_low"] > alone["ci_high"] - alone["ci_low"])
    assert np.mean(inside) >= 0.8
    assert sum(wider) >= 4  # values of one conversation are alike


def test_a_reference_is_read_from_tables_and_runs(tmp_path):
    rows = pl.DataFrame({"kind": ["gap", "pause"], "value_s": [0.2, 0.5]})
    rows.write_csv(tmp_path / "people.csv")
    rows.with_columns(conversation=pl.lit("a")).write_parquet(tmp_path / "people.parquet")
    assert read_reference(tmp_path / "people.csv")["conversation"].to_list() == [None, None]
    assert read_reference(tmp_path / "people.parquet")["conversation"].to_list() == ["a", "a"]
    for text, message in (
        ("kind,value\ngap,1", "has no column 'value_s'"),
        ("kind,value_s\ngap,1\nlaugh,2", "row 2: found kind 'laugh'"),
        ("kind,value_s\ngap,soon", "row 1: found kind 'gap', value_s 'soon'"),
        ("kind,value_s\n", "holds no event"),
    ):
        (tmp_path / "wrong.csv").write_text(text)
        with pytest.raises(InputError, match=message):
            read_reference(tmp_path / "wrong.csv")
    with pytest.raises(InputError, match="no such file"):
        read_reference(tmp_path / "absent.csv")


def test_a_run_is_held_against_people_at_the_command_line(cli, tmp_path):
    rows = []
    for i in range(6):
        for side, spans in (("user", [(0, 2), (6, 8)]), ("model", [(3 + i / 50, 5), (9, 11)])):
            text = "start,end\n" + "".join(f"{a},{b}\n" for a, b in spans)
            (tmp_path / f"{i}.{side}.csv").write_text(text)
        files = {f"{side}_speech": f"{i}.{side}.csv" for side in ("user", "model")}
        rows.append({"id": f"c{i}", "duration": 12, **files})
    calls = write_jsonl(tmp_path / "manifest.jsonl", rows)
    people = [fs.structure(user=[(0, 2)], model=[(2.2 + i / 50, 4)], duration=5) for i in range(4)]
    people = [e.with_columns(recording=pl.lit(f"p{i}")) for i, e in enumerate(people)]
    (tmp_path / "people").mkdir()
    pl.concat(people).write_parquet(tmp_path / "people" / "events.parquet")

    told = cli("score", calls, "--reference", tmp_path / "people", "--out", tmp_path / "r", "-q")
    assert told.returncode == 0, told.stderr
    assert "against themselves" in told.stdout
    run = fs.read_run(tmp_path / "r")
    value = {r["metric"]: r for r in run.summary.iter_rows(named=True)}
    far = run.people.filter(kind="floor_offset", statistic="ks").row(0, named=True)
    # The model answers after 1.0 to 1.1 s, people after 0.2 to 0.26 s.
    assert far["value"] == value["model_floor_offset_ks"]["value"] == 1.0 > far["ceiling"]
    assert (far["n_events"], far["n_recordings"], far["n_people"]) == (12, 6, 4)
    assert value["model_overlap_ks"]["value"] is None
    above = value["model_floor_offset_above_people"]["value"]
    median = value["model_floor_offset.p50"]["value"]
    assert above == pytest.approx(median - 0.1)  # of ten languages, as none is named
    assert "events.parquet@" in run.info["models"]["people"]
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        fs.score(calls, settings=load_settings("paper", {"conversation.reference": "none.csv"}))


def test_every_metric_has_words_and_a_summary_row():
    names = [m.name for m in METRICS if m.profile == "paper"]
    assert len(names) == len(set(names)) == 1 + 2 * len(KINDS)
    assert all(m.definition and m.source and m.null_means for m in METRICS)
