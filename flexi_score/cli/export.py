"""``flexi-score export`` and ``formats``: a run in the formats of other tools."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import OK, Quiet, app


@app.command
def export(
    run: Annotated[Path, Parameter(name="RUN")],
    *,
    format_: Annotated[
        list[str],
        Parameter(
            name="--format",
            negative="",
            help="Formats, by commas or repeated, or all; flexi-score formats lists them.",
        ),
    ],
    out: Annotated[Path | None, Parameter(help="Folder to write to [RUN/export].")] = None,
    recordings: Annotated[
        list[str] | None,
        Parameter(negative="", help="Ids of recordings, by commas or repeated [all]."),
    ] = None,
    archive: Annotated[
        Path | None, Parameter(help="Where the words are [the run folder's archive].")
    ] = None,
    overwrite: Annotated[
        bool, Parameter(negative="", help="Replace files that are there.")
    ] = False,
    quiet: Quiet = False,
) -> int:
    """Write the recordings of RUN for other tools: events, words, annotations, decided moments.

    Beside the files, index.json says which file is which recording's, and manifest.jsonl scores
    them again: correct a file, then score the folder. Speech and words are read back (tiers user,
    model, user words, model words; rows of kind ipu and word), all else is worked out anew.

    Try:

        flexi-score export calls.run --format textgrid --out grids
        flexi-score score grids
        flexi-score export calls.run --format eaf,webvtt --recordings call-17
    """
    from flexi_score.exports.folder import EXPORTS
    from flexi_score.exports.folder import export as write_export
    from flexi_score.report.tables import counted
    from flexi_score.scoring.run import Run

    stored = Run.open(run)
    known = set(stored.recordings["recording"])
    wanted = None if recordings is None else _split(recordings, known)
    formats = _split(format_, set(EXPORTS))
    with _Counter(quiet) as counter:
        made = write_export(
            stored,
            out or run / "export",
            list(EXPORTS) if formats == ["all"] else formats,
            recordings=wanted,
            archive=archive,
            overwrite=overwrite,
            progress=counter,
        )
    for note in made.notes:
        print(note, file=sys.stderr)
    print(
        f"{made.folder}: {counted(len(made.names), 'recording')}, "
        f"{counted(len(made.files), 'file')}; "
        "index.json says which is which, manifest.jsonl scores them again"
    )
    return OK


@app.command
def formats() -> int:
    """List the formats of transcripts and segments, of audio, and what is known of sources.

    Try:

        flexi-score formats
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from flexi_score.formats import FORMATS
    from flexi_score.formats.files import AUDIO_EXTENSIONS
    from flexi_score.formats.roles import SOURCES
    from flexi_score.formats.services import SERVICES
    from flexi_score.schema import SPEAKERS

    table = Table(box=None, pad_edge=False)
    for heading in ("format", "files", "read", "--format", "times", "holds", "whose"):
        table.add_column(
            heading, overflow="fold", no_wrap=heading not in ("files", "holds", "whose")
        )
    for name, known in FORMATS.items():
        cells = (
            name,
            " ".join(known.extensions) or ".txt",
            "yes" if known.words else "",
            known.export or "",
            known.times,
            known.holds,
            known.whose,
        )
        table.add_row(*map(Text, cells))
    console = Console()
    console.print(table)
    console.print()
    table = Table(box=None, pad_edge=False)
    for heading in ("JSON of", "whose words", "times in"):
        table.add_column(heading, overflow="fold")
    for name, (whose, unit) in SERVICES.items():
        table.add_row(*map(Text, (name, whose, unit)))
    console.print(table)
    console.print()
    console.print(
        "Labels that name no party (SPEAKER_00, A, channel 1) are told with --speakers, those of "
        "channels also with --channels."
    )
    console.print()
    console.print(f"audio: {' '.join(sorted(AUDIO_EXTENSIONS))}, whatever the name ends in")
    table = Table(box=None, pad_edge=False)
    for heading in ("--source", "user", "model", "two-channel files"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "two-channel files")
    for name, source in SOURCES.items():
        channels = source.channels or {}
        sides = (str(channels.get(speaker, "not known")) for speaker in SPEAKERS)
        table.add_row(*map(Text, (name, *sides, f"{source.about} ({source.evidence})")))
    console.print()
    console.print(table)
    return OK


def _split(values: list[str], known: set[str]) -> list[str]:
    """Values given one by one or by commas; one that is known as it is stays whole."""
    found = []
    for value in values:
        found += [value] if value in known else [v.strip() for v in value.split(",") if v.strip()]
    return found


class _Counter:
    """Says on stderr how many recordings are done, once it takes over two seconds."""

    def __init__(self, quiet: bool) -> None:
        import time

        self._quiet = quiet
        self._start = self._last = time.monotonic()
        self._shown = False

    def __enter__(self) -> "_Counter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print(file=sys.stderr)

    def __call__(self, done: int, total: int) -> None:
        import time

        now = time.monotonic()
        if self._quiet or now - self._start < 2 or (now - self._last < 0.5 and done < total):
            return
        self._last, self._shown = now, True
        left = (now - self._start) / done * (total - done)
        end = "" if sys.stderr.isatty() else "\n"
        print(f"\r{done}/{total} recordings, {left:.0f} s left ", end=end, file=sys.stderr)
