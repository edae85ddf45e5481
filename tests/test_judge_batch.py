"""The Batch API, over real HTTP: submit, leave, come back, collect."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from conftest import ROOT
from judge_server import JudgeServer, scripted
from test_judge_client import KEY, fast, frame, many, row, tss, without_attempts

from flexi_score.errors import PrerequisiteError
from flexi_score.judge.ask import ask, estimate, replay
from flexi_score.judge.batch import run as judge_batch
from flexi_score.judge.batch.run import ask_in_batches, collect
from flexi_score.judge.store import Store

pytest.importorskip("openai")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer(batch_polls=1) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "judge.sqlite"


def asked_in(server: JudgeServer) -> list[str]:
    """The keys in all batches at the server."""
    lines = [
        line
        for batch in server.batches.values()
        for line in server.files[batch["input_file_id"]]["content"].decode().splitlines()
    ]
    return [json.loads(line)["custom_id"] for line in lines]


def test_submit_leave_come_back_and_collect(server: JudgeServer, store: Path) -> None:
    words = [["so", 0.2], ["I", 0.4], ["left", 0.9]]
    questions = frame(tss("a"), tss("b"), row("reference_backchannels", {"words": words}, "w"))
    chosen = fast(server, mode="openai-batch", repeats=2)
    told: list[str] = []
    first = ask_in_batches(questions, store, chosen, tell=told.append)
    assert first["status"].to_list() == ["pending"] * 6
    assert first["value"].null_count() == 6
    told_of_each = "waits in batch batch_0000 (in_progress, 0 of 6 answered); run the same command "
    assert first["problem"].str.starts_with(told_of_each).all()
    assert told == [
        "batch batch_0000 (in_progress, 0 of 6 answered); run the same command again to collect it"
    ]
    # Neither again nor one by one is what waits asked a second time.
    singly = chosen.model_copy(update={"mode": "openai"})
    assert ask(questions, store, chosen)["status"].to_list() == ["pending"] * 6
    assert ask(questions, store, singly)["status"].to_list() == ["pending"] * 6
    assert replay(questions, store, chosen)["status"].to_list() == ["pending"] * 6
    assert estimate(questions, store, chosen).waiting == 6
    assert len(server.batches) == 1
    assert not server.calls
    told.clear()
    done = ask_in_batches(questions, store, chosen, tell=told.append)
    assert done["status"].to_list() == ["rated"] * 6
    assert told == ["batch batch_0000: ended as completed, 6 of 6 answered"]
    assert server.charged.total() == 6
    # What a batch has answered is the same as what would have been asked one by one.
    assert ask(questions, store, singly).equals(done)
    assert without_attempts(replay(questions, store, chosen)).equals(without_attempts(done))
    with Store(store, write=False) as kept:
        (reply, *_) = kept.received(done["key"])[done["key"][0]]
    assert reply.source == "openai-batch"
    assert reply.cost_usd == pytest.approx(
        ((reply.prompt_tokens or 0) * 2.5 + (reply.completion_tokens or 0) * 10) / 1e6 / 2
    )
    before = len(server.others)
    assert ask_in_batches(questions, store, chosen)["status"].to_list() == ["rated"] * 6
    assert len(server.others) == before  # all is kept: no request, no client


def test_large_archives_are_submitted_in_several_batches(
    server: JudgeServer, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = fast(server, mode="openai-batch")
    monkeypatch.setattr(judge_batch, "MOST_REQUESTS", 4)
    ask_in_batches(many(10), store, chosen)
    counts = [batch["request_counts"]["total"] for batch in server.batches.values()]
    assert counts == [4, 4, 2]
    longest = max(f["bytes"] for f in server.files.values()) / 4
    monkeypatch.setattr(judge_batch, "MOST_BYTES", int(2.5 * longest))
    ask_in_batches(many(16), store, chosen)
    counts = [batch["request_counts"]["total"] for batch in server.batches.values()]
    assert counts == [4, 4, 2, 2, 2, 2]
    assert max(file["bytes"] for file in list(server.files.values())[3:]) <= 2.5 * longest
    assert len(asked_in(server)) == len(set(asked_in(server))) == 16
    for _ in range(2):
        ratings = ask_in_batches(many(16), store, chosen)
    assert ratings["status"].to_list() == ["rated"] * 16
    assert server.charged.total() == 16


def test_faults_within_a_batch_are_unscored_until_the_next_run(
    server: JudgeServer, store: Path
) -> None:
    server.batch_polls = 0
    server.faults = scripted(
        {
            "number 0": ["500"],
            "number 1": ["refusal"],
            "number 2": ["truncated"],
            "number 3": ["wrong_keys"],
            "number 4": ["empty_choices"],
        }
    )
    chosen = fast(server, mode="openai-batch")
    ask_in_batches(many(7), store, chosen)
    ratings = ask_in_batches(many(7), store, chosen)
    assert ratings["status"].to_list() == ["failed"] * 5 + ["rated"] * 2
    assert ratings["value"][:5].null_count() == 5
    for problem, told in zip(
        ratings["problem"][:5], ["500: 'failed'", "refused", "cut", "keys", "empty"], strict=True
    ):
        assert told in problem
        assert "run again to submit it again" in problem
    assert len(server.batches) == 1
    assert set(ask_in_batches(many(7), store, chosen)["status"]) == {"pending", "rated"}
    assert server.batches["batch_0001"]["request_counts"]["total"] == 5
    assert ask_in_batches(many(7), store, chosen)["status"].to_list() == ["rated"] * 7


def test_what_an_expired_batch_did_not_reach_is_submitted_again(
    server: JudgeServer, store: Path
) -> None:
    server.batch_polls, server.batch_end = 0, "expired"
    chosen = fast(server, mode="openai-batch")
    ask_in_batches(many(9), store, chosen)
    told: list[str] = []
    ratings = ask_in_batches(many(9), store, chosen, tell=told.append)
    assert "4 of 9 answered; 5 were not reached in time" in told[0]
    assert ratings["status"].to_list() == ["rated"] * 4 + ["pending"] * 5
    server.batch_end = "completed"
    assert ask_in_batches(many(9), store, chosen)["status"].to_list() == ["rated"] * 9
    assert server.charged.total() == 9


@pytest.mark.parametrize(
    ("end", "told", "rated"),
    [("failed", "Enqueued token limit reached", 0), ("cancelled", "batch_cancelled", 4)],
)
def test_a_batch_that_is_refused_or_cancelled_is_unscored_with_the_reason(
    server: JudgeServer, store: Path, end: str, told: str, rated: int
) -> None:
    server.batch_polls, server.batch_end = 0, end
    chosen = fast(server, mode="openai-batch")
    ask_in_batches(many(8), store, chosen)
    ratings = ask_in_batches(many(8), store, chosen)
    assert ratings["status"].to_list() == ["rated"] * rated + ["failed"] * (8 - rated)
    assert ratings.filter(status="failed")["problem"].str.contains(told).all()
    assert len(server.batches) == 1
    server.batch_end = "completed"
    ask_in_batches(many(8), store, chosen)
    assert ask_in_batches(many(8), store, chosen)["status"].to_list() == ["rated"] * 8
    assert server.charged.total() == 8


@pytest.mark.parametrize(
    "fault",
    [
        ("POST /v1/files", "500"),
        ("POST /v1/files", "lost"),
        ("POST /v1/batches", "503"),
        ("POST /v1/batches", "drop"),
        ("POST /v1/batches", "lost"),
        ("GET /v1/batches", "500"),
        ("GET /v1/batches/", "drop"),
        ("GET /v1/files", "429"),
    ],
)
def test_faults_of_the_batch_api_submit_nothing_twice(
    server: JudgeServer, store: Path, fault: tuple[str, str]
) -> None:
    server.batch_polls = 0
    server.api_faults = [fault]
    chosen = fast(server, mode="openai-batch")
    assert set(ask_in_batches(many(3), store, chosen)["status"]) == {"pending"}
    assert ask_in_batches(many(3), store, chosen)["status"].to_list() == ["rated"] * 3
    assert len(server.batches) == 1
    assert not server.api_faults


def test_a_batch_whose_making_was_not_seen_is_found_by_the_next_run(
    server: JudgeServer, store: Path
) -> None:
    for n in range(3):  # it is to be found on a later page of the list, too
        server.files["other"] = {"content": b""}
        server.add_batch({"input_file_id": "other", "endpoint": str(n)})
    server.api_faults = [("POST /v1/batches", "lost")]
    chosen = fast(server, mode="openai-batch", retries=0)
    assert set(ask_in_batches(many(3), store, chosen)["status"]) == {"pending"}
    server.batch_polls = 0
    for n in range(3):
        server.add_batch({"input_file_id": "other", "endpoint": str(n)})
    assert ask_in_batches(many(3), store, chosen)["status"].to_list() == ["rated"] * 3
    assert len(asked_in(server)) == 3


def test_a_batch_that_was_never_made_is_submitted(server: JudgeServer, store: Path) -> None:
    server.batch_polls = 0
    server.api_faults = [("POST /v1/batches", "drop")]
    chosen = fast(server, mode="openai-batch", retries=0)
    assert set(ask_in_batches(many(3), store, chosen)["status"]) == {"pending"}
    assert not server.batches
    assert set(ask_in_batches(many(3), store, chosen)["status"]) == {"pending"}
    assert ask_in_batches(many(3), store, chosen)["status"].to_list() == ["rated"] * 3
    assert len(server.batches) == 1


def test_a_server_without_batches_is_named(server: JudgeServer, store: Path) -> None:
    server.api_faults = [("POST /v1/files", "404")]
    chosen = fast(server, mode="openai-batch")
    ratings = ask_in_batches(many(3), store, chosen)
    assert ratings["status"].to_list() == ["failed"] * 3
    assert ratings["problem"].str.contains(r"not asked: uploading a batch at http.*: 404").all()
    server.api_faults = [("POST /v1/files", "401")]
    with pytest.raises(PrerequisiteError, match="refuses the API key"):
        ask_in_batches(many(3), store, chosen)
    assert set(ask_in_batches(many(3), store, chosen)["status"]) == {"pending"}


def test_a_batch_that_the_server_does_not_know_waits(server: JudgeServer, store: Path) -> None:
    chosen = fast(server, mode="openai-batch")
    ask_in_batches(many(3), store, chosen)
    batch = server.batches.pop("batch_0000")
    # It may be there for another key: nothing is submitted again unasked.
    told: list[str] = []
    ratings = ask_in_batches(many(3), store, chosen, tell=told.append)
    assert set(ratings["status"]) == {"pending"}
    assert "batch batch_0000: in_progress: asking after a batch at" in told[0]
    server.batches["batch_0000"], server.batch_polls = batch, 0
    assert ask_in_batches(many(3), store, chosen)["status"].to_list() == ["rated"] * 3


def test_results_that_are_gone_are_unscored_and_those_out_of_reach_wait(
    server: JudgeServer, store: Path
) -> None:
    server.batch_polls = 0
    chosen = fast(server, mode="openai-batch", retries=0)
    ask_in_batches(many(3), store, chosen)
    server.api_faults = [("GET /v1/files", "500")]
    assert set(ask_in_batches(many(3), store, chosen)["status"]) == {"pending"}
    server.api_faults = [("GET /v1/files", "404")]
    ratings = ask_in_batches(many(3), store, chosen)
    assert ratings["status"].to_list() == ["failed"] * 3
    assert ratings["problem"].str.contains("are gone").all()


def test_lines_that_are_not_ours_are_left_alone(server: JudgeServer, store: Path) -> None:
    server.batch_polls = 0
    chosen = fast(server, mode="openai-batch")
    ask_in_batches(many(2), store, chosen)
    server.poll_batch("batch_0000")
    output = server.files[server.batches["batch_0000"]["output_file_id"]]
    lines = output["content"].splitlines(keepends=True)
    stranger = lines[0].replace(b'"custom_id": "', b'"custom_id": "x')
    output["content"] = stranger + lines[0] + lines[0] + b"{\n[]\nnull\n" + stranger
    ratings = ask_in_batches(many(2), store, chosen)
    assert sorted(ratings["status"]) == ["failed", "rated"]
    with Store(store, write=False) as kept:
        assert sum(len(found) for found in kept.received(ratings["key"]).values()) == 1


def test_a_limit_of_cost_holds_for_batches(server: JudgeServer, store: Path) -> None:
    chosen = fast(server, mode="openai-batch", max_cost_usd=0.05)
    ratings = ask_in_batches(many(40), store, chosen)
    waiting = ratings.filter(status="pending")
    assert 0 < len(waiting) < 40
    refused = ratings.filter(status="failed")
    assert len(waiting) + len(refused) == 40
    assert refused["problem"].str.contains("judge.max_cost_usd=0.05").all()
    assert len(asked_in(server)) == len(waiting)


PROGRAM = """
import json, os, signal, sys
from pathlib import Path
import polars as pl
from flexi_score.config import JudgeSettings
from flexi_score.judge.batch import api as batch_api
from flexi_score.judge.batch import run as batch
from flexi_score.judge.batch import store as batches
point = sys.argv[4]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def after(module, name):
    real = getattr(module, name)
    def run(*args, **kwargs):
        real(*args, **kwargs)
        die()
    setattr(module, name, run)
module, _, name = point.partition(".")
if module:
    after({"batches": batches, "batch": batch}[module], name)
questions = pl.DataFrame(json.loads(sys.argv[1]))
batch.ask_in_batches(questions, Path(sys.argv[2]), JudgeSettings(**json.loads(sys.argv[3])))
"""


@pytest.mark.parametrize(
    ("point", "runs"),
    [
        ("batches.prepare", 2),
        ("batch.upload", 2),
        ("batches.note", 2),
        ("batch.create", 2),
        ("batch.read_file", 3),
        ("batches.close", 3),
    ],
)
def test_killed_anywhere_nothing_is_asked_twice(
    server: JudgeServer, store: Path, point: str, runs: int
) -> None:
    server.batch_polls = 0
    chosen = fast(server, mode="openai-batch")
    questions = json.dumps(many(3).rows(named=True))
    if runs == 3:  # dies on collecting
        ask_in_batches(many(3), store, chosen)
    arguments = [sys.executable, "-c", PROGRAM, questions, str(store), chosen.model_dump_json()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([*arguments, point], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    for _ in range(3):
        ratings = ask_in_batches(many(3), store, chosen)
    assert ratings["status"].to_list() == ["rated"] * 3
    assert len(asked_in(server)) == 3
    assert server.charged.total() == 3
    with Store(store, write=False) as kept:
        assert [len(found) for found in kept.received(ratings["key"]).values()] == [1, 1, 1]


def test_two_processes_submit_every_question_once(server: JudgeServer, store: Path) -> None:
    server.batch_polls = 0
    chosen = fast(server, mode="openai-batch")
    questions = json.dumps(many(30).rows(named=True))
    arguments = [sys.executable, "-c", PROGRAM, questions, str(store), chosen.model_dump_json(), ""]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(arguments, env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    ratings: pl.DataFrame = ask_in_batches(many(30), store, chosen)
    assert ratings["status"].to_list() == ["rated"] * 30
    assert len(asked_in(server)) == 30


def test_collect_alone(server: JudgeServer, store: Path) -> None:
    server.batch_polls = 0
    assert collect(store, fast(server)).ended == []
    assert not store.exists()
    chosen = fast(server, mode="openai-batch")
    ask_in_batches(many(2), store, chosen)
    found = collect(store, chosen)
    assert [(state.batch, state.total, state.done) for state in found.ended] == [
        ("batch_0000", 2, 2)
    ]
    assert replay(many(2), store, chosen)["status"].to_list() == ["rated"] * 2
