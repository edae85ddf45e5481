"""A judge against another model and against itself, over real HTTP; the release's rubrics."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from conftest import Cli
from judge_server import JudgeServer
from test_judge_score import score, write_samples

from flexi_score.config import load_settings
from flexi_score.errors import ReplyError
from flexi_score.judge.probe import padded, probe_table, rate_again, swapped
from flexi_score.judge.rate import REPLIES
from flexi_score.judge.rubrics import load_rubric, read_reply
from flexi_score.scoring.run import Run

pytest.importorskip("openai")


@pytest.fixture(scope="module")
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as started:
        yield started


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, server: JudgeServer) -> Path:
    """A run folder with ratings by the release's rubrics."""
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-test")
        archive = folder / "run" / "archive"
        run = score(
            write_samples(folder), "openai", server, archive=archive, judge__rubric="release"
        )
    return run.write(folder / "run")


def test_the_release_is_judged_by_rubrics_of_its_own(judged: Path, server: JudgeServer) -> None:
    run = Run.open(judged)
    rubrics = dict(run.ratings.select("metric", "rubric").unique().iter_rows())
    assert rubrics["tss"] == "release_tss"
    assert rubrics["coherence"] == "release_coherence"
    assert rubrics["reference_backchannels"] == "reference_backchannels"
    assert "release_tss-1" in run.info["signature"]
    told = {call.body["messages"][0]["content"] for call in server.calls}
    assert load_rubric("release_eds").instructions in told


@pytest.mark.parametrize(("score", "fits"), [(4.5, True), (0, True), (4.25, False), (5.5, False)])
def test_the_release_takes_half_points(score: float, fits: bool) -> None:
    raw = json.dumps({"reason": "so", "score": score})
    if fits:
        assert read_reply(load_rubric("release_eds"), {}, raw).value == score
    else:
        with pytest.raises(ReplyError, match=r"expected a multiple of 0\.5 from 0 to 5"):
            read_reply(load_rubric("release_eds"), {}, raw)
    with pytest.raises(ReplyError, match="expected an integer"):
        read_reply(load_rubric("release_tss"), {}, json.dumps({"reason": "so", "score": 4.5}))


def test_probes_change_what_should_not_matter() -> None:
    question = {"context": "a", "interrupt": "b", "response": "c."}
    longer = padded(question)
    assert longer["response"].startswith("c. I hope")
    assert {k: v for k, v in longer.items() if k != "response"} == {
        "context": "a",
        "interrupt": "b",
    }
    assert list(swapped(question)) == ["response", "interrupt", "context"]
    assert swapped(question) == question


def test_ratings_shift_as_the_replies_do(
    judged: Path, server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    run = Run.open(judged)
    assert run.archive is not None
    table = probe_table(run.ratings, run.archive / REPLIES, run.settings)
    assert set(table["probe"]) == {"padded", "swapped"}
    kept = len(server.calls)
    again = run.settings.model_copy(
        update={"judge": run.settings.judge.model_copy(update={"mode": "replay"})}
    )
    assert probe_table(run.ratings, run.archive / REPLIES, again).equals(table)
    assert len(server.calls) == kept  # replies are kept: nobody is asked
    for row in table.iter_rows(named=True):
        plain = run.ratings.filter(metric=row["metric"])["value"]
        assert row["plain"] == pytest.approx(plain.mean())
        assert row["shift"] == pytest.approx(row["probed"] - row["plain"])
    long = [call for call in server.calls if "I hope that this is of some help" in call.question]
    asked = table.filter(probe="padded")["recordings"].sum()
    assert len(long) == asked > 0


def test_a_second_model_is_one_more_rater(
    judged: Path, cli: Cli, server: JudgeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    told = cli("agree", judged, "--second", "other-model", "--probe", "--out", tmp_path / "a.csv")
    assert told.returncode == 0, told.stderr
    assert "padded" in told.stdout
    table = pl.read_csv(tmp_path / "a.csv").filter(pl.col("kappa").is_not_null())
    run = Run.open(judged)
    assert run.archive is not None
    settings = load_settings("paper", {"judge.base_url": server.url, "judge.mode": "replay"})
    other = rate_again(run.ratings, run.archive / REPLIES, settings, "other-model")
    both = run.ratings.join(other, on=["recording", "metric"], suffix="_b").filter(metric="eds")
    row = table.filter(metric="eds", system="all").row(0, named=True)
    apart = (both["value"] - both["value_b"]).abs().mean()
    assert row["mae"] == pytest.approx(apart)
    assert any(call.body["model"] == "other-model" for call in server.calls)
    nothing = cli("agree", judged)
    assert nothing.returncode == 2
    assert "give LABELS.csv, --second MODEL or --probe" in nothing.stderr
