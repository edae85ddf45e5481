"""Agreement of raters: published values, slow references, the table, and the verb."""

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexi_score.aggregate.agreement import (
    AGREEMENT,
    _kappas,
    _moments,
    agreement_table,
    krippendorff_alpha,
    repeat_agreement,
)
from flexi_score.aggregate.labels import read_labels, read_ratings
from flexi_score.cli.agree import _show
from flexi_score.config import SummarySettings
from flexi_score.errors import InputError
from flexi_score.schema import RATINGS

#: Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), section C: four observers.
OBSERVERS = ("123321412...", "1233224125.3", ".33323422 51.".replace(" ", ""), "123324412 51.")
PUBLISHED = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}

FAST = SummarySettings(resamples=200)


def _published() -> tuple[list[int], list[float]]:
    rows = [row.replace(" ", "") for row in OBSERVERS]
    rated = [(u, float(v)) for row in rows for u, v in enumerate(row) if v != "."]
    return [u for u, _ in rated], [v for _, v in rated]


@pytest.mark.parametrize("level", PUBLISHED)
def test_alpha_is_the_published_one(level: str) -> None:
    units, values = _published()
    assert round(krippendorff_alpha(units, values, level), 3) == PUBLISHED[level]  # type: ignore[arg-type]


def _slow_alpha(units: list[int], values: list[float], level: str) -> float:
    """By the definition: all pairs within units against all pairs of what can be paired."""
    by_unit: dict[int, list[float]] = {}
    for unit, value in zip(units, values, strict=True):
        by_unit.setdefault(unit, []).append(value)
    groups = [group for group in by_unit.values() if len(group) > 1]
    pool = [value for group in groups for value in group]
    count = Counter(pool)

    def apart(c: float, k: float) -> float:
        if level == "nominal":
            return float(c != k)
        if level == "interval":
            return (c - k) ** 2
        low, high = sorted((c, k))
        between = sum(n for value, n in count.items() if low <= value <= high)
        return (between - (count[c] + count[k]) / 2) ** 2

    observed = sum(
        apart(a, b) / (len(group) - 1)
        for group in groups
        for a, b in itertools.permutations(group, 2)
    )
    expected = sum(apart(a, b) for a, b in itertools.permutations(pool, 2))
    if not expected:
        return float("nan")
    return 1 - (len(pool) - 1) * observed / expected


RATED = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([0, 1, 2, 2.5, 3, 5])), min_size=0, max_size=25
)


@given(RATED, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_is_its_definition(rated: list[tuple[int, float]], level: str) -> None:
    units, values = [u for u, _ in rated], [float(v) for _, v in rated]
    found = krippendorff_alpha(units, values, level)  # type: ignore[arg-type]
    assert found == pytest.approx(_slow_alpha(units, values, level), nan_ok=True, abs=1e-9)


def test_alpha_of_agreement_of_chance_and_of_nothing() -> None:
    assert krippendorff_alpha([0, 0, 1, 1], [1, 1, 4, 4]) == 1
    assert krippendorff_alpha([0, 0, 1, 1], [1, 4, 4, 1]) < 0
    assert np.isnan(krippendorff_alpha([0, 0, 1, 1], [3, 3, 3, 3])), "no variation"
    assert np.isnan(krippendorff_alpha([0, 1, 2], [1, 2, 3])), "nothing to pair"
    assert np.isnan(krippendorff_alpha([], []))


def _kappa(a: list[float], b: list[float]) -> float:
    """Of one sample, by the kernel that the table uses."""
    return float(_kappas(_moments(np.array(a, float), np.array(b, float)).sum(0)[None])[0])


def _slow_kappa(a: list[int], b: list[int]) -> float:
    """From the table of both raters, as Cohen (1968) has it."""
    n = len(a)
    cells = range(6)
    observed = sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / n
    expected = sum((x - y) ** 2 * a.count(x) / n * b.count(y) / n for x in cells for y in cells)
    return 1 - observed / expected if expected else float("nan")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_kappa_is_that_of_the_table(pairs: list[tuple[int, int]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    assert _kappa(a, b) == pytest.approx(_slow_kappa(a, b), nan_ok=True, abs=1e-9)


def test_kappa_by_hand() -> None:
    # Squared differences 1 of 3; expected over the margins (0, 1, 2) and (0, 2, 2): 5/3.
    assert _kappa([0, 1, 2], [0, 2, 2]) == pytest.approx(1 - (1 / 3) / (5 / 3))


def _ratings(rows: list[tuple[str, str, str, float | None]]) -> pl.DataFrame:
    columns = ["recording", "system", "metric", "value"]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    absent = [pl.lit(None).alias(name) for name in RATINGS if name not in columns]
    return table.with_columns(absent).select(RATINGS.names()).cast(dict(RATINGS))


def _labels(rows: list[tuple[str, str, str, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["recording", "metric", "rater", "value"], orient="row")


def test_the_table_by_metric_and_system() -> None:
    ratings = _ratings(
        [
            ("r1", "a", "eds", 4.0),
            ("r1", "a", "eds", 5.0),
            ("r2", "a", "eds", 1.0),
            ("r3", "b", "eds", 0.0),
            ("r4", "b", "eds", None),
            ("r1", "a", "tss", 3.0),
        ]
    )
    labels = _labels(
        [
            ("r1", "eds", "ann", 4),
            ("r1", "eds", "bob", 5),
            ("r2", "eds", "ann", 1),
            ("r3", "eds", "ann", 2),
            ("r4", "eds", "ann", 5),
            ("nobody", "eds", "ann", 5),
            ("r1", "tss", "ann", 3),
        ]
    )
    table = agreement_table(ratings, labels, FAST)
    assert table.schema == AGREEMENT
    assert table.select("metric", "system", "recordings", "labels", "raters").rows() == [
        ("eds", "a", 2, 3, 2),
        ("eds", "b", 1, 1, 1),
        ("eds", "all", 3, 4, 2),
        ("tss", "a", 1, 1, 1),
    ]
    whole = table.row(2, named=True)
    judge, human = [4.5, 4.5, 1.0, 0.0], [4, 5, 1, 2]
    assert whole["kappa"] == pytest.approx(_kappa(judge, human))
    assert whole["mae"] == pytest.approx((0.5 + 0.5 + 0 + 2) / 4)
    assert whole["alpha"] == pytest.approx(
        krippendorff_alpha([1, 1, 1, 2, 2, 3, 3], [4, 5, 4.5, 1, 1, 2, 0])
    )
    assert whole["human_alpha"] == pytest.approx(krippendorff_alpha([1, 1], [4, 5]))
    assert whole["mae_low"] <= whole["mae"] <= whole["mae_high"]
    assert table.row(3, named=True)["kappa"] is None, "of one pair that agrees"
    assert table.row(1, named=True)["mae_low"] is None, "of one recording"


def test_intervals_cover_the_truth_and_do_not_depend_on_order() -> None:
    covered = {"kappa": 0, "mae": 0}
    runs = 40
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 6, 120)
        judge = np.clip(truth + rng.integers(-1, 2, 120), 0, 5)
        ratings = _ratings([(f"r{i}", "a", "eds", float(v)) for i, v in enumerate(judge)])
        labels = _labels([(f"r{i}", "eds", "x", float(v)) for i, v in enumerate(truth)])
        row = agreement_table(ratings, labels, FAST).row(0, named=True)
        # An error of 1 is clipped off at both ends: 2/3 of the inner four levels, 1/3 of the two.
        covered["mae"] += row["mae_low"] <= 5 / 9 <= row["mae_high"]
        covered["kappa"] += row["kappa_low"] <= KAPPA_OF_THAT <= row["kappa_high"]
        if seed == 0:
            again = agreement_table(
                ratings.reverse(), labels.sample(fraction=1, shuffle=True), FAST
            )
            assert again.row(0, named=True) == pytest.approx(row)
    assert all(hits / runs > 0.85 for hits in covered.values()), covered


#: Of truth uniform on 0..5 and a judge off by -1, 0 or 1, clipped: by its definition.
_JOINT = [(t, min(max(t + e, 0), 5)) for t in range(6) for e in (-1, 0, 1)]
KAPPA_OF_THAT = _slow_kappa([t for t, _ in _JOINT], [j for _, j in _JOINT])


def test_repeats_are_held_against_each_other() -> None:
    ratings = _ratings(
        [
            ("r1", "a", "eds", 4.0),
            ("r1", "a", "eds", 4.0),
            ("r2", "a", "eds", 1.0),
            ("r2", "a", "eds", 3.0),
            ("r3", "a", "eds", 5.0),
            ("r3", "a", "eds", None),
            ("r1", "a", "tss", 2.0),
        ]
    ).with_columns(repeat=pl.Series([0, 1, 0, 1, 0, 1, 0], dtype=pl.Int64))
    table = repeat_agreement(ratings)
    assert table["metric"].to_list() == ["eds"]
    (row,) = table.to_dicts()
    assert (row["recordings"], row["repeats"]) == (2, 2)
    assert row["spread"] == pytest.approx(np.std([1, 3], ddof=1) / 2)
    assert row["alpha"] == pytest.approx(krippendorff_alpha([1, 1, 2, 2], [4, 4, 1, 3]))
    assert not len(repeat_agreement(_ratings([])))


def test_marked_words_are_held_against_each_other() -> None:
    question = json.dumps({"words": [['a "b",1]', 0.5], ["c", 1.0], ["d", 12.345], ["e", 20.0]]})
    marked = _ratings([("r1", "a", "reference_backchannels", None)] * 3).with_columns(
        repeat=pl.Series([0, 1, 2]),
        question=pl.lit(question),
        positions_s=pl.Series([[0.5, 12.345], [12.345], []]),
    )
    alone = marked.head(1).with_columns(recording=pl.lit("r2"))
    (row,) = repeat_agreement(pl.concat([marked, alone])).to_dicts()
    assert (row["recordings"], row["repeats"], row["spread"]) == (1, 3, None)
    words, values = [0, 1, 2, 3] * 3, [1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert row["alpha"] == pytest.approx(_slow_alpha(words, [float(v) for v in values], "nominal"))


def test_the_verb_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = agreement_table(
        _ratings([("r[b]1", "a", "eds", 4.0), ("r2", "a", "eds", 1.0)]),
        _labels([("r[b]1", "eds", "ann", 3), ("r2", "eds", "ann", 1)]),
        FAST,
    )
    _show(table, 0.95)
    told = capsys.readouterr().out
    assert "mean absolute error" in told
    assert "2 recordings" in told
    assert "1 rater" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("recording,metric,rater\nr,eds,x\n", "has no column 'value'"),
        ("recording,metric,rater,value\n", "holds no labels"),
        ("recording,metric,rater,value\nr,eds,x,6\n", "line 2: value: found '6'"),
        ("recording,metric,rater,value\nr,eds,x,4\ns,eds,x,good\n", "line 3: value: found 'good'"),
        ("recording,metric,rater,value\nr,eds,x,nan\n", "line 2: value: found 'nan'"),
        ("recording,metric,rater,value\nr,eds,x,\n", "line 2: value"),
        ("recording,metric,rater,value\nr,eds,,4\n", "line 2: recording, metric or rater is empty"),
        (
            "recording,metric,rater,value\nr,eds,x,4\nr,eds,x,4\n",
            "line 3: 'x' labels eds of 'r' tw",
        ),
        ("", "cannot be read as CSV"),
    ],
)
def test_bad_labels_are_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=told):
        read_labels(file)


def test_a_run_without_ratings_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; score again with --judge"):
        read_ratings(tmp_path)
    _ratings([]).write_parquet(tmp_path / "ratings.parquet")
    with pytest.raises(InputError, match="holds no ratings"):
        read_ratings(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "nothing.csv")
