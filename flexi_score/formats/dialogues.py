"""Folders of benchmarks of dialogues: Full-Duplex-Bench v2 and v3, and HumDial.

- Full-Duplex-Bench v2: ``Daily|Correction|EntityTracking|Safety/<sample>/{A,B}.wav``, A the
  examiner (the user), B the model, and the words of each in ``A.json``, ``B.json``.
- Full-Duplex-Bench v3: ``<example>_<speaker>/input.wav`` and, for each system,
  ``output_<system>.wav`` and ``result_<system>.json`` with the end of the user's turn and the calls
  of tools.
- HumDial, track 2 (full-duplex interaction): ``test-<id>.wav`` and ``test-<id>_output.wav``,
  likewise ``clean-``, in any folders; or ``<scenario>/<dddd>_<dddd>.wav``, ``..._output.wav``,
  ``clean_...``, with ``.json`` of the user's stretches and ``_timestamp.json`` of words.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

from flexi_score.errors import RowError
from flexi_score.formats.folders import (
    Found,
    Problem,
    Sample,
    checked_seconds,
    is_audio,
    json_object,
    list_files,
    name_below,
)
from flexi_score.schema import SPEAKERS

_TASKS: Final = ("daily", "correction", "entitytracking", "safety")
_OUTPUT: Final = re.compile(r"output_(.+)\.wav")
_CALL: Final = ("timestamp_start", "timestamp_end")
_HUMDIAL: Final = re.compile(
    r"((?:test|clean)-.+?|(?:clean_)?[0-9]{4}_[0-9]{4}(?:_add)?)(_output)?"
)
#: HumDial's folders by scenario: of its test set, and of its evaluation.
_HUMDIAL_SCENARIOS: Final = {
    "user_interrupt": re.compile(
        "ask|deny|repeat|shift|wait|follow_up.*|negation.*|repetition.*|topic.*|silence.*"
    ),
    "user_backchannel": re.compile(".*backchannels?"),
    "pause_handling": re.compile("pause(_handling)?"),
    "conversation": re.compile("(others_)?talk_to_.*|third_party_.*|.*to_others"),
}


def fdb2(folder: Path) -> Found:
    """Dialogues of Full-Duplex-Bench v2."""
    samples, problems = [], []
    for subfolder, names in list_files(folder).items():
        if not is_fdb2(subfolder, names):
            continue
        name = name_below(subfolder, folder)
        lacking = [side for side in "AB" if f"{side}.wav" not in names]
        if lacking:
            problems.append(Problem(name, "conversation", f"{subfolder}: lacks {lacking[0]}.wav"))
            continue
        row: dict[str, Any] = {"id": name}
        for speaker, side in zip(SPEAKERS, "AB", strict=True):
            row[f"{speaker}_audio"] = str((subfolder / f"{side}.wav").absolute())
            if f"{side}.json" in names:
                row[f"{speaker}_words"] = str((subfolder / f"{side}.json").absolute())
        samples.append(Sample(name, row, {"fdb_task": subfolder.resolve().parent.name}))
    return Found(samples, problems, [])


def is_fdb2(folder: Path, names: list[str]) -> bool:
    """Whether a folder is a sample of Full-Duplex-Bench v2."""
    return bool({"A.wav", "B.wav"} & set(names)) and folder.resolve().parent.name.lower() in _TASKS


def fdb3(folder: Path) -> Found:
    """Samples of Full-Duplex-Bench v3, one recording a system: the answer to one request.

    The end of the user's turn is the benchmark's own, that of the recognised words; tools are
    those whose start and end it measured on the clock of the audio.
    """
    samples, problems = [], []
    for subfolder, names in list_files(folder).items():
        if not is_fdb3(subfolder, names):
            continue
        metadata: dict[str, Any] = {}
        sample = name_below(subfolder, folder)
        try:
            if "metadata.json" in names:
                metadata = json_object(subfolder / "metadata.json")
        except RowError as error:
            problems.append(Problem(sample, "turn_taking", str(error)))
            continue
        for output in filter(None, map(_OUTPUT.fullmatch, names)):
            system = output[1]
            row: dict[str, Any] = {
                "id": f"{sample}/{system}",
                "system": system,
                "scenario": "turn_taking",
                "user_audio": str((subfolder / "input.wav").absolute()),
                "model_audio": str((subfolder / output[0]).absolute()),
            }
            try:
                if f"result_{system}.json" in names:
                    row |= _result(subfolder / f"result_{system}.json")
            except RowError as error:
                problems.append(Problem(row["id"], "turn_taking", str(error)))
                continue
            samples.append(Sample(row["id"], row, metadata))
    return Found(samples, problems, [])


def is_fdb3(folder: Path, names: list[str]) -> bool:
    """Whether a folder is a sample of Full-Duplex-Bench v3 with an answer."""
    ours = "input.wav" in names and "output.wav" not in names
    return ours and any(map(_OUTPUT.fullmatch, names))


def _result(path: Path) -> dict[str, Any]:
    """Annotation and tools of a row by what the benchmark measured."""
    content = json_object(path)
    row: dict[str, Any] = {}
    end = content.get("user_speech_end_rel")
    if end:  # 0 where nothing was recognised
        row["annotations"] = {"user_turn_end": checked_seconds(path, "user_speech_end_rel", end)}
    # Without the start of the stream, times of calls are seconds since 1970.
    calls = content.get("actual_tool_calls")
    if content.get("stream_start_time") and isinstance(calls, list):
        spans = [
            [checked_seconds(path, "actual_tool_calls", call[key]) for key in _CALL]
            for call in calls
            if isinstance(call, dict) and set(_CALL) <= set(call)
        ]
        row |= {"tools": spans} if spans else {}
    return row


def humdial(folder: Path) -> Found:
    """Answers to HumDial's test set, paired with its questions by their names.

    The scenario is that of the folder, where it is named after one.
    """
    questions: dict[tuple[str | Path, str], list[Path]] = {}
    answers: list[tuple[str, str, Path]] = []
    for subfolder, names in list_files(folder).items():
        kind = re.sub(r"[\s-]+", "_", subfolder.name.lower())
        for name in filter(is_audio, names):
            if match := _HUMDIAL.fullmatch(Path(name).stem):
                if match[2]:
                    answers.append((kind, match[1], subfolder / name))
                else:
                    for where in (subfolder, kind if _scenario(kind) else ""):
                        questions.setdefault((where, match[1]), []).append(subfolder / name)
    samples, problems, unsaid = [], [], False
    seen = Counter((kind if _scenario(kind) else "", key) for kind, key, _ in answers)
    for kind, key, answer in sorted(answers):
        scenario = _scenario(kind)
        group = kind if scenario else ""
        near = questions.get((answer.parent, key), [])
        paths = near or questions.get((group, key), [])
        name = f"{name_below(answer.parent, folder)}/{key}" if scenario else key
        n = 1 if near else seen[group, key]
        if len(paths) != 1 or n != 1:
            counted = f"{len(paths)} questions" if len(paths) != 1 else f"{n} answers"
            reason = f"{folder}: {key} has {counted}, expected one"
            problems.append(Problem(name, scenario or "conversation", reason))
            continue
        try:
            row = _humdial_row(paths[0], answer, None if key[:5] == "clean" else scenario)
        except RowError as error:
            problems.append(Problem(name, scenario or "conversation", str(error)))
            continue
        unsaid |= scenario is None
        metadata = {"humdial": key[:5].rstrip("-_") if key[0] in "ct" else "test"}
        samples.append(Sample(name, {"id": name, **row}, metadata))
    said = (
        f"{folder}: HumDial's files do not say a sample's scenario: all are read as conversations; "
        "a manifest can name it (flexi-score init)"
    )
    return Found(samples, problems, [said] if unsaid else [])


def _scenario(kind: str) -> str | None:
    """Scenario of a folder of HumDial's."""
    return next((name for name, form in _HUMDIAL_SCENARIOS.items() if form.fullmatch(kind)), None)


def _humdial_row(question: Path, answer: Path, scenario: str | None) -> dict[str, Any]:
    """Files and annotations of a sample; the second stretch of the user's is the event."""
    row: dict[str, Any] = {
        "scenario": scenario or "conversation",
        "user_audio": str(question.absolute()),
        "model_audio": str(answer.absolute()),
    }
    words = question.with_name(f"{question.stem}_timestamp.json")
    for speaker, path in zip(SPEAKERS, (words, answer.with_suffix(".json")), strict=True):
        if path.exists():
            row[f"{speaker}_words"] = str(path.absolute())
    path = question.with_suffix(".json")
    stretches = json_object(path).get("speech_segments") if path.exists() else None
    if not isinstance(stretches, list) or len(stretches) < 2 or not isinstance(stretches[1], dict):
        return row
    span = [checked_seconds(path, key, stretches[1].get(key)) for key in ("xmin", "xmax")]
    if scenario == "user_interrupt":
        row["annotations"] = {"interrupt": span}
    elif scenario == "user_backchannel":
        row["annotations"] = {"backchannels": [span]}
    return row


def is_humdial(names: list[str]) -> bool:
    """Whether a folder holds answers to HumDial's test set, rather than pairs of another kind."""
    stems = [Path(name).stem for name in names if is_audio(name)]
    matches = [_HUMDIAL.fullmatch(stem) for stem in stems]
    return any(m and m[2] and f"{m[1]}_input" not in stems for m in matches)
