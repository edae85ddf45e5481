"""Damage to every kind of input, and what comes of it: an error, a note, the same value, or worse.

``tests/bench/fuzz.py`` is the command.

Outcomes
--------
refused
    A :class:`flexi_score.errors.FlexiScoreError`.
same
    The value of the undamaged input.
noted
    Another value, with a note.
one value
    What the damaged bytes say, read right: another text, another time that is still in order,
    whole lines lost. A format without lengths or checksums cannot show it.
silent
    Any other value, without a word. A fault.
traceback, slow
    Any other exception; more than :data:`LIMIT_S` seconds. Faults.
"""

import hashlib
import io
import json
import random
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile as sf
from made_archives import make_archive
from test_damaged import FILES, TURNS

from flexi_score.archive.reader import ArchiveReader
from flexi_score.audio.decode import USUAL_RATES_HZ, decode_blocks, probe
from flexi_score.config import load_settings
from flexi_score.errors import FlexiScoreError
from flexi_score.formats import read_given
from flexi_score.formats.whose import Whose
from flexi_score.manifest import read_input
from flexi_score.scoring import pipeline
from flexi_score.scoring.run import Run

#: Longest that one damaged input may take.
LIMIT_S = 20
FAULTS = ("silent", "traceback", "slow")
#: A decoder may lose or gain this much: an MP3 whose header is lost keeps the encoder's padding.
_AUDIO_SLACK_S = 0.12


class Damage(NamedTuple):
    """An input that can be damaged.

    Attributes
    ----------
    name : str
    data : bytes
        Undamaged.
    read : callable
        From a path, the value and the notes.
    is_one_value : callable
        Whether the second of two values is what undetectable damage makes of the first: given
        both, and the damaged bytes.
    """

    name: str
    data: bytes
    read: Callable[[Path], tuple[Any, list[str]]]
    is_one_value: Callable[[Any, Any, bytes], bool]


def damage(data: bytes, rng: random.Random) -> bytes:
    """A copy with one to three faults: bits, bytes, pieces lost, doubled, moved; a cut end."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not changed:
            break
        at = rng.randrange(len(changed))
        # Half of the damage is near the start, where headers are.
        at = at if rng.random() < 0.5 else at % min(len(changed), 256)
        size = rng.choice((1, 2, 4, 8, 32, 200))
        match rng.randrange(8):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at] = rng.randrange(256)
            case 2:
                changed[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
            case 3:
                del changed[at : at + size]
            case 4:
                changed[at:at] = changed[at : at + size]
            case 5:
                changed[at:at] = rng.randbytes(size)
            case 6:
                other = rng.randrange(len(changed))
                piece = changed[other : other + size]
                changed[at : at + len(piece)] = piece
            case 7:
                del changed[at:]
    return bytes(changed)


def attempt(target: Damage, data: bytes, expected: Any, folder: Path) -> tuple[str, str]:
    """Outcome of reading damaged bytes, and the details of a fault."""
    path = folder / target.name
    path.write_bytes(data)
    started = time.perf_counter()
    signal.alarm(LIMIT_S)
    try:
        value, notes = target.read(path)
    except FlexiScoreError as error:
        return ("traceback", "empty message") if not str(error) else ("refused", "")
    except TimeoutError:
        return "slow", f"{time.perf_counter() - started:.0f} s"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic of a library is no Exception
        return "traceback", traceback.format_exc(limit=-4)
    finally:
        signal.alarm(0)
    if value == expected:
        return "same", ""
    if notes:
        return "noted", ""
    if target.is_one_value(expected, value, data):
        return "one value", ""
    return "silent", f"{str(expected)[:400]}\n-> {str(value)[:400]}"


def run(targets: list[Damage], tries: int, seed: int, keep: Path | None) -> dict[str, Any]:
    """Counts of outcomes by target, and the first faults."""
    counts: dict[str, Counter[str]] = {}
    faults: list[str] = []

    def stop(number: int, frame: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for target in targets:
            path = folder / target.name
            path.write_bytes(target.data)
            expected, _ = target.read(path)
            tally = counts[target.name] = Counter()
            rng = random.Random(f"{seed} {target.name}")
            for number in range(tries):
                data = damage(target.data, rng)
                outcome, details = attempt(target, data, expected, folder)
                tally[outcome] += 1
                if outcome in FAULTS:
                    faults.append(f"{target.name}, seed {seed}, try {number}: {outcome}\n{details}")
                    if keep is not None:
                        (keep / f"{seed}-{number}-{target.name}").write_bytes(data)
            path.unlink(missing_ok=True)
    return {"counts": counts, "faults": faults, "peak_mb": round(_peak_mb())}


def _peak_mb() -> float:
    """Most memory of this process. Linux counts what the parent had when it started it into
    ``ru_maxrss``, but not into its own figure."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def transcripts() -> Iterator[Damage]:
    """A file of every format of transcripts and segments."""
    for name, text in _transcript_files().items():
        kind = "words" if name.startswith("words") else "segments"

        def read(path: Path, kind: Any = kind) -> tuple[Any, list[str]]:
            reading = read_given(path, kind, Whose("user", shared=False), has_audio=False)
            return reading.table.rows(), reading.notes

        yield Damage(name, text.encode(), read, _one_entry)


def _one_entry(before: list[Any], after: list[Any], data: bytes) -> bool:
    """Whether every line of the damaged file was read, and at most one entry has other times,
    still in order."""
    text = data.decode("utf-8", "replace")
    if "-->" in text:
        lines = text.count("-->")
    elif text.lstrip()[:1] in ("F", "<"):
        lines = len(before)
    elif '"segments"' in text:
        lines = text.count('"word"') or text.count('"start"')
    else:
        lines = sum(bool(line.strip()) for line in text.splitlines()) - text.startswith("start")
    if [row[:2] for row in before] == [row[:2] for row in after]:
        return True
    if text.strip() == "WEBVTT":  # whole, without a cue: a run says that the party never speaks
        return not after
    times = [row[:2] for row in before]
    changed = sum(row[:2] not in times for row in after)
    ordered = all(b[1] <= c[0] + 250 for b, c in pairwise(after))
    return len(after) == lines and changed <= 1 and ordered


def _transcript_files() -> dict[str, str]:
    items = [{"start": a / 1000, "end": b / 1000, "text": t} for a, b, t in TURNS]
    words = [{"start": a / 1000, "end": b / 1000, "word": t.split()[0]} for a, b, t in TURNS]
    intervals, slots, annotations, end = [], [], [], 0
    for i, (a, b, t) in enumerate(TURNS):
        intervals += [(end, a, ""), (a, b, t)]
        end = b
        slots += [f'<TIME_SLOT TIME_SLOT_ID="ts{2 * i}" TIME_VALUE="{a}"/>']
        slots += [f'<TIME_SLOT TIME_SLOT_ID="ts{2 * i + 1}" TIME_VALUE="{b}"/>']
        annotations += [
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{i}" TIME_SLOT_REF1="ts{2 * i}" '
            f'TIME_SLOT_REF2="ts{2 * i + 1}"><ANNOTATION_VALUE>{t}</ANNOTATION_VALUE>'
            "</ALIGNABLE_ANNOTATION></ANNOTATION>"
        ]
    grid = "".join(
        f"        intervals [{i}]:\n            xmin = {a / 1000}\n            xmax = {b / 1000}\n"
        f'            text = "{t}"\n'
        for i, (a, b, t) in enumerate(intervals, 1)
    )
    last = TURNS[-1][1] / 1000
    return {
        **FILES,
        "segments.json": json.dumps({"segments": items}),
        "words.json": json.dumps({"segments": [{**items[0], "end": last, "words": words}]}),
        "a.jsonl": "".join(json.dumps(item) + "\n" for item in items),
        "a.TextGrid": (
            'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
            f"xmin = 0\nxmax = {last}\ntiers? <exists>\nsize = 1\nitem []:\n    item [1]:\n"
            f'        class = "IntervalTier"\n        name = "user"\n        xmin = 0\n'
            f"        xmax = {last}\n        intervals: size = {len(intervals)}\n{grid}"
        ),
        "a.eaf": (
            '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT AUTHOR="" '
            'FORMAT="3.0" VERSION="3.0"><HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>'
            f"<TIME_ORDER>{''.join(slots)}</TIME_ORDER>"
            '<TIER LINGUISTIC_TYPE_REF="default" TIER_ID="user">'
            f"{''.join(annotations)}</TIER>"
            '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default" TIME_ALIGNABLE="true"/>'
            "</ANNOTATION_DOCUMENT>\n"
        ),
    }


def manifests() -> Iterator[Damage]:
    """A manifest, whose rows keep their count or are noted."""
    rows = [
        {
            "id": f"r{i}",
            "scenario": "turn_taking",
            "system": "one",
            "audio": f"r{i}.flac",
            "channels": {"user": 0, "model": 1},
            "annotations": {"user_turn_end": 4.35 + i},
        }
        for i in range(4)
    ]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()

    def read(path: Path) -> tuple[Any, list[str]]:
        manifest = read_input(path)
        notes = [*manifest.warnings, *manifest.failures["reason"]]
        return [tuple(map(str, row)) for row in manifest.rows.rows()], notes

    def one_row(before: list[Any], after: list[Any], _: bytes) -> bool:
        if len(before) != len(after):
            return False
        # Damage goes to at most three places.
        return sum(a != b for a, b in zip(before, after, strict=True)) <= 3

    yield Damage("manifest.jsonl", data, read, one_row)


def audio() -> Iterator[Damage]:
    """Half a second of two channels in every container; the value is what was decoded."""
    rate = 16_000
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal((rate // 2, 2))).astype(np.float32)
    containers = [("wav", "WAV", "PCM_16"), ("float.wav", "WAV", "FLOAT"), ("w64", "W64", "PCM_16")]
    containers += [("rf64", "RF64", "PCM_16"), ("aiff", "AIFF", "PCM_16"), ("au", "AU", "PCM_16")]
    containers += [("caf", "CAF", "PCM_16"), ("sph", "NIST", "PCM_16"), ("flac", "FLAC", "PCM_16")]
    containers += [
        ("ogg", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
    ]
    for suffix, container, encoding in containers:
        buffer = io.BytesIO()
        sf.write(buffer, samples, rate, encoding, format=container)
        yield Damage(f"a.{suffix}", buffer.getvalue(), _decode, _same_shape)
    for suffix, container, codec in (("m4a", "mp4", "aac"), ("webm", "webm", "libopus")):
        data = _encode(samples, rate, container, codec)
        if data is not None:
            yield Damage(f"a.{suffix}", data, _decode, _same_shape)


def _encode(samples: np.ndarray, rate: int, container: str, codec: str) -> bytes | None:
    try:
        import av
    except ImportError:
        return None
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000 if codec == "libopus" else rate)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", "stereo")
        frame.sample_rate = rate
        resampler = av.AudioResampler("fltp" if codec == "aac" else "flt", "stereo", stream.rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def _decode(path: Path) -> tuple[Any, list[str]]:
    info = probe(path)
    blocks = list(decode_blocks(info, range(info.n_channels)))
    digest = hashlib.sha256(b"".join(block.tobytes() for block in blocks)).hexdigest()[:12]
    frames = sum(map(len, blocks))
    value = (info.n_channels, info.sample_rate_hz, frames / info.sample_rate_hz, digest)
    return value, [info.note] if info.note else []


def _same_shape(before: Any, after: Any, data: bytes) -> bool:
    """Whether only samples differ, which most codecs cannot show; headers of AU, CAF and SPHERE
    say everything once, and may say another usual rate or width."""
    if data[:4] in (b".snd", b"dns.", b"caff", b"NIST"):
        return after[1] in USUAL_RATES_HZ
    return before[:2] == after[:2] and abs(before[2] - after[2]) <= _AUDIO_SLACK_S


def parts(folder: Path) -> Iterator[Damage]:
    """Every table of an archive, its damaged parts hashed anew as a hostile writer would."""
    archive = make_archive(folder / "archive", 12)
    settings = load_settings("paper", {"extract.asr": "none"})
    pipeline.score(archive, settings=settings)
    for table in ("recordings", "channels", "frames", "words"):
        part = next((archive / table).glob("*.parquet"))
        data = part.read_bytes()

        def read(path: Path, part: Path = part, data: bytes = data) -> tuple[Any, list[str]]:
            part.unlink()
            changed = path.read_bytes()
            digest = hashlib.sha256(changed).hexdigest()[:16]
            damaged = part.with_name(f"{part.stem.split('-')[0]}-{digest}.parquet")
            damaged.write_bytes(changed)
            try:
                scored = pipeline.score(ArchiveReader(archive).folder, settings=settings)
            finally:
                damaged.unlink()
                part.write_bytes(data)
            notes = [str(row) for row in scored.failures.rows()] if len(scored.failures) > 1 else []
            return scored.scores.rows(), notes

        yield Damage(f"{table}.parquet", data, read, _one_score)


def _one_score(before: list[Any], after: list[Any], _: bytes) -> bool:
    """Whether the same scores were made, of which some differ: by a level, a time or a name, which
    no range shows to be wrong."""
    return [row[2:4] for row in before] == [row[2:4] for row in after]


def runs(folder: Path) -> Iterator[Damage]:
    """Every file of a run folder."""
    archive = make_archive(folder / "run_archive", 12)
    out = folder / "a.run"
    pipeline.score(archive, settings=load_settings("paper", {"extract.asr": "none"})).write(out)
    for file in sorted(out.glob("*")):
        if file.suffix not in (".parquet", ".json"):
            continue
        data = file.read_bytes()

        def read(path: Path, file: Path = file, data: bytes = data) -> tuple[Any, list[str]]:
            file.write_bytes(path.read_bytes())
            try:
                opened = Run.open(out)
                return (opened.scores.rows(), opened.summary.rows(), opened.events.rows()), []
            finally:
                file.write_bytes(data)

        yield Damage(f"run-{file.name}", data, read, lambda before, after, _: False)


def targets(folder: Path) -> list[Damage]:
    """Everything that can be damaged, made in a folder."""
    return [*transcripts(), *manifests(), *audio(), *parts(folder), *runs(folder)]
