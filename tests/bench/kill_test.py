"""Kill an extraction at random moments, finish it, and compare with one that nobody disturbed.

``python tests/bench/kill_test.py [--points 20] [--recordings 4] [--workers 1] [--victim any]
[--words]``. Every point starts from an empty archive. ``--victim main`` kills the process that
writes, ``worker`` one of its workers, ``any`` either. Results are written after every recording, so
that many kills fall into writing.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import SAMPLES, write_jsonl  # noqa: E402
from test_resume import contents  # noqa: E402

from flexi_score.archive import store  # noqa: E402
from flexi_score.archive.reader import ArchiveReader  # noqa: E402
from flexi_score.config import load_settings  # noqa: E402
from flexi_score.scoring import pipeline  # noqa: E402

#: The command line, with every recording written as soon as it is done.
PROGRAM = (
    "import flexi_score.extraction.ledger as ledger; ledger._FLUSH_RECORDINGS = 1\n"
    "from flexi_score.cli import main\n"
    "if __name__ == '__main__': main()\n"
)


def extract(program: Path, manifest: Path, archive: Path, options: Any) -> subprocess.Popen[bytes]:
    words = [] if options.words else ["--asr", "none"]
    command = [
        sys.executable,
        program,
        "extract",
        manifest,
        "--archive",
        archive,
        "-q",
        "--workers",
        str(options.workers),
        *words,
    ]
    return subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def workers_of(pid: int) -> list[int]:
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(n) for n in found if b"spawn_main" in Path(f"/proc/{n}/cmdline").read_bytes()]
    except OSError:
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--recordings", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--victim", choices=("main", "worker", "any"), default="main")
    parser.add_argument("--words", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    settings = load_settings("paper", {} if options.words else {"extract.asr": "none"})
    folder = Path(tempfile.mkdtemp(prefix="kill-test-"))
    program = folder / "run.py"
    program.write_text(PROGRAM)
    paths = sorted(SAMPLES.glob("*.flac"))[: options.recordings]
    manifest = write_jsonl(folder / "m.jsonl", [{"id": p.stem, "audio": str(p)} for p in paths])
    spans = []
    for name in ("whole", "again"):  # the first run is slower, and kills should fall within a run
        began = time.monotonic()
        assert extract(program, manifest, folder / name, options).wait() == 0
        spans.append(time.monotonic() - began)
    span = min(spans)
    want = contents(folder / "whole")
    scores = pipeline.score(folder / "whole", settings=settings).scores
    print(f"uninterrupted: {span:.1f} s, {options.recordings} recordings")
    equal = killed = damaged = kept = 0
    for point in range(options.points):
        archive = folder / f"a{point}"
        process = extract(program, manifest, archive, options)
        # Half the kills anywhere, half while recordings are being written.
        if point % 2:
            while not (archive / "archive.json").exists() and process.poll() is None:
                time.sleep(0.005)
            time.sleep(draw.uniform(0, span / 2))
        else:
            time.sleep(draw.uniform(0, span))
        main_or_worker = draw.choice(["main", "worker"])
        victim = main_or_worker if options.victim == "any" else options.victim
        targets = workers_of(process.pid) if victim == "worker" else [process.pid]
        running = process.poll() is None
        for pid in targets[:1] if running else []:
            os.kill(pid, signal.SIGKILL)
            killed += 1
        process.wait()
        if store.is_archive(archive):
            damaged += len(store.damaged_parts(archive))
            kept += len(ArchiveReader(archive).recordings())
        assert extract(program, manifest, archive, options).wait() == 0
        found = contents(archive)
        same = all(found[name].equals(table) for name, table in want.items())
        same &= pipeline.score(archive, settings=settings).scores.equals(scores)
        equal += same
        print(f"point {point + 1}: {victim} killed={running} equal={same}", flush=True)
    print(
        f"{options.points} points, {killed} killed in time, {damaged} parts damaged, {kept} "
        f"recordings kept over the kills, {equal} equal to the uninterrupted run"
    )
    sys.exit(equal != options.points)


if __name__ == "__main__":
    main()
