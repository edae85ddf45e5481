"""Known layouts of a folder. A layout is a function from a folder to what it found there.

To add one, write such a function and add a line to :data:`LAYOUTS` (and, if it can be told by
looking, to :func:`detect_layout`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from flexi_score.errors import InputError, RowError
from flexi_score.formats.annotated import annotated, is_annotation
from flexi_score.formats.benchmarks import fdb, find_samples, flexi, looks_like_fdb, tells_scenario
from flexi_score.formats.corpora import candor, is_candor, is_telephone, telephone
from flexi_score.formats.datasets import TELLING, daily, eva, kaldi, tau2, turnbench
from flexi_score.formats.dialogues import fdb2, fdb3, humdial, is_fdb2, is_fdb3, is_humdial
from flexi_score.formats.files import brief, name_some
from flexi_score.formats.folders import (
    Found,
    Layout,
    Problem,
    Sample,
    json_file,
    left_out,
    list_audio,
    list_files,
)
from flexi_score.formats.roles import ROLE_OF
from flexi_score.formats.services import vapi_tools
from flexi_score.formats.spelling import nearest


def stereo(folder: Path) -> Found:
    """Two-channel files anywhere below the folder; the id is the path without extension."""
    samples = [
        Sample(path.as_posix(), {"id": _id(path), "audio": path.as_posix()}, {})
        for path in list_audio(folder)
    ]
    beside = [
        name for names in list_files(folder).values() for name in names if is_annotation(name)
    ]
    warnings = []
    if beside:
        warnings.append(
            f"{folder}: {len(beside)} annotation files like {beside[0]} are not used; "
            "--layout annotated reads them as the speech and words of the recordings beside them"
        )
    return Found(samples, [], warnings)


def _annotations(folder: Path) -> list[str]:
    return [name for names in list_files(folder).values() for name in names if is_annotation(name)]


def calls(folder: Path) -> Found:
    """Two-channel call exports, each with a JSON file of the same stem whose keys are metadata.

    Of that file, ``channels`` may map roles to channels (``{"caller": 1, "agent": 0}``), and a
    text ``system`` names the system. Retell's ``transcript_object`` is the words of both parties:
    the health check ``swapped`` holds them against the channels.
    """
    samples, problems, warnings = [], [], []
    bare = []
    for path in list_audio(folder):
        row: dict[str, Any] = {"id": _id(path), "audio": path.as_posix()}
        sidecar = (folder / path).with_suffix(".json")
        if not sidecar.is_file():
            bare.append(path.as_posix())
            samples.append(Sample(path.as_posix(), row, {}))
            continue
        try:
            content = json_file(sidecar)
            if not isinstance(content, dict):
                raise RowError(f"{sidecar}: found {brief(content)}, expected an object of metadata")
        except RowError as error:
            problems.append(Problem(row["id"], "conversation", str(error)))
            continue
        if isinstance(content.get("system"), str):
            row["system"] = content.pop("system")
        if channels := _channels(content.get("channels")):
            row["channels"] = channels
            del content["channels"]
        if tools := vapi_tools(content.get("artifact", content)):
            row["tools"] = tools
        turns = content.get("transcript_object")
        if isinstance(turns, list) and any(isinstance(t, dict) and t.get("words") for t in turns):
            beside = path.with_suffix(".json").as_posix()
            row |= {"user_words": beside, "model_words": beside}
            content = {key: value for key, value in content.items() if key != "transcript_object"}
        samples.append(Sample(path.as_posix(), row, content))
    if bare:
        warnings.append(f"{folder}: no JSON file beside {name_some(bare)}; no metadata for them")
    return Found(samples, problems, warnings)


def pairs(folder: Path, patterns: Sequence[tuple[str, str]] | None = None) -> Found:
    """Pairs of mono files that their names tie together.

    Parameters
    ----------
    folder : Path
        Searched with its subfolders.
    patterns : sequence of (str, str), optional
        Patterns of the user's and the model's path without extension, each with one ``*``, which
        stands for the recording's id: ``[("*_left", "*_right")]``. Without them, a role's name
        (:mod:`flexi_score.formats.roles`) before or after ``_``, ``-`` or ``.``, or as the
        name of the file or of a folder: ``a_user.wav``, ``caller-a.wav``, ``a/agent.wav``,
        ``model/a.wav``.
    """
    role_of = _by_pattern(patterns) if patterns else _by_name
    sides: dict[str, dict[str, list[str]]] = {}
    left_out = []
    for path in list_audio(folder):
        role = role_of(path.with_suffix("").as_posix())
        if role is None:
            left_out.append(path.as_posix())
            continue
        sides.setdefault(role.key, {}).setdefault(role.speaker, []).append(path.as_posix())
    samples, problems = [], []
    for key, files in sides.items():
        extra = next((candidates for candidates in files.values() if len(candidates) > 1), None)
        if extra:
            reason = f"{folder}: {name_some(extra)} are the same side of {key!r}; keep one"
        elif len(files) < 2:
            speaker, candidates = next(iter(files.items()))
            other = "model" if speaker == "user" else "user"
            reason = f"{folder}: {candidates[0]} has no {other} file that belongs to it"
        else:
            row = {"id": key, "user_audio": files["user"][0], "model_audio": files["model"][0]}
            samples.append(Sample(f"pair {key!r}", row, {}))
            continue
        problems.append(Problem(key, "conversation", reason))
    warnings = []
    if left_out:
        warnings.append(f"{folder}: in no pair and left out: {name_some(left_out)}")
    return Found(samples, problems, warnings)


class Known(NamedTuple):
    """A layout: its function, what it reads, who is who in it, and how it was checked.

    Each has a folder made by hand in the tests; `checked` names the description after which.
    """

    read: Layout
    about: str
    who: str
    checked: str


_PEOPLE: Final = "both are people: {} stands for the user"
#: Every layout by its name.
LAYOUTS: Final[dict[str, Known]] = {
    "flexi": Known(
        flexi,
        "FLEXI: <sample>/{input,output}.{wav,json} beside the scenario's JSON files",
        "input the user, output the model",
        "github.com/ChristineCHEN274/FLEXI, and files of its release",
    ),
    "fdb": Known(
        fdb,
        "Full-Duplex-Bench v1 and v1.5: input.wav, output.wav, clean_*.wav, JSON files",
        "input the user, output the model",
        "github.com/DanielLin94144/Full-Duplex-Bench, READMEs of v1 and v1.5",
    ),
    "fdb2": Known(
        fdb2,
        "Full-Duplex-Bench v2: Daily, Correction, ...: A.wav (examiner) and B.wav",
        "A, the examiner, the user; B the model",
        "Full-Duplex-Bench, v2/eval/asr_batch.py",
    ),
    "fdb3": Known(
        fdb3,
        "Full-Duplex-Bench v3: input.wav, output_<system>.wav, result_<system>.json",
        "input the user, output the model",
        "Full-Duplex-Bench, v3/README.md and v3/run_tool_benchmark.py",
    ),
    "humdial": Known(
        humdial,
        "HumDial, track 2: test-<id>.wav and test-<id>_output.wav, or <scenario>/<id>.wav, "
        "<id>_output.wav",
        "the question the user, _output the model",
        "aslp-lab.github.io/HumDial-Challenge and ASLP-lab/HumDial-FDBench, evaluation",
    ),
    "eva": Known(
        eva,
        "EVA: audio_user.wav and audio_assistant.wav beside audit_log.json",
        "names of files",
        "github.com/ServiceNow/eva, README and audit_log.py",
    ),
    "tau2": Known(
        tau2,
        "tau2-bench, voice: sim_*/audio/both.wav, labels, results.json",
        "not documented: left the user; held against the labels (health check swapped)",
        "github.com/sierra-research/tau2-bench",
    ),
    "turnbench": Known(
        turnbench,
        "TurnBench: speaker_1_audio.wav and speaker_2_audio.wav",
        _PEOPLE.format("speaker 1"),
        "github.com/SesameAILabs/turnbench",
    ),
    "candor": Known(
        candor,
        "CANDOR: processed/*.mp3, transcription/transcript_*.csv",
        _PEOPLE.format("the left channel (channel_map.json, metadata.json)"),
        "code and notes of the corpus's users; its own dictionary was not at hand",
    ),
    "telephone": Known(
        telephone,
        "Switchboard and Fisher: sw*.sph, fe_03_*.sph and their transcripts",
        _PEOPLE.format("side A, the left channel,"),
        "code and notes of the corpora's users; the corpora are not free",
    ),
    "kaldi": Known(
        kaldi,
        "Kaldi data: wav.scp and reco2file_and_channel",
        "names of recordings (call1-user), else assumed",
        "kaldi-asr.org/doc/data_prep.html",
    ),
    "daily": Known(
        daily,
        "raw tracks of Daily: says which belong together, for a manifest",
        "nobody: a manifest names them",
        "docs.daily.co",
    ),
    "pairs": Known(
        pairs,
        "pairs of mono files: *_user.wav and *_model.wav and the like",
        "names of files",
        "own convention",
    ),
    "calls": Known(
        calls,
        "two-channel call exports, each with a .json file of metadata beside it",
        "channels in the JSON, else assumed; Retell's words are held against them",
        "docs.retellai.com, docs.vapi.ai",
    ),
    "stereo": Known(
        stereo,
        "two-channel audio files, in subfolders too",
        "--channels or --source, else assumed: left the user",
        "own convention",
    ),
    "annotated": Known(
        annotated,
        "TextGrid, ELAN, RTTM, CTM, STM or CSV files, with or without audio of the same name",
        "names of tiers, labels and files",
        "own convention",
    ),
}


def read_layout(folder: Path, layout: str = "auto") -> Found:
    """All recordings of a folder in a layout.

    Parameters
    ----------
    folder : Path
    layout : str
        A name of :data:`LAYOUTS`, ``auto``, or ``pairs:USER,MODEL`` with two patterns, as
        ``pairs:*_left,*_right``.

    Raises
    ------
    InputError
        For an unknown layout, or where ``auto`` finds none.
    """
    name, colon, patterns = layout.partition(":")
    if name == "pairs" and colon:
        both = [part.strip() for part in patterns.split(",")]
        if len(both) != 2 or any(part.count("*") != 1 for part in both):
            raise InputError(
                f"layout {layout!r}: expected two patterns with one * each, as pairs:*_left,*_right"
            )
        contents = pairs(folder, [(both[0], both[1])])
        return contents._replace(warnings=contents.warnings + left_out(folder, contents))
    if layout == "auto":
        layout = detect_layout(folder)
    if layout not in LAYOUTS:
        near = nearest(layout, LAYOUTS)
        hint = f"; did you mean {near!r}?" if near else ""
        raise InputError(f"unknown layout {layout!r}; known: auto, {', '.join(LAYOUTS)}{hint}")
    contents = LAYOUTS[layout].read(folder)
    if not contents.samples and not contents.problems:
        raise InputError(
            f"{folder}: nothing here is in layout {layout} ({LAYOUTS[layout].about}). By its files "
            f"it is in layout {detect_layout(folder)}: leave --layout out, or name that one"
        )
    return contents._replace(warnings=contents.warnings + left_out(folder, contents))


def detect_layout(folder: Path) -> str:
    """Name of the layout that a folder is in.

    Raises
    ------
    InputError
        Where it is in none, saying what was looked for.
    """
    for subfolder, names in list_files(folder).items():
        for name, telling in _TELLING.items():
            if telling(subfolder, names) and (name != "kaldi" or subfolder == folder):
                return name
    samples = find_samples(folder)
    if tells_scenario(folder, samples):
        return "fdb" if looks_like_fdb(folder, samples) else "flexi"
    audio = list_audio(folder)
    speakers: dict[str, set[str]] = {}
    for path in audio:
        if role := _by_name(path.with_suffix("").as_posix()):
            speakers.setdefault(role.key, set()).add(role.speaker)
    if any(len(sides) == 2 for sides in speakers.values()):
        return "pairs"
    if any((folder / path).with_suffix(".json").is_file() for path in audio):
        return "calls"
    if audio:
        return "stereo"
    if _annotations(folder):
        return "annotated"
    looked = "".join(f"\n  {name}: {known.about}" for name, known in LAYOUTS.items())
    seen = "".join(f"\n{warning}" for warning in left_out(folder, Found([], [], [])))
    raise InputError(
        f"{folder}: no manifest and no known layout. Looked for manifest.jsonl (.json .yaml .yml "
        f".csv .parquet) and{looked}{seen}"
    )


#: How each layout is recognised whose folders tell it by their files.
_TELLING: Final[dict[str, Callable[[Path, list[str]], bool]]] = {
    **TELLING,
    "fdb2": is_fdb2,
    "fdb3": is_fdb3,
    "humdial": lambda _, names: is_humdial(names),
    "candor": is_candor,
    "telephone": is_telephone,
}


class _Role(NamedTuple):
    speaker: str
    key: str


_ROLE_LAST = re.compile(rf"(.+)[_.-]({'|'.join(ROLE_OF)})", re.IGNORECASE)
_ROLE_FIRST = re.compile(rf"({'|'.join(ROLE_OF)})[_.-](.+)", re.IGNORECASE)


def _by_name(path: str) -> _Role | None:
    """Role and recording from a role's name in a path without extension."""
    *folders, stem = path.split("/")
    if match := _ROLE_LAST.fullmatch(stem):
        return _Role(ROLE_OF[match[2].lower()], "/".join([*folders, match[1]]))
    if match := _ROLE_FIRST.fullmatch(stem):
        return _Role(ROLE_OF[match[1].lower()], "/".join([*folders, match[2]]))
    if stem.lower() in ROLE_OF:
        return _Role(ROLE_OF[stem.lower()], "/".join(folders) or "recording")
    for i in reversed(range(len(folders))):
        if folders[i].lower() in ROLE_OF:
            return _Role(
                ROLE_OF[folders[i].lower()], "/".join([*folders[:i], *folders[i + 1 :], stem])
            )
    return None


def _by_pattern(patterns: Iterable[tuple[str, str]]) -> Any:
    """A function like :func:`_by_name`, from pairs of patterns with one ``*`` each."""
    compiled = [
        (speaker, re.compile(re.escape(pattern).replace(r"\*", "(.*)")))
        for both in patterns
        for speaker, pattern in zip(("user", "model"), both, strict=True)
    ]

    def role_of(path: str) -> _Role | None:
        for speaker, pattern in compiled:
            if match := pattern.fullmatch(path):
                return _Role(speaker, match[1].strip("/") or "recording")
        return None

    return role_of


def _channels(value: object) -> dict[str, int] | None:
    """Channels of user and model from a map of role names, or None where it is none."""
    if not isinstance(value, Mapping):
        return None
    channels = {ROLE_OF.get(str(name).lower()): channel for name, channel in value.items()}
    return channels if set(channels) == {"user", "model"} else None  # type: ignore[return-value]


def _id(path: Path) -> str:
    return path.with_suffix("").as_posix()
