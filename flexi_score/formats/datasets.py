"""Folders of further benchmarks and corpora: roles and files recognised by their names.

- EVA (github.com/ServiceNow/eva): ``audio_user.wav`` and ``audio_assistant.wav`` of a conversation
  beside ``audit_log.json``, whose calls of tools become ``tools``; ``audio_mixed.wav`` is not used.
- tau2-bench, voice (github.com/sierra-research/tau2-bench):
  ``artifacts/task_<id>/sim_<id>/audio/both.wav`` with Audacity labels of both parties, and
  ``results.json`` (with ``simulations/``) with the runs and their ticks.
- TurnBench (github.com/SesameAILabs/turnbench): ``speaker_{1,2}_audio.wav`` of two people and the
  subtitles of three annotators each.
- Kaldi data folders (kaldi-asr.org/doc/data_prep.html): ``wav.scp`` and
  ``reco2file_and_channel``.
- Raw tracks of Daily: named, not paired.
"""

import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from flexi_score.errors import RowError
from flexi_score.formats.eva_tools import tool_spans
from flexi_score.formats.files import brief, name_some, read_text
from flexi_score.formats.folders import Found, Problem, Sample, json_file, list_files, name_below
from flexi_score.formats.roles import ROLE_OF
from flexi_score.formats.sidecars import daily_track
from flexi_score.schema import SPEAKERS

_EVA: Final = ("audio_user", "audio_assistant")
_TAU2_AUDIO: Final = "both.wav"
_TAU2_TICK_MS: Final = 200  # where results.json does not say
_TAU2_FACTS: Final = ("task_id", "trial", "termination_reason")
_TURNBENCH: Final = ("speaker_1_audio.wav", "speaker_2_audio.wav")
_ANNOTATORS: Final = ("a", "b", "c")
#: A command of Kaldi's that only picks a channel of a SPHERE file.
_SPH2PIPE: Final = re.compile(r"\S*sph2pipe\s+(?:-f\s+\S+\s+|-p\s+)*-c\s+([12])\s+(\S+)\s*\|")


def eva(folder: Path) -> Found:
    """Conversations of EVA; both tracks are of one clock, to which the times of tools are put."""
    samples, problems, warnings = [], [], []
    for subfolder, names in list_files(folder).items():
        files = {stem: [n for n in names if Path(n).stem == stem] for stem in _EVA}
        if not any(files.values()):
            continue
        name = name_below(subfolder, folder)
        if not all(files.values()):
            lacks = next(stem for stem in _EVA if not files[stem])
            problems.append(Problem(name, "conversation", f"{subfolder}: lacks {lacks}.wav"))
            continue
        row: dict[str, Any] = {
            "id": name,
            "user_audio": str((subfolder / files[_EVA[0]][0]).absolute()),
            "model_audio": str((subfolder / files[_EVA[1]][0]).absolute()),
        }
        metadata: dict[str, Any] = {}
        if "audit_log.json" in names:
            metadata["audit_log"] = str((subfolder / "audit_log.json").absolute())
        for extra in names:
            if extra.startswith("audio_mixed"):
                metadata["mixed_audio"] = str((subfolder / extra).absolute())
        try:
            spans, why = tool_spans(subfolder, names)
        except RowError as error:
            spans, why = [], str(error)
        if spans:
            row["tools"] = spans
        if why:
            warnings.append(f"{subfolder}: the times of its tools are left out: {why}")
        samples.append(Sample(name, row, metadata))
    return Found(samples, problems, warnings)


def tau2(folder: Path) -> Found:
    """Runs of tau2-bench's voice mode.

    The labels beside the audio are the words of each party; backchannels, vocal tics and speech not
    meant for the agent are those of the ticks in ``results.json`` or ``simulations/``. Nothing
    documents which channel of ``both.wav`` is whose, so that is assumed, and checked against the
    labels by the health check ``swapped``.
    """
    warnings: list[str] = []
    runs = _tau2_runs(folder, warnings)
    samples = []
    for subfolder, names in list_files(folder).items():
        if _TAU2_AUDIO not in names:
            continue
        name = name_below(subfolder.parent if subfolder.name == "audio" else subfolder, folder)
        row: dict[str, Any] = {"id": name, "audio": str((subfolder / _TAU2_AUDIO).absolute())}
        for speaker, party in zip(SPEAKERS, ("user", "assistant"), strict=True):
            labels = f"{party}_labels.txt"
            if labels in names:
                row[f"{speaker}_words"] = str((subfolder / labels).absolute())
        simulation = next((p[4:] for p in subfolder.parts if p.startswith("sim_")), None)
        metadata = dict(runs.get(simulation or "", {}))
        for key in ("system", "annotations"):
            if key in metadata:
                row[key] = metadata.pop(key)
        samples.append(Sample(name, row, metadata))
    return Found(samples, [], warnings)


def _tau2_runs(folder: Path, warnings: list[str]) -> dict[str, dict[str, Any]]:
    """What results.json says of each simulation, by its id."""
    runs: dict[str, dict[str, Any]] = {}
    for subfolder, names in list_files(folder).items():
        if "results.json" not in names:
            continue
        try:
            content = json_file(subfolder / "results.json")
        except RowError as error:
            warnings.append(f"{error}; nothing is known of its runs")
            continue
        listed = _at(content, "simulations")
        listed = listed if isinstance(listed, list) else []
        system = _at(content, "info", "agent_info", "llm")
        tick_ms = _at(content, "info", "audio_native_config", "tick_duration_ms")
        tick_ms = _TAU2_TICK_MS if tick_ms is None else tick_ms
        if not isinstance(tick_ms, int | float) or tick_ms <= 0:
            warnings.append(
                f"{subfolder / 'results.json'}: tick_duration_ms: found {brief(tick_ms)}, expected "
                "ms above 0; its ticks are not used"
            )
            tick_ms = None
        for run in [*listed, *_tau2_files(subfolder / "simulations", warnings)]:
            if _at(run, "id") is None:
                continue
            facts = {key: run[key] for key in _TAU2_FACTS if key in run}
            if (reward := _at(run, "reward_info", "reward")) is not None:
                facts["reward"] = reward
            if tick_ms and isinstance(run.get("ticks"), list) and run["ticks"]:
                facts |= _tau2_events(run["ticks"], tick_ms)
            runs[str(run["id"])] = facts | ({"system": system} if isinstance(system, str) else {})
    return runs


def _tau2_files(folder: Path, warnings: list[str]) -> Iterator[Any]:
    """Simulations that are kept in files of their own."""
    for path in sorted(folder.glob("*.json")):
        try:
            yield json_file(path)
        except RowError as error:
            warnings.append(f"{error}; nothing is known of this run")


def _tau2_events(ticks: list[Any], tick_ms: float) -> dict[str, Any]:
    """What the simulated user did that the model should ignore, as tau-voice tells it from ticks.

    A stretch of user ticks with speech is a backchannel by the decision at its first tick; one that
    begins while the agent speaks is a vocal tic or speech not meant for the agent where it holds
    such an insert. Inserts in ticks without speech are events of their own. The audio is taken to
    begin with the first tick.
    """
    spans: dict[str, list[list[float]]] = {"backchannel": [], "vocal_tic": [], "other": []}
    users = [_at(tick, "user_chunk") for tick in ticks]
    speech = [bool(_at(user, "contains_speech")) for user in users]
    if speech[-2:] == [False, True]:  # the signal that ends the conversation, not speech
        users, speech = users[:-1], speech[:-1]
    inserts = [
        _at(user, "speech_effects", "speech_insert") or _at(user, "source_effects", "speech_insert")
        for user in users
    ]
    alike = [True if said else insert for said, insert in zip(speech, inserts, strict=True)]
    for key, group in groupby(range(len(users)), lambda i: alike[i]):
        if not key:
            continue
        at = list(group)
        kinds = [_at(inserts[i], "type") for i in at if inserts[i] is not None]
        kind = "vocal_tic" if "vocal_tic" in kinds else "other"
        if key is True:
            if _at(users[at[0]], "turn_taking_action", "action") == "backchannel":
                kind = "backchannel"
            elif not kinds or not _at(ticks[at[0]], "agent_chunk", "contains_speech"):
                continue
        spans[kind].append([round(tick * tick_ms / 1000, 3) for tick in (at[0], at[-1] + 1)])
    return {
        "annotations": {"backchannels": spans["backchannel"]},
        "vocal_tics": spans["vocal_tic"],
        "non_directed": spans["other"],
    }


def _at(value: Any, *keys: str) -> Any:
    """What lies at a path of keys; None where there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def turnbench(folder: Path) -> Found:
    """Conversations of two people, of which speaker 1 stands for the user.

    The annotators' subtitles are named in the metadata.
    """
    samples, problems = [], []
    for subfolder, names in list_files(folder).items():
        if not any(name in names for name in _TURNBENCH):
            continue
        name = name_below(subfolder, folder)
        if lacking := [n for n in _TURNBENCH if n not in names]:
            problems.append(
                Problem(name, "conversation", f"{subfolder}: lacks {name_some(lacking)}")
            )
            continue
        row: dict[str, Any] = {"id": name}
        metadata: dict[str, Any] = {}
        if "metadata.json" in names:
            try:
                content = json_file(subfolder / "metadata.json")
                if not isinstance(content, dict):
                    raise RowError(f"{subfolder / 'metadata.json'}: found {brief(content)}")
                metadata |= content
            except RowError as error:
                problems.append(Problem(name, "conversation", str(error)))
                continue
        for number, speaker in enumerate(SPEAKERS, 1):
            row[f"{speaker}_audio"] = str((subfolder / f"speaker_{number}_audio.wav").absolute())
            for annotator in _ANNOTATORS:
                file = f"speaker_{number}_annotation_{annotator}.srt"
                if file in names:
                    metadata[f"{speaker}_annotation_{annotator}"] = str(
                        (subfolder / file).absolute()
                    )
        if "combined_audio.wav" in names:
            metadata["mixed_audio"] = str((subfolder / "combined_audio.wav").absolute())
        samples.append(Sample(name, row, metadata))
    warnings = []
    if samples:
        warnings.append(
            f"{folder}: both parties are people: speaker 1 is taken for the user, 2 for the model"
        )
    return Found(samples, problems, warnings)


def kaldi(folder: Path) -> Found:
    """Two-channel recordings of a Kaldi data folder.

    A recording is a file of ``wav.scp``; where ``reco2file_and_channel`` puts two recordings on its
    channels A and B, these are the parties. Who of them is the user is recognised by their names
    (``call1-user``), else not at all. Commands are never run; of ``sph2pipe -c N FILE |`` the file
    is read.
    """
    files: dict[str, tuple[str, int | None]] = {}
    problems, warnings = [], []
    for number, line in _lines(folder / "wav.scp"):
        name, _, value = line.partition(" ")
        value = value.strip()
        if value.endswith("|"):
            picked = _SPH2PIPE.fullmatch(value)
            if picked is None:
                reason = (
                    f"{folder / 'wav.scp'}, line {number}: {brief(value)} is a command, which is "
                    "not run; expected a file. Run it, and name what it writes"
                )
                problems.append(Problem(name, "conversation", reason))
                continue
            files[name] = (picked[2], int(picked[1]) - 1)
        else:
            files[name] = (value, None)
    parties: dict[str, dict[int, str]] = {}
    for number, line in _lines(folder / "reco2file_and_channel"):
        parts = line.split()
        if len(parts) != 3 or parts[2].upper() not in ("A", "B", "1", "2"):
            problems.append(
                Problem(
                    parts[0] if parts else f"line {number}",
                    "conversation",
                    f"{folder / 'reco2file_and_channel'}, line {number}: found {brief(line)}, "
                    "expected RECORDING FILE A or B",
                )
            )
            continue
        parties.setdefault(parts[1], {})[parts[2].upper() in ("B", "2")] = parts[0]
    for name, (path, channel) in files.items():
        if channel is not None:
            parties.setdefault(path, {}).setdefault(channel, name)
    samples = []
    by_path: dict[str, str] = {}
    for name, (path, _) in files.items():
        by_path.setdefault(path, name)
    for path, name in by_path.items():
        key = next((k for k in (name, path, Path(path).stem) if k in parties), None)
        sides = parties.get(key or "", {})
        key = Path(path).stem if key == path else key or name
        row: dict[str, Any] = {"id": key, "audio": str((folder / path).absolute())}
        roles = {channel: _role(side) for channel, side in sides.items()}
        if sorted(filter(None, roles.values())) == sorted(SPEAKERS):
            row["channels"] = {role: int(channel) for channel, role in roles.items() if role}
        samples.append(Sample(f"wav.scp {name!r}", row, {"kaldi": sorted(sides.values())}))
    if (folder / "segments").is_file():
        warnings.append(
            f"{folder}: segments is not used; speech is detected. To use it, write an RTTM of each "
            "party and name it user_speech and model_speech in a manifest"
        )
    return Found(samples, problems, warnings)


def daily(folder: Path) -> Found:
    """Raw tracks of Daily: a file for each participant, of whom nothing says which is the model.

    So each session is a problem that names its tracks; a manifest that names the parties' files
    reads their offsets from the names.
    """
    sessions: dict[str, list[str]] = {}
    for subfolder, names in list_files(folder).items():
        for name in names:
            if track := daily_track(name):
                key = (subfolder / track[0]).relative_to(folder).as_posix()
                sessions.setdefault(key, []).append(
                    (subfolder / name).relative_to(folder).as_posix()
                )
    problems = [
        Problem(
            key,
            "conversation",
            f"{folder}: {name_some(tracks)} are the tracks of one session, and their names do not "
            'say which is the model\'s; name the parties in a manifest: {"id": ..., "user_audio": '
            '..., "model_audio": ...}; their offsets are read from the names',
        )
        for key, tracks in sessions.items()
    ]
    return Found([], problems, [])


def _role(name: str) -> str | None:
    """Role that a part of a recording's name says, or None where none or both do."""
    roles = {ROLE_OF[part] for part in re.split(r"[^a-z]+", name.lower()) if part in ROLE_OF}
    return roles.pop() if len(roles) == 1 else None


def _lines(path: Path) -> list[tuple[int, str]]:
    if not path.is_file():
        return []
    text = read_text(path, RowError)
    return [(n, line.strip()) for n, line in enumerate(text.split("\n"), 1) if line.strip()]


#: How each of these is recognised.
TELLING: Final[dict[str, Callable[[Path, list[str]], bool]]] = {
    "eva": lambda place, names: all(any(Path(n).stem == stem for n in names) for stem in _EVA),
    "tau2": lambda place, names: _TAU2_AUDIO in names and place.parent.name.startswith("sim_"),
    "turnbench": lambda place, names: all(name in names for name in _TURNBENCH),
    "kaldi": lambda place, names: "wav.scp" in names,
    "daily": lambda place, names: any(daily_track(name) for name in names),
}
