"""Runs of many batches hold what runs of one hold; large runs' intervals are the bootstrap's."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_archives import make_archive
from polars.testing import assert_frame_equal

import flexi_score
from flexi_score.aggregate import bootstrap_mean, bootstrap_ratio, intervals, pooled
from flexi_score.aggregate.pooled import clustered_quantiles
from flexi_score.archive import store
from flexi_score.config import SummarySettings, load_settings
from flexi_score.errors import InputError
from flexi_score.scoring.engine import Work

KEYS = {
    "scores": ["recording", "metric"],
    "events": ["recording", "start_ms", "kind", "speaker", "end_ms"],
    "statistics": ["recording"],
    "recordings": ["recording"],
    "failures": ["recording"],
    "health": ["recording", "check", "channel"],
    "summary": ["system", "scenario", "metric"],
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batches") / "archive"
    # Parts of few recordings each, so that a batch needs some of them only.
    for seed in range(4):
        make_archive(folder, 21, seed, first=21 * seed)
    return folder


@pytest.mark.parametrize(
    ("profile", "batch", "workers"),
    [("paper", 5, 2), ("release", 7, 1), ("fdb-v1", 1000, 1), ("tau", 10, 1)],
)
def test_a_run_of_many_batches_is_the_run(
    archive: Path, tmp_path: Path, profile: str, batch: int, workers: int
) -> None:
    settings = load_settings(profile, {"summary.resamples": 100})
    whole = flexi_score.score(archive, settings=settings)
    done: list[tuple[int, int]] = []
    work = Work(batch, workers, scratch=tmp_path, progress=lambda *counts: done.append(counts))
    many = flexi_score.score(archive, settings=settings, work=work)
    assert_same(many.summary, whole.summary)
    assert len(many.failures) == 1
    in_batches = batch < 84 and profile != "tau"  # which is one batch
    assert isinstance(many.tables["events"], pl.LazyFrame) == in_batches
    assert isinstance(whole.tables["events"], pl.DataFrame)
    assert done[-1:] == [(85, 85)] * in_batches
    many.write(tmp_path / "many")
    whole.write(tmp_path / "whole")
    for table, key in KEYS.items():
        found, expected = (
            pl.read_parquet(tmp_path / run / f"{table}.parquet").sort(key)
            for run in ("many", "whole")
        )
        assert_same(found, expected)
    names = {path.name for path in (tmp_path / "many").iterdir()}
    assert names == {path.name for path in (tmp_path / "whole").iterdir()}
    del many
    assert {path.name for path in tmp_path.iterdir()} == {"many", "whole"}, "and nothing is left"


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Equal but for the last bits, which depend on how polars divides a column into lanes.

    Where resampled means tie, a last bit moves an interval of few values a little.
    """
    limits = [name for name in ("ci_low", "ci_high") if name in expected.columns]
    assert_frame_equal(found.drop(limits), expected.drop(limits), rel_tol=1e-12)
    for name in limits:
        assert found[name].is_null().equals(expected[name].is_null())
        width = (expected["ci_high"] - expected["ci_low"]).fill_null(0) + 1e-9
        off = (found[name] - expected[name]).abs() / width
        assert (off.fill_null(0) <= 0.5).all(), expected.filter(off > 0.5)


def test_only_failures_are_a_run_too(tmp_path: Path) -> None:
    folder = store.open_archive(tmp_path / "a", create=True)
    failure = {
        "recording": "x",
        "system": "s",
        "scenario": "turn_taking",
        "stage": "audio",
        "error": "AudioError",
        "reason": "gone",
    }
    store.append(folder, "failures", [failure])
    many = flexi_score.score(folder)
    assert many.summary["failed"].to_list() == [1, 1, 1, 1]


def test_where_there_is_nothing_to_score_it_is_said(tmp_path: Path) -> None:
    empty = store.open_archive(tmp_path / "empty", create=True)
    with pytest.raises(InputError, match="no recordings"):
        flexi_score.score(empty)


@pytest.mark.parametrize("shape", ["skewed", "ratio", "constant"])
def test_computed_limits_are_those_of_the_bootstrap(
    shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    n = 2500
    values = np.full(n, 2.0) if shape == "constant" else rng.lognormal(0, 1, n)
    weights = rng.uniform(0.5, 3, n) if shape == "ratio" else np.ones(n)
    groups = np.zeros(n, int)

    def limits() -> np.ndarray:
        if shape == "ratio":
            return np.array(
                bootstrap_ratio(values, weights, groups, settings=SummarySettings(resamples=20_000))
            ).ravel()
        return np.array(
            bootstrap_mean(values, groups, settings=SummarySettings(resamples=20_000))
        ).ravel()

    computed = limits()
    monkeypatch.setattr(intervals, "LARGE", n)
    drawn = limits()
    # Limits of 20 000 resamples have an error of about 2 % of a standard error themselves.
    assert computed == pytest.approx(drawn, abs=0.05 * (drawn[1] - drawn[0]) / 3.92)


def test_computed_quantile_limits_are_those_of_the_bootstrap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(6)
    units = np.repeat(np.arange(2500), rng.integers(1, 4, 2500))
    # Events of one recording are alike.
    values = pl.Series(np.round(rng.gamma(2, 0.3, 2500)[units] + rng.normal(0, 0.1, len(units)), 3))
    settings = SummarySettings(resamples=2000)
    names = pl.Series(units).cast(pl.String)
    computed = clustered_quantiles(values, names, (0.5, 0.9), settings, "k")
    monkeypatch.setattr(pooled, "LARGE", 2500)
    drawn = clustered_quantiles(values, names, (0.5, 0.9), settings, "k")
    width = drawn[2] - drawn[1]
    assert (computed[0] == drawn[0]).all()
    for ours, theirs in zip(computed[1:], drawn[1:], strict=True):
        assert (np.abs(ours - theirs) < 0.12 * width).all()
