"""Kill every verb that writes, over an older output of the same path, and look what stands there.

    python tests/bench/kill.py [VERB ...] [--kills 3] [--seed 0]

SIGKILL goes to the process group: a third of the kills at a random moment of the run, the others
before a random one of the steps in which it changes files under its output (opening one to write,
renaming, removing, making a folder). What then stands there is read as its user would read it, and
must be the old output, the new one, or refused; the command, run again, must then give the new one.
Of an archive, to which extraction adds, every state between the two counts as new once no recording
of the old one is missing, none is invented, and each is as it should be.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import soundfile as sf  # noqa: E402
from conftest import SAMPLES, read_jsonl, write_jsonl  # noqa: E402

from flexi_score.archive import store  # noqa: E402
from flexi_score.archive.corrections import read_lines  # noqa: E402
from flexi_score.archive.reader import ArchiveReader  # noqa: E402
from flexi_score.errors import FlexiScoreError, InputError  # noqa: E402
from flexi_score.handbook.examples import write_examples  # noqa: E402
from flexi_score.manifest import read_input  # noqa: E402
from flexi_score.scoring.run import Run  # noqa: E402

#: Kills its group before the given step in which it changes what is under a path, or tells how
#: many there were.
WATCHED = """
import os, signal, sys
told, out, at = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))
steps = 0
def look(event, args):
    global steps
    if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"):
        return
    if event == "open" and not (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)):
        return
    if any(isinstance(a, (str, os.PathLike)) and os.path.abspath(a).startswith(out) for a in args):
        steps += 1
        if steps == at:
            os.killpg(0, signal.SIGKILL)
def watched(main):
    sys.addaudithook(look)
    try:
        main()
    finally:
        with open(told, "w") as file:
            file.write(str(steps))
"""
PROGRAM = """
import flexi_score.extraction.ledger as ledger
ledger._FLUSH_RECORDINGS = 1  # every recording is a part of its own
from flexi_score.cli import main
if __name__ == "__main__":
    watched(main)
"""
#: What the page of explore does for every correction.
CORRECT = """
from pathlib import Path
from flexi_score.archive.corrections import add_correction, read_lines
def main():
    archive = Path(sys.argv[1])
    for n in range(len(read_lines(archive)), int(sys.argv[2])):
        add_correction(archive, {"recording": "x", "annotations": {"user_turn_end_ms": n}})
watched(main)
"""
#: Of the JSON in an output: what differs between two runs of the same command.
VOLATILE = ("created", "created_utc", "elapsed_s", "seconds", "files", "timings")

State = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Verb:
    """A verb, its output under a folder, the commands that write the old and the new one.

    In a command, OUT stands for the output and SPEAK for a program that speaks.
    """

    name: str
    out: str
    old: str
    new: str
    read: Callable[[Path], State]
    grows: bool = False


def files_of(path: Path) -> State:
    """Hashes of the files of an output, by name."""
    if path.is_file():
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    found = {}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in name.parts):
            found[str(name)] = hashlib.sha256(_steady(file)).hexdigest()
    return found


def _steady(file: Path) -> bytes:
    if file.suffix != ".json":
        return re.sub(rb"\d{4}-\d\d-\d\d[ T][\d:]+", b"", file.read_bytes())
    data = json.loads(file.read_text("utf-8"))
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if key not in VOLATILE}
    return json.dumps(data, sort_keys=True).encode()


def labelled(label: str) -> Callable[[Path], State]:
    """Files of a folder that counts as unfinished without one of them."""

    def read(path: Path) -> State:
        if not (path / label).is_file():
            raise InputError(f"{path / label}: no such file")
        return files_of(path)

    return read


def run_of(path: Path) -> State:
    """A run folder: read whole, but for its archive."""
    Run.open(path)
    return {name: value for name, value in files_of(path).items() if "archive/" not in name}


def input_of(path: Path) -> State:
    """A folder that is to be scored."""
    read_input(path)
    return files_of(path)


def archive_of(path: Path) -> State:
    """Recordings of an archive, and a hash of what it holds of each."""
    reader = ArchiveReader(path)
    if damaged := store.damaged_parts(path):
        raise AssertionError(f"damaged: {damaged}")
    found = {}
    for row in reader.recordings().iter_rows(named=True):
        keys = [value for name, value in row.items() if name.endswith("_key") and value]
        kept = [
            reader.read(table, keys).drop("created", strict=False).sort("key").to_dicts()
            for table in ("channels", "frames", "speech", "words", "segments")
        ]
        found[row["recording"]] = hashlib.sha256(repr((row, kept)).encode()).hexdigest()
    return found


def corrections_of(path: Path) -> State:
    return {str(n): json.dumps(line) for n, line in enumerate(read_lines(path))}


def make_clips(folder: Path) -> None:
    """Clips of single voices, out of the sample recordings."""
    rows = {row["id"]: row for row in read_jsonl(SAMPLES / "manifest.jsonl")}
    for truth in read_jsonl(SAMPLES / "truth.jsonl")[:6]:
        row = rows[truth["id"]]
        audio, rate = sf.read(SAMPLES / row["audio"])
        for k, who in enumerate(("user", "model")):
            voice = folder / row[f"{who}_voice"]
            voice.mkdir(parents=True, exist_ok=True)
            for n, (a, b) in enumerate(truth[f"{who}_speech"][:3]):
                cut = audio[max(a - 150, 0) * rate // 1000 : (b + 150) * rate // 1000, k]
                sf.write(voice / f"{truth['id']}_{n}.wav", cut, rate)


def prepare(folder: Path) -> None:
    """Inputs that the verbs share."""
    manifest = write_examples(folder / "made")
    lines = manifest.read_text("utf-8").splitlines(keepends=True)
    (folder / "made" / "some.jsonl").write_text("".join(lines[:7]), "utf-8")
    paths = sorted(SAMPLES.glob("*.flac"))[:3]
    rows = [{"id": path.stem, "audio": str(path)} for path in paths]
    write_jsonl(folder / "sound.jsonl", rows)
    write_jsonl(folder / "sound1.jsonl", rows[:1])
    make_clips(folder / "clips")
    shutil.copy(next((folder / "clips").rglob("*.wav")), folder / "spoken.wav")
    for n in (1, 2):
        texts = {f"dialog_{k}": [{"text": f"Question {k * n}?"}] for k in range(1, 4)}
        (folder / f"texts{n}").mkdir()
        (folder / f"texts{n}" / "turn_taking_text.json").write_text(json.dumps(texts), "utf-8")
        (folder / f"turns{n}.json").write_text(
            json.dumps(
                {
                    "schema_version": 1,
                    "predictions": [
                        {
                            "conversation_id": "20",
                            "speaker_2": {"eot": [], "interruption": []},
                            "speaker_1": {"eot": [4.7 + 0.4 * n], "interruption": []},
                        }
                    ],
                }
            ),
            "utf-8",
        )
    labels = folder / "labels" / "20"
    labels.mkdir(parents=True)
    for speaker in (1, 2):
        for who in "abc":
            cue = "1\n00:00:0{0},000 --> 00:00:0{1},000\nNormal Turn\n"
            text = cue.format(*((0, 5) if speaker == 1 else (6, 8)))
            (labels / f"speaker_{speaker}_annotation_{who}.srt").write_text(text, "utf-8")
        (labels / f"speaker_{speaker}_audio.wav").touch()
    shutil.copytree(SAMPLES, folder / "calls", ignore=shutil.ignore_patterns("*.jsonl"))
    for out, command in {
        "run": "score made --out OUT -q",
        "run2": "score made --out OUT -q --set yield.hold_ms=900",
        "some": "extract made/some.jsonl --archive OUT -q",
        "truth": "export run --format textgrid --out OUT -q",
    }.items():
        assert start(folder, folder / out, command, 0).wait() == 0, command


RANDOM = "simulate random --clips clips --out OUT"
CONDITIONS = f"{RANDOM} 2 --condition clean --condition ulaw"
QUERIES = "simulate queries --out OUT --tts SPEAK --texts"
TURNS = "labels --out OUT/t.csv --items OUT/items.csv"
FIGURES = "--figures OUT --formats svg"
EXPORT = "--format textgrid,csv --out OUT --overwrite"
SWEEP = "sweep run/archive --out OUT --grid yield.hold_ms="
AUDIO = "sound1.jsonl --asr none", "sound.jsonl --asr none"
VERBS = [
    Verb(
        "extract, segments",
        "a",
        "extract made/some.jsonl --archive OUT",
        "extract made --archive OUT",
        archive_of,
        grows=True,
    ),
    Verb(
        "extract, audio",
        "a",
        f"extract {AUDIO[0]} --archive OUT",
        f"extract {AUDIO[1]} --archive OUT",
        archive_of,
        grows=True,
    ),
    Verb(
        "score, audio",
        "r",
        f"score {AUDIO[0]} --out OUT -q",
        f"score {AUDIO[1]} --out OUT -q",
        run_of,
    ),
    Verb(
        "score, segments",
        "r",
        "score made/some.jsonl --out OUT -q",
        "score made --out OUT -q",
        run_of,
    ),
    Verb(
        "score, archive",
        "r",
        "score run/archive --out OUT -q",
        "score run/archive --out OUT -q --set yield.hold_ms=300",
        run_of,
    ),
    Verb("merge", "a", "merge some --into OUT", "merge run/archive --into OUT", archive_of, True),
    Verb("sweep", "s", f"{SWEEP}300,500", f"{SWEEP}300,900", labelled("sweep.json")),
    Verb("report", "run", "report OUT", "report OUT --timelines 2", run_of),
    Verb(
        "report --figures",
        "f",
        f"report run {FIGURES}",
        f"report run2 {FIGURES}",
        labelled("captions.txt"),
    ),
    Verb("export", "e", f"export run {EXPORT}", f"export run2 {EXPORT}", input_of),
    Verb("compare --out", "c.csv", "compare run --out OUT", "compare run2 --out OUT", files_of),
    Verb(
        "validate",
        "v",
        "validate run truth --out OUT",
        "validate run2 truth --out OUT",
        labelled("validation.json"),
    ),
    Verb("simulate random", "m", f"{RANDOM} 3", f"{RANDOM} 4 --seed 2", input_of),
    Verb("simulate random, conditions", "m", CONDITIONS, f"{CONDITIONS} --seed 2", input_of),
    Verb(
        "simulate queries",
        "q",
        f"{QUERIES} texts1",
        f"{QUERIES} texts2",
        lambda path: {k: v for k, v in input_of(path).items() if not k.startswith("clips/")},
    ),
    Verb(
        "turns --out --items",
        "t",
        f"turns turns1.json {TURNS}",
        f"turns turns2.json {TURNS}",
        labelled("items.csv"),
    ),
    Verb("init", "calls/manifest.jsonl", "init calls", "init calls --force", files_of),
    Verb(
        "check --out",
        "h.csv",
        "check sound1.jsonl --out OUT",
        "check sound.jsonl --out OUT",
        files_of,
    ),
    Verb(
        "handbook --build",
        "site",
        "handbook --build OUT",
        "handbook --build OUT",
        labelled("index.html"),
    ),
    Verb("demo", "d", "demo --out OUT --no-open", "demo --out OUT --no-open", input_of),
    Verb("explore: corrections", "run/archive", "OUT 5", "OUT 10", corrections_of, grows=True),
]


def start(folder: Path, out: Path, command: str, at: int) -> subprocess.Popen[bytes]:
    """Start the command line, to be killed before step ``at``, if not 0."""
    speak = f"sh -c 'cp {folder}/spoken.wav $1' {{txt}} {{wav}}"
    words = command.split()
    arguments = [word.replace("OUT", str(out)).replace("SPEAK", speak) for word in words]
    program = folder / ("correct.py" if words[0] == "OUT" else "program.py")
    return subprocess.Popen(
        [sys.executable, program, folder / "steps", out, str(at), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "errors").open("wb"),
        start_new_session=True,
    )


def restore(old: Path | None, out: Path) -> None:
    """Put the old output back."""
    if out.is_dir():
        shutil.rmtree(out)
    out.unlink(missing_ok=True)
    if old is not None and old.is_dir():
        shutil.copytree(old, out)
    elif old is not None:
        shutil.copy(old, out)


def judge(verb: Verb, out: Path, old: State, new: State) -> str:
    """What stands there."""
    try:
        found = verb.read(out)
    except FlexiScoreError as error:
        return f"refused: {error}"
    except AssertionError as error:
        return f"mixed: {error}"
    if found == new:
        return "new"
    if found == old:
        return "old"
    if verb.grows and found.items() <= new.items() and found.keys() >= old.keys():
        return "new"
    differ = {name for name in old | new | found if found.get(name) != new.get(name)}
    return f"mixed: {sorted(differ)[:5]}"


def kill(verb: Verb, folder: Path, n_kills: int, draw: random.Random) -> Counter[str]:
    """Kill one verb so often; counts of what stood there."""
    out, kept = folder / verb.out, folder / "kept"
    shared = None
    if out.exists():  # an input that is written to
        shared = folder / "shared"
        restore(out, shared)
    assert start(folder, out, verb.old, 0).wait() in (0, 1), (folder / "errors").read_text()
    old = verb.read(out)
    restore(out, kept)
    began = time.monotonic()
    assert start(folder, out, verb.new, 0).wait() in (0, 1), (folder / "errors").read_text()
    seconds, steps = time.monotonic() - began, int((folder / "steps").read_text())
    new = verb.read(out)
    counts: Counter[str] = Counter()
    for number in range(n_kills):
        restore(kept, out)
        at = 0 if number % 3 == 0 else draw.randint(1, steps)
        process = start(folder, out, verb.new, at)
        if not at:
            time.sleep(draw.uniform(0, seconds))
            os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        counts["kills"] += process.wait() == -signal.SIGKILL
        stands, _, why = judge(verb, out, old, new).partition(": ")
        counts[stands] += 1
        mended = start(folder, out, verb.new, 0).wait() in (0, 1)
        again = judge(verb, out, old, new) if mended else (folder / "errors").read_text()
        counts["lost"] += again != "new"
        if stands in ("mixed", "refused") or again != "new":
            print(
                f"  {verb.name}, step {at} of {steps}: {stands}: {why} | then {again}", flush=True
            )
    restore(shared, out)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verbs", nargs="*", help="beginnings of their names [all]")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    columns = ("kills", "old", "new", "refused", "mixed", "lost")
    rows = []
    with tempfile.TemporaryDirectory(prefix="kill-") as name:
        folder = Path(name)
        (folder / "program.py").write_text(WATCHED + PROGRAM)
        (folder / "correct.py").write_text(WATCHED + CORRECT)
        prepare(folder)
        for verb in VERBS:
            if options.verbs and not verb.name.startswith(tuple(options.verbs)):
                continue
            counts = kill(verb, folder, options.kills, draw)
            rows.append((verb.name, counts))
            print(verb.name, dict(counts), flush=True)
    total: Counter[str] = sum((counts for _, counts in rows), Counter())
    print("| verb | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for name, counts in [*rows, ("sum", total)]:
        print(f"| {name} | " + " | ".join(str(counts[column]) for column in columns) + " |")
    sys.exit(bool(total["mixed"] or total["lost"]))


if __name__ == "__main__":
    main()
