"""Sweeps: equal to scoring one by one, whatever is shared; what turns and what moves."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import Cli
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from made_archives import make_archive
from polars.testing import assert_frame_equal

import flexi_score
from flexi_score.archive import store
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import PROFILES, Settings, load_settings, setting_names
from flexi_score.errors import InputError, SettingsError
from flexi_score.metrics import (
    METRICS,
    people,
    profile_metrics,
    scenario_scorers,
    score_structure,
    settings_read,
)
from flexi_score.metrics.registry import Metric
from flexi_score.report.plots.style import COLOURS
from flexi_score.schema import SPEAKERS
from flexi_score.scoring.prepare import prepare
from flexi_score.segment.structure import build_structure
from flexi_score.sweep import (
    combinations,
    flips,
    main_effects,
    parse_grid,
    read_list,
    sensitivity,
    shares,
    sweep,
    write_sweep,
)
from flexi_score.sweep.plot import plot_svg
from flexi_score.sweep.shares import DETECTION, STRUCTURE


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("sweep") / "archive")


def one_by_one(archive: Path, changes: list[dict[str, object]], profile: str) -> pl.DataFrame:
    """The slow way: score each combination on its own."""
    parts = []
    for number, change in enumerate(changes):
        settings = load_settings(profile, {**change, "summary.resamples": 100})
        run = flexi_score.score(archive, settings=settings)
        # Quantiles of single events, and distances from people, are rows of a summary alone.
        alone = pl.col("metric").str.contains(r"\.p\d+$") | pl.col("metric").is_in(
            [metric.name for metric in people.METRICS]
        )
        rows = run.summary.filter(~alone)
        parts.append(
            rows.select(
                pl.lit(number, pl.Int64).alias("combination"),
                "system",
                "scenario",
                "metric",
                "value",
                "n",
            )
        )
    return pl.concat(parts).sort("combination", "system", "scenario", "metric")


@pytest.mark.parametrize("profile", ["paper", "release", "fdb-v1", "tau", "voice-agent", "eva"])
def test_a_sweep_is_scoring_one_by_one(archive: Path, profile: str) -> None:
    every = combinations(
        {
            "speech.threshold": [0.5, 0.7],
            "ipu.min_silence_ms": [100, 300],
            "yield.hold_ms": [200, 800],
            "judge.mode": ["none", "replay"],
        }
    )
    # Neighbours that share a stage, and some that share none.
    changes = every[:: 3 if profile == "paper" else 5]
    found = sweep(archive, changes, profile=profile).table
    found = found.select("combination", "system", "scenario", "metric", "value", "n")
    expected = one_by_one(archive, changes, profile)
    found = found.sort("combination", "system", "scenario", "metric")
    assert_frame_equal(found, expected, rel_tol=1e-12)  # polars adds up in an order of its own
    assert found["value"].n_unique() > 20


def test_processes_share_the_work_and_change_nothing(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flexi_score.sweep.run._ENOUGH", 0)
    changes = combinations({"ipu.min_silence_ms": [100, 190], "yield.hold_ms": [200, 680]})
    alone, shared = sweep(archive, changes).table, sweep(archive, changes, workers=2).table
    assert_frame_equal(alone, shared, rel_tol=1e-12)


def test_what_combinations_share_is_done_once(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Structures are built for each combination of their settings, and scenarios are scored again
    only where a setting that they read differs."""
    built, scored = [], []
    original = shares.scenario_scorers

    def counted(recordings, profile, explain):
        def count(name, scorer):
            def score(*args):
                scored.append(name)
                return scorer(*args)

            return score

        return [
            (name, count(name, scorer), rec)
            for name, scorer, rec in original(recordings, profile, explain=explain)
        ]

    def build(tracks, settings):
        built.append(settings)
        return build_structure(tracks, settings)

    monkeypatch.setattr(shares, "scenario_scorers", counted)
    monkeypatch.setattr(shares, "build_structure", build)
    changes = combinations({"ipu.min_silence_ms": [100, 200], "yield.hold_ms": [200, 400, 800]})
    told = []
    sweep(archive, changes, progress=lambda done, total: told.append((done, total)))
    assert len(built) == 2
    assert scored.count("turn_taking") == scored.count("conversation") == 2
    assert scored.count("user_interrupt") == scored.count("user_backchannel") == 6
    assert told == [(n, 6) for n in range(1, 7)]


def test_speech_that_detection_does_not_change_is_scored_once(tmp_path: Path, monkeypatch) -> None:
    """Segment files stand for detection: its settings then change nothing."""
    folder = make_archive(tmp_path / "archive", count=14)
    rows = ArchiveReader(folder).recordings()
    given = [
        {"key": f"{side}{i}", "segments": [{"start_ms": 500, "end_ms": 900 + 200 * i}]}
        for i in range(14)
        for side in SPEAKERS
    ]
    store.append(folder, "segments", given)
    keys = {f"{side}_segments_key": pl.col(f"{side}_key") for side in SPEAKERS}
    # Without audio: what is given beside audio is checked against detection.
    silent = {f"{side}_key": pl.lit(None, pl.String) for side in SPEAKERS}
    store.append(folder, "recordings", rows.with_columns(**keys).with_columns(**silent))
    built = []
    monkeypatch.setattr(
        shares, "build_structure", lambda *args: built.append(args) or build_structure(*args)
    )
    changes = combinations({"speech.threshold": [0.4, 0.6, 0.8]})
    found = sweep(folder, changes).table
    assert len(built) == 1
    each = [found.filter(pl.col("combination") == i).select("value", "n") for i in range(3)]
    assert each[0].equals(each[1])
    assert each[0].equals(each[2])


def test_every_setting_belongs_to_the_stage_that_reads_it(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting of a later stage must not change the result of an earlier one."""
    base = load_settings()
    rows = ArchiveReader(archive).recordings()
    plain = prepare(ArchiveReader(archive), rows, base)
    structure = build_structure(plain.tracks, base)
    others = {"gate": False}
    for name, field in setting_names().items():
        group, _, leaf = name.partition(".")
        value = (
            getattr(getattr(base, "yield_" if group == "yield" else group), leaf, None)
            if leaf
            else None
        )
        if group in DETECTION or isinstance(value, (str, type(None))) or not field:
            continue
        new = others.get(leaf, not value) if isinstance(value, bool) else value * 0.5
        try:
            changed = load_settings("paper", {name: type(value)(new)})
        except SettingsError:
            continue
        again = prepare(ArchiveReader(archive), rows, changed)
        assert again.tracks.user_speech.start_ms.tolist() == (
            plain.tracks.user_speech.start_ms.tolist()
        ), name
        assert again.failures.equals(plain.failures), name
        if group not in STRUCTURE:
            built = build_structure(plain.tracks, changed)
            assert np.array_equal(built.model.groups.start, structure.model.groups.start), name
            assert np.array_equal(built.turns.spans.end, structure.turns.spans.end), name


class Watched:
    """Settings that note which of their groups are read."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self.read = settings, set()

    def __getattr__(self, name: str) -> object:
        self.read.add(name)
        return getattr(self._settings, name)


@pytest.mark.parametrize("profile", PROFILES)
def test_scorers_read_no_settings_but_those_that_are_declared(archive: Path, profile: str) -> None:
    """A sweep takes scores from its cache wherever the declared groups are the same."""
    settings = load_settings(profile)
    ready = prepare(ArchiveReader(archive), ArchiveReader(archive).recordings(), settings)
    building = Watched(settings)
    structure = build_structure(ready.tracks, building)
    assert building.read <= set(STRUCTURE)
    for name, scorer, rec in scenario_scorers(ready.tracks.recordings, profile):
        scoring = Watched(settings)
        scorer(structure, rec, scoring, {})
        assert scoring.read <= {*STRUCTURE, "profile", *settings_read(profile, name)}, name


@pytest.mark.parametrize("profile", ["paper", "release", "fdb-v1", "tau", "voice-agent", "eva"])
def test_without_reasons_all_else_is_the_same(archive: Path, profile: str) -> None:
    settings = load_settings(profile, {"judge.mode": "replay"})
    ready = prepare(ArchiveReader(archive), ArchiveReader(archive).recordings(), settings)
    structure = build_structure(ready.tracks, settings)
    told = score_structure(structure, settings)
    untold = score_structure(structure, settings, explain=False)
    same = ["recording", "system", "scenario", "metric", "value", "status", "rule", "weight"]
    assert untold.select(same).equals(told.select(same))
    assert untold["reason"].null_count() == len(untold)
    assert told["reason"].null_count() == 0


def make_table(values: np.ndarray, direction: str = "down") -> tuple[pl.DataFrame, list[Metric]]:
    """A sweep's table of systems a, b, ... and settings x, y from values[x, y, system]."""
    metric = next(m for m in METRICS if m.direction == direction and m.profile == "paper")
    rows = [
        {
            "combination": x * values.shape[1] + y,
            "x": x,
            "y": y,
            "system": "abcde"[s],
            "scenario": metric.scenario,
            "metric": metric.name,
            "n": 5,
            "value": None if np.isnan(v) else float(v),
        }
        for (x, y, s), v in np.ndenumerate(values)
    ]
    schema = {
        "combination": pl.Int64,
        "x": pl.Int64,
        "y": pl.Int64,
        "system": pl.String,
        "scenario": pl.String,
        "metric": pl.String,
        "n": pl.Int64,
        "value": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema), [metric]


small = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(2, 4)),
    elements=st.sampled_from([0.0, 1.0, 2.0, np.nan]),
)


@given(small, st.sampled_from(["up", "down"]))
def test_flips_are_what_a_loop_finds(values: np.ndarray, direction: str) -> None:
    table, metrics = make_table(values, direction)
    way = -1 if direction == "down" else 1
    expected: dict[tuple[object, ...], int] = {}
    size_x, size_y, systems = values.shape
    chains = [("x", values[:, y]) for y in range(size_y) if size_x > 1]
    chains += [("y", values[x]) for x in range(size_x) if size_y > 1]
    for name, chain in chains:
        for a in range(systems):
            for b in range(a + 1, systems):
                last: tuple[int, float] | None = None
                for i, value in enumerate(chain):
                    sign = np.sign(value[a] - value[b]) * way
                    if np.isnan(sign) or sign == 0:
                        continue
                    if last is not None and last[1] != sign:
                        better = ("abcde"[a], "abcde"[b])[:: 1 if sign > 0 else -1]
                        key = (
                            name,
                            "abcde"[a],
                            "abcde"[b],
                            str(last[0]),
                            str(i),
                            better[1],
                            better[0],
                        )
                        expected[key] = expected.get(key, 0) + 1
                    last = i, sign
    found = flips(table, ["x", "y"], metrics)
    columns = ["setting", "system", "other", "low", "high", "before", "after", "times"]
    assert {row[:-1]: row[-1] for row in found.select(columns).iter_rows()} == expected


def test_a_list_of_rows_is_compared_row_by_row() -> None:
    values = np.array([[[0.0, 1.0]], [[2.0, 1.0]]])
    table, metrics = make_table(values)
    table = table.with_columns(y=pl.col("x") * 10)  # no setting varies alone
    found = flips(table, ["x", "y"], metrics)
    assert found.select("setting", "before", "after").rows() == [("(list)", "a", "b")]
    assert found.select("from_combination", "to_combination").row(0) == (0, 1)


@given(small)
def test_sensitivity_is_the_mean_range(values: np.ndarray) -> None:
    table, _ = make_table(values)
    found = {(r["system"], r["setting"]): r for r in sensitivity(table, ["x", "y"]).to_dicts()}
    for s in range(values.shape[2]):
        mine = values[:, :, s]
        for setting, axis in (("x", 0), ("y", 1)):
            row = found.get(("abcde"[s], setting))
            if mine.shape[axis] < 2:
                assert row is None
                continue
            assert row is not None
            lines = [v[~np.isnan(v)] for v in np.moveaxis(mine, axis, -1)]
            ranges = [v.max() - v.min() for v in lines if len(v)]
            assert row["range"] == (pytest.approx(np.mean(ranges)) if ranges else None)
            assert row["max_range"] == (max(ranges) if ranges else None)


def test_main_effects_average_over_the_other_settings() -> None:
    table, _ = make_table(np.array([[[1.0, 0], [3.0, 0]], [[5.0, 0], [np.nan, 0]]]))
    found = main_effects(table, "x").filter(pl.col("system") == "a")
    assert found.select("x", "value", "low", "high").rows() == [(0, 2, 1, 3), (1, 5, 5, 5)]


def test_a_grid_and_a_list_multiply() -> None:
    grid = parse_grid(["ipu.min_silence_ms=100, 200", "yield.hold_ms=300"])
    rows = [{"speech.threshold": 0.4}, {"speech.threshold": 0.6}]
    found = combinations(grid, rows)
    assert len(found) == 4
    assert found[0] == {
        "speech.threshold": 0.4,
        "ipu.min_silence_ms": "100",
        "yield.hold_ms": "300",
    }


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda: parse_grid(["ipu.min_silence_ms"]), "expected name=value"),
        (lambda: parse_grid(["a=1", "a=2"]), "give it once"),
        (lambda: combinations({}), "nothing to sweep"),
        (lambda: combinations({"a": [1]}, [{"a": 1}]), "both in the grid and in the list"),
        (lambda: sweep("nowhere", []), "nothing to sweep"),
        (lambda: sweep("nowhere", [{"ipu.min_silense_ms": 1}]), "did you mean"),
        (lambda: sweep("nowhere", [{"extract.beam_size": 2}]), "does not read audio"),
        (lambda: sweep("nowhere", [{"summary.resamples": 200}]), "nothing to sweep"),
        (lambda: sweep("nowhere", [{"speech.threshold": "loud"}]), "speech.threshold"),
        (lambda: sweep("nowhere", [{"judge.mode": "openai"}]), "asks no judge"),
    ],
)
def test_what_cannot_be_swept_is_said(work: Callable[[], object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        work()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "ipu.min_silence_ms,speech.threshold\n150,0.4\n250,\n"),
        (
            "l.jsonl",
            '{"ipu.min_silence_ms": "150", "speech.threshold": "0.4"}\n\n'
            '{"ipu.min_silence_ms": "250"}\n',
        ),
        (
            "l.json",
            '[{"ipu.min_silence_ms": "150", "speech.threshold": "0.4"},'
            '{"ipu.min_silence_ms": "250", "speech.threshold": null}]',
        ),
    ],
)
def test_lists_of_settings_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_list(tmp_path / name) == [
        {"ipu.min_silence_ms": "150", "speech.threshold": "0.4"},
        {"ipu.min_silence_ms": "250"},
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.json", "{"),
        ("l.json", "[1]"),
        ("l.json", '"x"'),
        ("l.jsonl", ""),
        ("l.csv", "a\n"),
        ("l.csv", "a\n1,2\n"),
        ("absent.csv", None),
    ],
)
def test_lists_that_are_none_are_refused(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=name):
        read_list(tmp_path / name)


def test_the_picture_escapes_names_and_holds_every_line() -> None:
    table, metrics = make_table(np.arange(12.0).reshape(3, 2, 2))
    table = table.with_columns(pl.col("system").replace({"a": "<script>&"}))
    picture = plot_svg(table, ["x", "y"], metrics)
    assert "<script>" not in picture
    assert "&lt;script&gt;&amp;" in picture
    lines = [f"stroke: {colour}" for colour in COLOURS[:2]]
    # Two settings, and the legend; dots and bands have no stroke of their own.
    assert [picture.count(line) for line in lines] == [3, 3]
    from xml.etree import ElementTree

    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_the_files_hold_what_the_sweep_found(archive: Path, tmp_path: Path) -> None:
    grid = {"backchannel.max_ms": [500, 1000, 2000]}
    result = sweep(archive, combinations(grid), base={"backchannel.max_words": 2})
    folder = write_sweep(result, tmp_path / "out")
    assert pl.read_parquet(folder / "sweep.parquet").equals(result.table)
    facts = json.loads((folder / "sweep.json").read_text())
    assert facts["settings"] == ["backchannel.max_ms"]
    assert "backchannel.max_ms" not in facts["signature"]
    assert "backchannel.max_words=2" in facts["signature"]
    assert len(profile_metrics("paper")) >= result.table["metric"].n_unique()


def test_the_command_line_sweeps(archive: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "l.csv").write_text("speech.threshold\n0.4\n0.7\n")
    done = cli(
        "sweep",
        archive,
        "--grid",
        "ipu.min_silence_ms=100,400",
        "--list",
        tmp_path / "l.csv",
        "--out",
        tmp_path / "out",
    )
    assert done.returncode == 0, done.stderr
    table = pl.read_parquet(tmp_path / "out" / "sweep.parquet")
    assert table["combination"].n_unique() == 4
    assert table["ipu.min_silence_ms"].dtype == pl.Int64
    assert "user_interrupt.ttr" in done.stdout
    assert "4 of 4 combinations" in done.stderr
    assert cli("sweep", archive, "--out", tmp_path / "o").returncode == 2
