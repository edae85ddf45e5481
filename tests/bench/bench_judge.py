"""Judge thousands of questions against a server that fails now and then, killed on the way.

``python tests/bench/bench_judge.py [--questions 5000] [--faults 0.15] [--kills 1] [--table]``. A
process of its own asks; it is killed with SIGKILL at a random moment, and started again. Printed is
what the server saw and what the archive holds: calls made, replies lost, replies paid for twice,
rows invented, seconds. ``--table`` prints instead what becomes of every fault: attempts, outcome.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import polars as pl  # noqa: E402
from judge_server import PAID, Call, JudgeServer, occasional, scripted  # noqa: E402
from test_judge_client import FAULTS, PROGRAM, fast, frame, row, tss  # noqa: E402

from flexi_score.config import JudgeSettings  # noqa: E402
from flexi_score.errors import FlexiScoreError  # noqa: E402
from flexi_score.judge.ask import ask, estimate, replay  # noqa: E402
from flexi_score.judge.batch.run import ask_in_batches  # noqa: E402

FREE = ("429", "429_after:0.05", "500", "503", "drop", "drop_mid", "html")
SPOILED = ("refusal", "truncated", "invalid_json", "wrong_keys", "out_of_range", "empty_choices")


def questions(number: int) -> pl.DataFrame:
    """Interruptions, emergencies and monologues, as the rubrics want them."""
    rows = []
    for n in range(number):
        words = [[f"word{i}", round(0.31 * (i + 1) + n * 0.001, 3)] for i in range(30)]
        if n % 5 == 4:
            rows.append(row("reference_backchannels", {"words": words}, f"r{n}"))
        else:
            rows.append(tss(f"what about number {n}, please?", f"r{n}"))
    return frame(*rows)


def mixed(share: float) -> Any:
    """Faults in a share of attempts; and every hundredth question is refused for ever."""
    now_and_then = occasional(share, [*FREE, *SPOILED])

    def choose(question: Mapping[str, Any], attempt: int) -> str | None:
        text = str(question.get("interrupt", ""))
        hopeless = text.endswith("00, please?")
        return "refusal" if hopeless else now_and_then(question, attempt)

    return choose


def run(options: Any) -> int:
    """The long run with kills."""
    draw = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="bench-judge-"))
    store, asked = folder / "judge.sqlite", questions(options.questions)
    (folder / "questions.json").write_text(json.dumps(asked.rows(named=True)))
    with JudgeServer(faults=mixed(options.faults), latency_s=options.latency) as server:
        chosen = JudgeSettings(
            mode="openai",
            base_url=server.url,
            concurrency=options.concurrency,
            backoff_s=0.004,
            timeout_s=10,
        )
        points = sorted(draw.uniform(0.2, 0.8) for _ in range(options.kills))
        began, seconds_of = time.monotonic(), []
        lost_by_kill = held_before = 0
        for point in [*points, None]:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    PROGRAM,
                    folder / "questions.json",
                    store,
                    chosen.model_dump_json(),
                ],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                text=True,
            )
            started = time.monotonic()
            assert process.stdout is not None
            done = 0
            for line in process.stdout:
                if line.strip().isdigit():
                    done = int(line)
                if point is not None and done >= point * options.questions:
                    process.send_signal(signal.SIGKILL)
                    break
            process.communicate()
            seconds_of.append(time.monotonic() - started)
            if point is not None:
                time.sleep(0.3)  # until the server has noticed
                held = estimate(asked, store, chosen).stored
                paid = len({identity(call) for call in server.calls if good(call)})
                lost_by_kill += paid - held
                held_before = max(held_before, held)
                print(
                    f"killed after {done} of {options.questions}: {held} kept, {paid - held} "
                    "paid and not kept (under way)",
                    flush=True,
                )
        elapsed = time.monotonic() - began
        report(server, asked, store, chosen, options, seconds_of, elapsed, lost_by_kill)
        calls = len(server.calls)
        again = ask(asked, store, chosen)
        hopeless = again.filter(status="failed")
        print(
            f"asked once more: {len(server.calls) - calls} calls, for the {len(hopeless)} that "
            "are refused for ever"
        )
    return 0


def identity(call: Call) -> str:
    return call.question


def good(call: Call) -> bool:
    return call.fault is None and call.delivered


def report(
    server: JudgeServer,
    asked: pl.DataFrame,
    store: Path,
    chosen: JudgeSettings,
    options: Any,
    seconds_of: list[float],
    elapsed: float,
    lost_by_kill: int,
) -> None:
    ratings = replay(asked, store, chosen)
    by_fault = Counter(call.fault for call in server.calls)
    good_by_question = Counter(identity(call) for call in server.calls if good(call))
    rated = ratings.filter(status="rated")
    truth = {}
    for call in server.calls:
        if call.fault is None:
            answer = server.reply(call.body, None)["choices"][0]["message"]["content"]
            truth[call.question] = answer
    invented = sum(truth.get(r["question"]) != r["reply"] for r in rated.iter_rows(named=True))
    invented += (
        len(ratings)
        - len(asked)
        + ratings.filter((pl.col("status") != "rated") & pl.col("value").is_not_null()).height
    )
    lost = sum(question not in set(rated["question"]) for question in good_by_question)
    twice = sum(count - 1 for count in good_by_question.values())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    width = 34
    figures = {
        "judgements": f"{len(asked)}, {options.concurrency} at once, {options.kills} killed",
        "calls made": len(server.calls),
        "  answered well": by_fault.pop(None, 0),
        "  of no use, but paid": sum(n for f, n in by_fault.items() if f in PAID),
        "  failed, unpaid": sum(n for f, n in by_fault.items() if f not in PAID),
        "rated": len(rated),
        "unscored, with the reason": len(ratings) - len(rated),
        "good replies lost": lost,
        "good replies paid twice": f"{twice} (under way when killed: at most "
        f"{options.concurrency * options.kills})",
        "rows invented": invented,
        "most requests at once": server.most_at_once,
        "seconds": f"{elapsed:.1f} ({', '.join(f'{s:.1f}' for s in seconds_of)} a run), "
        f"{used.ru_utime + used.ru_stime:.1f} of CPU",
        "judge.sqlite": f"{store.stat().st_size / 1e6:.1f} MB",
    }
    for name, value in figures.items():
        print(f"{name:{width}}{value}")
    print("faults: " + ", ".join(f"{name} {n}" for name, n in by_fault.most_common()))


def table() -> None:
    """What becomes of every fault."""
    cases: list[tuple[str, list[str | None]]] = [(case[0], list(case[1])) for case in FAULTS]
    cases += [
        ("no quota", ["quota"] * 9),
        ("key refused", ["401"]),
        ("no access", ["403"]),
        ("no such model", ["404"]),
        ("parameter refused", ["400_temperature"]),
    ]
    print("| fault | attempts | outcome |\n|---|---|---|")
    for name, script in cases:
        with (
            JudgeServer(faults=scripted({"bad": script})) as server,
            tempfile.TemporaryDirectory() as folder,
        ):
            chosen = fast(server, retries=3, timeout_s=0.6)
            try:
                rating = ask(frame(tss("bad")), Path(folder) / "judge.sqlite", chosen)
                found = rating.row(0, named=True)
                outcome = "rated"
                if found["status"] != "rated":
                    outcome = f"unscored: {found['problem']}"
            except FlexiScoreError as error:
                outcome = f"run stopped ({type(error).__name__}): {error}"
            print(f"| {name} | {len(server.calls)} | {_brief(outcome, server.url)} |")
    for end in ("completed", "expired", "cancelled", "failed"):
        with JudgeServer(batch_end=end) as server, tempfile.TemporaryDirectory() as folder:
            path, chosen = Path(folder) / "judge.sqlite", fast(server, mode="openai-batch")
            asked = frame(*(tss(f"number {n}") for n in range(4)))
            ask_in_batches(asked, path, chosen)
            counts = ask_in_batches(asked, path, chosen)["status"].value_counts().sort("status")
            outcome = ", ".join(f"{n} {status}" for status, n in counts.iter_rows())
            print(f"| batch {end}, of 4 | {len(server.batches)} batches | {outcome} |")


def _brief(text: str, url: str) -> str:
    line = " ".join(text.replace(url, "URL").split()).replace("|", "/")
    return line if len(line) <= 150 else f"{line[:150]}..."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--faults", type=float, default=0.15)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        table()
        return
    sys.exit(run(options))


if __name__ == "__main__":
    main()
