"""The application, its exit codes, and the options that verbs share."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

from cyclopts import App, Group, Parameter

if TYPE_CHECKING:
    from flexi_score.config import Settings

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
    """Refuse an option's folder that is a file, before any work."""
    from flexi_score.errors import OutputError

    if path.exists() and not path.is_dir():
        raise OutputError(f"{option} {path}: is a file, expected a folder (made where it is none)")


SetOption = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="Any setting as name=value; repeatable."),
]
Profile = Annotated[
    str, Parameter(help="Definitions: paper, release, fdb-v1, tau, voice-agent or eva.")
]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], negative="", help="No progress.")]
Threads = Annotated[int, Parameter(help="CPU threads of each model; 0 lets it choose.")]
Open = Annotated[bool, Parameter(name="--open", negative="", help="Show the page in a browser.")]
TableOut = Annotated[Path | None, Parameter(help="Also write the table (.csv or .parquet).")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="As JSON, all of it.")]
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
SystemName = Annotated[
    str | None,
    Parameter(name="--system", help="System under test of the rows that name none [model]."),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How an input is read."""

    layout: Layout = "auto"
    channels: Channels = None
    source_name: SourceName = None
    speakers: Annotated[
        str | None,
        Parameter(
            help="Whose the labels of transcripts and segment files are, where no row says so: "
            "agent=model,customer=user (=none leaves a label out)."
        ),
    ] = None
    system: SystemName = None
    raw: Annotated[
        str | None,
        Parameter(
            help="Audio without a header is ENCODING:RATE:CHANNELS, as mulaw:8000:2 (mulaw, alaw, "
            "s16le, s16be, f32le)."
        ),
    ] = None

    def arguments(self) -> "Reading":
        """As :func:`flexi_score.manifest.read_input` takes them."""
        return {
            "layout": self.layout,
            "channels": self.channels,
            "source": self.source_name,
            "speakers": self.speakers,
            "system": self.system,
            "raw_audio": self.raw,
        }


class Reading(TypedDict):
    """Arguments of :func:`flexi_score.manifest.read_input`."""

    layout: str
    channels: str | None
    source: str | None
    speakers: str | None
    system: str | None
    raw_audio: str | None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What recognises and detects; None: as set."""

    asr: Annotated[
        str | None,
        Parameter(
            help="Recogniser: none, tiny.en, base, a Whisper name, or a path to a model; needed, "
            "or needed:MODEL, hears only the short utterances whose words timing looks at."
        ),
    ] = None
    language: Annotated[
        str | None, Parameter(help="Spoken language (ISO 639-1), or auto to detect it.")
    ] = None
    vad: Annotated[
        Literal["silero", "pyannote"] | None, Parameter(help="Speech detector: silero or pyannote.")
    ] = None
    mono: Annotated[
        Literal["refuse", "diarize"] | None,
        Parameter(help="One-channel files: refuse them, or estimate who speaks when (diarize)."),
    ] = None

    def changes(self) -> dict[str, str | None]:
        """As settings."""
        mode, _, model = (self.asr or "").partition(":")
        short = {"extract.asr_words": "needed"} if mode == "needed" else {}
        return {
            "extract.asr": model or None if short else self.asr,
            "extract.language": self.language,
            "extract.vad": self.vad,
            "extract.mono": self.mono,
            **short,
        }


def chosen_settings(
    profile: str,
    assignments: Sequence[str] | None,
    changes: Mapping[str, object | None] | None = None,
) -> "Settings":
    """Settings of a profile with ``changes`` (those that are not None), and then ``--set``."""
    from flexi_score.config import load_settings, parse_assignments

    given = {name: value for name, value in (changes or {}).items() if value is not None}
    return load_settings(profile, given | parse_assignments(assignments or []))
