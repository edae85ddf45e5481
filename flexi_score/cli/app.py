"""The application, its exit codes, and the options that verbs share."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

OK, SOME_FAILED, UNUSABLE, GATE_TRIPPED, INTERRUPTED = 0, 1, 2, 3, 130

app = App(
    name="flexi-score",
    help="Score recordings of full-duplex conversations, offline.",
    help_format="plaintext",
    help_epilogue="Every setting can be changed with --set name=value; "
    "`flexi-score settings` lists them. Add --debug before the verb for tracebacks.",
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
_HELP = Group("Help")
app["--help"].group = _HELP
app.register_install_completion_command(
    help="Install completion for this shell, and add it to its start-up file."
)
app["--install-completion"].group = _HELP


def set_help(command: App) -> None:
    """Join the lines of each paragraph of the verbs' help: the terminal wraps them, once."""
    for name in command:
        verb = command[name]
        if verb.default_command is not None:
            verb.help = reflow(inspect.cleandoc(verb.default_command.__doc__ or ""))
        elif verb is not command and not name.startswith("-"):
            set_help(verb)


def reflow(text: str) -> str:
    """Paragraphs on one line each; indented lines (examples) stay as they are.

    Examples
    --------
    >>> reflow("One\\ntwo.\\n\\n    a\\n    b")
    'One two.\\n\\n    a\\n    b'
    """
    parts = text.split("\n\n")
    return "\n\n".join(p if p.startswith(" ") else " ".join(p.split("\n")) for p in parts)


def folder_to_write(path: Path, option: str) -> None:
    """Refuse an option's folder that is a file, before any work.

    Raises OutputError.
    """
    from flexi_score.errors import OutputError

    if path.exists() and not path.is_dir():
        raise OutputError(f"{option} {path}: is a file, expected a folder (made where it is none)")


SetOption = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="Any setting as name=value; repeatable."),
]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], negative="", help="No progress.")]
Threads = Annotated[int, Parameter(help="CPU threads of each model; 0 lets it choose.")]
Layout = Annotated[str, Parameter(help="How to read a folder; auto finds out.")]
Channels = Annotated[
    str | None,
    Parameter(
        help="What is on channel 0, 1, ... of files whose manifest row does not say so, as "
        "model,user or mix,user,model."
    ),
]
SourceName = Annotated[
    str | None,
    Parameter(
        name="--source",
        help="Platform that made two-channel files, where no row says who is on which channel: "
        "livekit, twilio, vapi, pipecat, azure, ... (flexi-score formats).",
    ),
]
RawAudio = Annotated[
    str | None,
    Parameter(
        name="--raw",
        help="Audio without a header is ENCODING:RATE:CHANNELS, as mulaw:8000:2 (mulaw, alaw, "
        "s16le, s16be, f32le).",
    ),
]
SpeakerNames = Annotated[
    str | None,
    Parameter(
        name="--speakers",
        help="Whose the labels of transcripts and segment files are, where no row says so: "
        "agent=model,customer=user (=none leaves a label out).",
    ),
]
SystemName = Annotated[
    str | None,
    Parameter(name="--system", help="System under test of the rows that name none [model]."),
]
Asr = Annotated[
    str | None,
    Parameter(
        help="Recogniser: none, tiny.en, base, a Whisper name, or a path to a model; needed, or "
        "needed:MODEL, hears only the short utterances whose words timing looks at."
    ),
]
Vad = Annotated[
    Literal["silero", "pyannote"] | None, Parameter(help="Speech detector: silero or pyannote.")
]
Mono = Annotated[
    Literal["refuse", "diarize"] | None,
    Parameter(help="One-channel files: refuse them, or estimate who speaks when (diarize)."),
]
Judge = Annotated[
    Literal["none", "openai", "replay", "openai-batch"] | None,
    Parameter(
        help="Ratings: none, openai (asks for what is not kept), replay (kept replies, and ratings "
        "that came with the recordings), or openai-batch (half the price, within a day)."
    ),
]
Language = Annotated[
    str | None, Parameter(help="Spoken language (ISO 639-1), or auto to detect it.")
]


def cores() -> int:
    """CPU cores that this process may use."""
    import os

    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def chosen_settings(
    profile: str,
    assignments: list[str] | None,
    *,
    judge: str | None = None,
    asr: str | None = None,
    language: str | None = None,
    vad: str | None = None,
    mono: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> Any:
    """Settings of a profile with the changes that were asked for; ``more`` are named in full."""
    from flexi_score.config import load_settings, parse_assignments

    named = {**(more or {})} | {
        "judge.mode": judge,
        "extract.asr": asr,
        "extract.language": language,
        "extract.vad": vad,
        "extract.mono": mono,
    }
    if asr is not None and asr.partition(":")[0] == "needed":
        named |= {"extract.asr": asr.partition(":")[2] or None, "extract.asr_words": "needed"}
    changes = {name: value for name, value in named.items() if value is not None}
    return load_settings(profile, changes | parse_assignments(assignments or []))
