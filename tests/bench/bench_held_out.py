"""The validation table, on voices and noises that nothing was tuned on; a script, not a test.

    python tests/bench/bench_held_out.py [--clips DIR] [--work DIR] [--scenes N] [CONDITION ...]

Conversations are simulated from clips (turns, pauses, overlaps, backchannels, interruptions, with
exact truth), changed by each condition, extracted and scored with each remedy on or off, and
compared with the truth by ``flexi_score.validate`` (IPUs; events with a collar of 200 ms).

DIR holds the clips as ``held_out_clips.py`` writes them: ``clips/VOICE/*.wav`` and
``babble/VOICE/*.wav``. Without --clips they are spoken with flite and espeak-ng, which need no
network (``apt-get install flite espeak-ng``). Noises and rooms come from ``held_out_sounds.py``.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

SEED = 20_261_123
NOISES = ("babble", "siren", "traffic", "barks", "ringing", "hum")
#: Way of the crosstalk, level, whether over a telephone.
CROSSTALK = (
    ("headset", -20, False),
    ("room", -20, False),
    ("headset", -10, False),
    ("room", -10, False),
    ("room", -20, True),
    ("room", -10, True),
)
ON, OFF = "true", "false"
NONE = {"speech.boundaries": OFF, "speech.crosstalk": OFF}
REMEDIES = {
    "none": NONE,
    "boundaries": NONE | {"speech.boundaries": ON},
    "crosstalk removal": NONE | {"speech.crosstalk": ON},
    "all (default)": {},
}
NORMALISED = "all but normalisation"
COLUMNS = (
    "condition",
    "remedies",
    "ends",
    "FA %",
    "miss %",
    "FA + miss %",
    "median ms",
    "p90 ms",
    "≤ 15 ms %",
    "≤ 25 ms %",
    "≤ 100 ms %",
    "event P %",
    "event R %",
)


def conditions(sounds: Path) -> dict[str, Any]:
    """Conditions by title; those of a noise name the folder that it is drawn from."""
    made: dict[str, Any] = {
        "clean": "clean",
        "telephone, mu-law": "ulaw",
        "quiet, -60 dBFS": "level:-60+floor:-110",
    }
    made |= {f"{kind}, 15 dB": ("files:15", sounds / kind) for kind in NOISES}
    for way, level, narrow in CROSSTALK:
        both = {
            who: {
                "crosstalk_db": level,
                "crosstalk_lag_ms": lag,
                "crosstalk_response": str(sounds / f"{way}_{k}.wav"),
            }
            for k, (who, lag) in enumerate(
                {"user": 34, "model": 71}.items()
                if way == "room"
                else {"user": 2, "model": 6}.items()
            )
        }
        title = f"crosstalk {level} dB, {way}" + (", telephone" if narrow else "")
        made[title] = both | {"name": title} | ({"codec": "ulaw"} if narrow else {})
    return made


def measure(archive: Path, truth: Any, changes: dict[str, str]) -> list[str]:
    """Cells of a row, from the condition's extent to the events' recall."""
    from flexi_score.config import load_settings
    from flexi_score.scoring import pipeline
    from flexi_score.validate import validate

    settings = load_settings("paper", {"extract.asr": "none", "health.gate": OFF, **changes})
    result = validate(pipeline.score(archive, settings=settings), truth, by=[])
    detection = [result.value("detection", m, "speech") for m in ("false_alarm", "miss", "error")]
    ends = [
        result.value("boundary", m, "any")
        for m in ("median_abs", "p90_abs", "within_15_ms", "within_25_ms", "within_100_ms")
    ]
    events = result.events
    hit, want, got = (events[c].sum() for c in ("matched", "truth", "found"))
    number = result.boundaries["truth_ms"].count()
    numbers = [*detection, *ends, 100 * hit / max(got, 1), 100 * hit / max(want, 1)]
    return [str(number), *("-" if v is None else f"{v:.1f}" for v in numbers)]


def row(cells: list[str]) -> str:
    """A line of Markdown."""
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table as Markdown, line by line as it is measured."""
    from held_out_clips import write_clips
    from held_out_sounds import write_sounds

    from flexi_score.config import load_settings
    from flexi_score.scoring.pipeline import extract
    from flexi_score.simulate import make_condition, random_scenes, read_clips, write_scenes
    from flexi_score.validate import read_truth

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("conditions", nargs="*", help="only those that begin so")
    parser.add_argument("--clips", type=Path, help="folder with clips/ and babble/")
    parser.add_argument("--work", type=Path, help="keep recordings and archives here")
    parser.add_argument("--scenes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = given.work or Path(name)
        folder = given.clips or work / "voices"
        if given.clips is None and len(write_clips(folder)) < 2:
            sys.exit("no voices: install flite or espeak-ng, or give --clips")
        clips = read_clips(folder / "clips")
        talks = [c.audio for c in read_clips(folder / "babble").by_name.values()]
        sounds = work / "sounds"
        write_sounds(sounds, talks, given.seed)
        scenes = random_scenes(given.scenes, clips, given.seed, "conversation")
        print(row(list(COLUMNS)))
        print(row(["---", "---", *["---:"] * (len(COLUMNS) - 2)]))
        for title, what in conditions(sounds).items():
            if given.conditions and not title.startswith(tuple(given.conditions)):
                continue
            condition, noises = what if isinstance(what, tuple) else (what, None)
            here = work / title.replace(" ", "_").replace(",", "")
            write_scenes(
                scenes, clips, here, make_condition(condition), seed=given.seed, noises=noises
            )
            truth = read_truth(here / "truth.jsonl")
            rounds = [("archive", {}, REMEDIES)]
            if title.startswith("quiet"):
                rounds.append(("raw", {"extract.normalize": OFF}, {NORMALISED: {}}))
            for where, how, remedies in rounds:
                settings = load_settings("paper", {"extract.asr": "none", **how})
                archive, _ = extract(here, here / where, settings=settings)
                for remedy, changes in remedies.items():
                    cells = measure(archive, truth, how | changes)
                    print(row([title, remedy, *cells]), flush=True)


if __name__ == "__main__":
    main()
