"""Folders of the FLEXI and Full-Duplex-Bench releases: one folder per sample.

A sample holds ``input.*`` (user) and ``output.*`` (model), as audio, as word-timed transcripts
(``.json``) or both, and the JSON file of its scenario. Samples lie in a folder of one scenario,
or in one folder per scenario; the scenario is recognised by a folder's name, else by the JSON file.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from flexi_score.errors import FlexiScoreError, RowError
from flexi_score.formats.contract import parse_rating
from flexi_score.formats.files import brief, to_ms
from flexi_score.formats.folders import (
    Found,
    Problem,
    Sample,
    checked_seconds,
    is_audio,
    json_file,
    json_object,
    list_files,
)
from flexi_score.formats.json_words import read_json_words
from flexi_score.formats.whose import Whose

#: Spellings of the scenarios in folder names, those of the releases included.
_SCENARIO_NAMES: Final = {
    "turn_taking": re.compile(r"(smooth_?)?turn_?taking"),
    "pause_handling": re.compile(r"pause_?hand(l)?ing"),
    "user_interrupt": re.compile(r"user_?interrupt(ion|ions)?"),
    "model_interrupt": re.compile(r"model_?interrupt(ion|ions)?"),
    "user_backchannel": re.compile(r"user_?backchannel(s|ing)?"),
    "model_backchannel": re.compile(r"(model|icc)_?backchannel(s|ing)?"),
    "conversation": re.compile(r"talking_?to_?other|background_?speech"),
}

#: The JSON file that tells a scenario, where the folder's name does not.
_SCENARIO_FILES: Final = {
    "turn_taking.json": "turn_taking",
    "pause.json": "pause_handling",
    "interrupt.json": "user_interrupt",
    "source_statement.json": "model_interrupt",
    "segments.json": "model_backchannel",
    "reference.json": "model_backchannel",
}

#: The JSON file without which a sample of a scenario cannot be scored as the benchmark means it.
_REQUIRED: Final = {
    "turn_taking": "turn_taking.json",
    "pause_handling": "pause.json",
    "user_interrupt": "interrupt.json",
}
#: Scenarios whose rules look at what the user said.
_NEEDS_INPUT: Final = ("pause_handling", "model_interrupt", "user_backchannel")

_FDB_NAMES: Final = re.compile(r"(candor|synthetic|icc)_|talking_?to_?other|background_?speech")


def flexi(folder: Path) -> Found:
    """Samples of the FLEXI release."""
    return _read_samples(folder, _flexi_sample)


def fdb(folder: Path) -> Found:
    """Samples of Full-Duplex-Bench v1 and v1.5.

    In v1.5 ``input`` has the overlapping speech and ``clean_input`` has not: the recording is
    input and output, and the clean files are named in the metadata. Its side conversations and
    background speech are read as conversations, with the overlapping speech's interval in
    ``overlap_s``.
    """
    return _read_samples(folder, _fdb_sample)


def find_samples(folder: Path) -> dict[Path, list[str]]:
    """Folders that are a sample, and the files of each.

    A sample has an output (or input beside a scenario's JSON file). A folder without either and
    without subfolders, next to samples, is one too: an incomplete one.
    """
    files = list_files(folder)
    samples = {subfolder for subfolder, names in files.items() if _is_sample(names)}
    parents = {subfolder.parent for subfolder in samples if subfolder != folder}
    inner = {subfolder.parent for subfolder in files}
    samples |= {p for p in files if p.parent in parents and p not in inner and p != folder}
    return {subfolder: names for subfolder, names in files.items() if subfolder in samples}


def tells_scenario(folder: Path, samples: Mapping[Path, list[str]]) -> bool:
    """Whether the scenario of any of these samples can be told."""
    for subfolder, names in samples.items():
        try:
            _scenario(folder, subfolder, names)
        except RowError:
            continue
        return True
    return False


def looks_like_fdb(folder: Path, samples: Mapping[Path, list[str]]) -> bool:
    """Whether samples are Full-Duplex-Bench's rather than FLEXI's."""
    for subfolder, names in samples.items():
        if any(name.startswith("clean_") or name == "transcription.json" for name in names):
            return True
        if any(_FDB_NAMES.search(_plain(part)) for part in _parts(folder, subfolder)):
            return True
    return False


_Reader = Callable[[Path, list[str], dict[str, Any], dict[str, Any], list[str]], None]


def _read_samples(folder: Path, finish: _Reader) -> Found:
    contents = Found([], [], [])
    for subfolder, names in find_samples(folder).items():
        scenario: str | None = None
        name = subfolder.relative_to(folder).as_posix()
        try:
            scenario, parts = _scenario(folder, subfolder, names)
            name = "/".join([scenario, *parts])
            row: dict[str, Any] = {"id": name, "scenario": scenario}
            metadata: dict[str, Any] = {}
            row |= _tracks(subfolder, names, scenario, contents.warnings)
            finish(subfolder, names, row, metadata, contents.warnings)
            if scenario == "user_interrupt" and "interrupt" not in row.get("annotations", {}):
                raise RowError(f"{subfolder}: incomplete sample, lacks interrupt.json")
            contents.samples.append(Sample(subfolder.relative_to(folder).as_posix(), row, metadata))
        except RowError as error:
            contents.problems.append(Problem(name, scenario, str(error)))
    return contents


def _flexi_sample(
    folder: Path,
    names: list[str],
    row: dict[str, Any],
    metadata: dict[str, Any],
    warnings: list[str],
) -> None:
    _annotate(folder, names, row, metadata)
    if "metadata.json" in names:
        more = json_object(folder / "metadata.json")
        times = more.pop("user_backchannel_times", None)
        if times is not None:
            if not isinstance(times, list):
                raise RowError(
                    f"{folder / 'metadata.json'}: user_backchannel_times: found {brief(times)}, "
                    "expected a list of seconds"
                )
            row.setdefault("annotations", {})["backchannels"] = [[t, t] for t in times]
        metadata |= more
    if "source_statement.json" in names:
        path = folder / "source_statement.json"
        item = _first(path)
        statement = item.get("user_statement", item.get("statement"))
        if not isinstance(statement, str):
            raise RowError(f"{path}: found {brief(item)}, expected 'user_statement' with text")
        row.setdefault("text", {})["statement"] = statement
    if "segments.json" in names:
        path = folder / "segments.json"
        duration = json_object(path).get("duration")
        try:
            if to_ms(duration) == 0:
                raise ValueError("found 0, expected seconds above 0")
        except ValueError as cause:
            raise RowError(f"{path}: duration: {cause}") from None
        row["model_speech"] = str(path.absolute())
        row["duration"] = duration
    if "reference.json" in names:
        row["reference_distribution"] = json_file(folder / "reference.json")
    if "rating.json" in names:
        _rate(folder / "rating.json", row, metadata, warnings)


def _fdb_sample(
    folder: Path,
    names: list[str],
    row: dict[str, Any],
    metadata: dict[str, Any],
    warnings: list[str],
) -> None:
    _annotate(folder, names, row, metadata)
    metadata["fdb_task"] = folder.resolve().parent.name
    for name in names:
        stem, _, extension = name.rpartition(".")
        if stem in ("clean_input", "clean_output"):
            words_too = "_words" if extension.lower() == "json" else ""
            metadata[stem + words_too] = str((folder / name).absolute())
    if "transcription.json" in names and "user_words" not in row:
        path = folder / "transcription.json"
        try:
            read_json_words(path, Whose("user"))
            row["user_words"] = str(path.absolute())
        except FlexiScoreError as error:
            warnings.append(f"left out as a transcript: {error}")
    if "metadata.json" in names:
        more = json_object(folder / "metadata.json")
        span = more.pop("timestamps", None)
        if span is not None:
            _overlap(row, metadata, span, more)
        metadata |= {key: value for key, value in more.items() if key not in metadata}
    if "rating.json" in names:
        _rate(folder / "rating.json", row, metadata, warnings)


def _overlap(
    row: dict[str, Any], metadata: dict[str, Any], span: Any, more: dict[str, Any]
) -> None:
    """The overlapping speech of a v1.5 sample, as its scenario's annotation."""
    text = row.setdefault("text", {})
    for key, text_key in (("context", "context_text"), ("interrupt", "current_turn_text")):
        if isinstance(more.get(text_key), str):
            text.setdefault(key, more.pop(text_key))
    annotations = row.setdefault("annotations", {})
    if row["scenario"] == "user_interrupt":
        annotations.setdefault("interrupt", span)
    elif row["scenario"] == "user_backchannel":
        annotations.setdefault("backchannels", [span])
    else:
        metadata["overlap_s"] = span


def _annotate(
    folder: Path, names: list[str], row: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """Annotations and texts of the files that both benchmarks have."""
    annotations: dict[str, Any] = {}
    if "turn_taking.json" in names:
        annotations["user_turn_end"] = _timestamp(folder / "turn_taking.json")[0]
    if "pause.json" in names:
        annotations["pause"] = _timestamp(folder / "pause.json")
        content = json_file(folder / "pause.json")
        if isinstance(content, list) and len(content) > 1:
            metadata["pauses"] = content
    if "interrupt.json" in names:
        path = folder / "interrupt.json"
        annotations["interrupt"] = _timestamp(path)
        item = _first(path)
        row["text"] = {
            key: item[key] for key in ("context", "interrupt") if isinstance(item.get(key), str)
        }
    if annotations:
        row["annotations"] = annotations


def _tracks(folder: Path, names: list[str], scenario: str, warnings: list[str]) -> dict[str, Any]:
    """Audio and transcripts of a sample.

    Raises
    ------
    RowError
        Naming the file it lacks.
    """
    audio: dict[str, str] = {}
    for side in ("input", "output"):
        files = [name for name in names if is_audio(name) and Path(name).stem == side]
        if len(files) > 1:
            raise RowError(f"{folder}: {' and '.join(files)} are both the {side}; keep one")
        if files:
            audio[side] = str((folder / files[0]).absolute())
    text = {side: f"{side}.json" in names for side in ("input", "output")}
    lacking = []
    if "output" not in audio and not text["output"]:
        lacking.append("output.wav or output.json")
    if scenario in _NEEDS_INPUT and "input" not in audio and not text["input"]:
        lacking.append("input.wav or input.json")
    elif "output" in audio and not text["output"] and "input" not in audio:
        lacking.append("input.wav")
    elif "input" in audio and not text["input"] and "output" not in audio:
        lacking.append("output.wav")
    # Full-Duplex-Bench v1.5 keeps the interval of its interruptions in metadata.json.
    in_metadata = scenario == "user_interrupt" and "metadata.json" in names
    if (required := _REQUIRED.get(scenario)) and required not in names and not in_metadata:
        lacking.append(required)
    if lacking:
        raise RowError(f"{folder}: incomplete sample, lacks {' and '.join(lacking)}")
    row: dict[str, Any] = {}
    if len(audio) == 2:
        row |= {"user_audio": audio["input"], "model_audio": audio["output"]}
    elif audio:
        (alone,) = audio.values()
        warnings.append(f"{alone}: has no partner and is left out; the transcripts are used")
    for side, key in (("input", "user_words"), ("output", "model_words")):
        if text[side]:
            row[key] = str((folder / f"{side}.json").absolute())
    return row


def _scenario(folder: Path, sample_folder: Path, names: list[str]) -> tuple[str, list[str]]:
    """Scenario of a sample, and the parts of its id beside it."""
    parts = _parts(folder, sample_folder)
    own = list(sample_folder.relative_to(folder).parts) or [parts[-1]]
    for part in reversed(parts):
        plain = _plain(part)
        named = [name for name, spelling in _SCENARIO_NAMES.items() if spelling.search(plain)]
        if len(named) == 1:
            # Dropped from the id where the scenario says the same; several tasks are conversations.
            whole = named[0] != "conversation" and _SCENARIO_NAMES[named[0]].fullmatch(plain)
            return named[0], [p for p in own if not (whole and p == part and len(own) > 1)]
    scenarios = {scenario: name for name, scenario in _SCENARIO_FILES.items() if name in names}
    path = sample_folder / "metadata.json"
    if path.name in names and "user_backchannel_times" in json_object(path):
        scenarios["user_backchannel"] = "metadata.json"
    if len(scenarios) > 1:
        raise RowError(
            f"{sample_folder}: {' and '.join(sorted(scenarios.values()))} belong to different "
            "scenarios; name the folder after one, or keep one"
        )
    if not scenarios:
        raise RowError(
            f"{sample_folder}: incomplete sample, lacks the JSON file of its scenario "
            "(turn_taking.json, pause.json, interrupt.json, ...), and no folder is named after one"
        )
    return next(iter(scenarios)), own


def _timestamp(path: Path) -> list[Any]:
    item = _first(path)
    span = item.get("timestamp")
    if not isinstance(span, list) or len(span) != 2:
        raise RowError(f"{path}: timestamp: found {brief(span)}, expected [start, end] in seconds")
    return [checked_seconds(path, f"timestamp[{i}]", value) for i, value in enumerate(span)]


def _rate(path: Path, row: dict[str, Any], metadata: dict[str, Any], warnings: list[str]) -> None:
    """A rating, or the reason why it is none: it costs the rating, not the recording."""
    order = ("rating", "accuracy_score")
    try:
        content = json_object(path)
        if isinstance(content.get("analysis"), str):
            metadata["rating_analysis"] = content["analysis"]
        keys = order if row["scenario"] == "user_interrupt" else order[::-1]
        key = next((key for key in keys if key in content), None)
        if key is None:
            raise RowError(f"found {brief(content)}, expected 'rating' or 'accuracy_score'")
        row["rating"] = parse_rating(content[key])
    except RowError as error:
        reason = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        metadata["rating_problem"] = reason
        warnings.append(f"{reason}; the recording goes on without a rating")


def _first(path: Path) -> dict[str, Any]:
    """The object of a file, or the first of its list."""
    content = json_file(path)
    item = content[0] if isinstance(content, list) and content else content
    if not isinstance(item, dict):
        raise RowError(f"{path}: found {brief(content)}, expected a list of objects")
    return item


def _is_sample(names: list[str]) -> bool:
    sides = {Path(n).stem for n in names if is_audio(n) or n.endswith(".json")}
    named = any(name in _SCENARIO_FILES for name in names)
    return "output" in sides or ("input" in sides and named) or "turn_taking.json" in names


def _parts(folder: Path, sample_folder: Path) -> list[str]:
    return [folder.resolve().name, *sample_folder.relative_to(folder).parts]


def _plain(name: str) -> str:
    return re.sub(r"[\s.-]+", "_", name).lower()
