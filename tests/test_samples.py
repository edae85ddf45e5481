"""The sample recordings, end to end from real audio: every outcome equals its truth."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import reference_paper as plain
from conftest import SAMPLES, read_jsonl
from factories import Dialogue

import flexi_score
from flexi_score.config import load_settings
from flexi_score.formats.contract import parse_row
from flexi_score.scoring.run import Run
from flexi_score.speech.crosstalk import CROSSTALK_VERSION

#: Metrics in seconds inherit two boundary errors; all others are decided exactly.
SECONDS = ("latency", "floor_offset", "stop_latency", "response_latency", "lead")
TOLERANCE_S = 0.03
#: The quiet end of a telephone line's last word is lost.
AWKWARD_TOLERANCE_S = 0.15

TRUTH = {row["id"]: row for row in read_jsonl(SAMPLES / "truth.jsonl")}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples") / "archive"


@pytest.fixture(scope="module")
def run(archive: Path) -> Run:
    return flexi_score.score(SAMPLES, archive=archive)


def _differences(run: Run, slack_s: float = TOLERANCE_S) -> list[str]:
    found = []
    for row in run.scores.iter_rows(named=True):
        outcome = TRUTH[row["recording"]]["outcome"]
        if row["metric"] not in outcome:  # judged
            continue
        want, got = outcome[row["metric"]], row["value"]
        slack = slack_s if row["metric"] in SECONDS else 1e-3
        same = want is got if None in (want, got) else abs(want - got) <= slack
        if not same:
            found.append(f"{row['recording']} {row['metric']}: {want}, got {got} ({row['reason']})")
    return found


def test_every_outcome_equals_its_truth(run: Run) -> None:
    assert len(run.recordings) >= 24
    assert not len(run.failures)
    assert _differences(run) == []


@pytest.mark.parametrize("manifest", ["manifest.jsonl", "awkward.jsonl"])
def test_the_stated_outcomes_are_those_of_the_true_speech(manifest: str) -> None:
    """By the plain reference: the truth states nothing that the definitions do not."""
    rows = read_jsonl(SAMPLES / manifest)
    dialogues = []
    for row in rows:
        read = {k: v for k, v in parse_row(row, SAMPLES).items() if v is not None}
        truth = TRUTH[row["id"]]
        speech = [[(a, b) for a, b in truth[f"{who}_speech"]] for who in ("user", "model")]
        dialogues.append(Dialogue(truth["duration_ms"], *speech, row=read))
    for row, scores in zip(rows, plain.score_all(dialogues, load_settings()), strict=True):
        stated = TRUTH[row["id"]]["outcome"]
        assert stated == pytest.approx({m: scores[m][0] for m in stated}, abs=1e-6), row["id"]


def test_outcomes_hold_without_words(archive: Path, run: Run) -> None:
    settings = load_settings("paper", {"extract.asr": "none"})
    again = flexi_score.score(archive, settings=settings)
    assert _differences(again) == []
    assert " | none | " in again.info["signature"]
    assert again.events["text"].drop_nulls().len() == 0


def test_the_awkward_recordings_are_scored_right(tmp_path: Path) -> None:
    settings = load_settings("paper", {"extract.asr": "none"})
    awkward = flexi_score.score(SAMPLES / "awkward.jsonl", settings=settings, archive=tmp_path)
    assert len(awkward.recordings) == 2
    assert _differences(awkward, AWKWARD_TOLERANCE_S) == []


def test_boundaries_lie_near_the_truth(run: Run) -> None:
    """Each true boundary against the nearest one of the same kind."""
    ipus = run.events.filter(pl.col("kind") == "ipu")
    errors, extra, total = [], 0, 0
    for name in run.recordings["recording"]:
        for speaker in ("user", "model"):
            want = np.array(_bridged(TRUTH[name][f"{speaker}_speech"])).reshape(-1, 2)
            own = (pl.col("recording") == name) & (pl.col("speaker") == speaker)
            got = ipus.filter(own).select("start_ms", "end_ms").to_numpy().reshape(-1, 2)
            assert (len(want) == 0) == (len(got) == 0), (name, speaker)
            if len(want):
                errors.extend(np.abs(want[:, None] - got[None]).min(axis=1).ravel())
            extra, total = extra + len(got) - len(want), total + len(want)
    assert np.median(errors) <= 5
    assert np.percentile(errors, 95) <= 30
    assert max(errors) <= 120
    assert 0 <= extra <= 0.03 * total


def _bridged(spans: list[list[int]]) -> list[list[int]]:
    joined: list[list[int]] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < 200:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return joined


def test_every_score_explains_itself(run: Run) -> None:
    assert run.scores["reason"].null_count() == 0
    assert run.scores["reason"].str.len_chars().min() > 0
    decided = run.scores.filter(
        (pl.col("metric") == "tor") & (pl.col("value") == 1) & (pl.col("scenario") == "turn_taking")
    )
    assert decided["decided_ms"].null_count() == 0


def test_scoring_an_archive_equals_scoring_the_audio(archive: Path, run: Run) -> None:
    again = flexi_score.score(archive)
    assert again.scores.equals(run.scores)
    assert again.events.equals(run.events)
    assert again.info["signature"] == run.info["signature"]


def test_words_are_what_was_said(run: Run) -> None:
    turns = run.events.filter((pl.col("kind") == "ipu") & (pl.col("speaker") == "user"))
    said = turns.group_by("recording").agg(pl.col("text").str.join(" "))
    heard = dict(said.iter_rows())
    assert "learning" in heard["eager_turn_taking_2"] or "garden" in heard["eager_turn_taking_2"]
    hits = total = 0
    for name, text in heard.items():
        wanted = {w.strip(".,?!'").lower() for w in TRUTH[name]["user_words_text"].split()}
        spoken = {w.strip(".,?!'").lower() for w in text.split()}
        hits += len(wanted & spoken)
        total += len(wanted)
    assert hits / total > 0.9


def test_run_json_of_two_runs_names_the_same_signature(run: Run) -> None:
    assert json.loads(json.dumps(run.info))["signature"] == run.info["signature"]
    assert run.info["models"]["crosstalk"] == f"crosstalk-{CROSSTALK_VERSION}"
    parts = run.info["signature"].split(" | ")
    assert parts[0].startswith("flexi_score ")
    assert parts[1] == "paper"
    assert parts[2].startswith("silero-")
    assert parts[-1].startswith("#")
