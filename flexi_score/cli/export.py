"""``flexi-score export`` and ``formats``: a run in the formats of other tools."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import OK, Quiet, app
from flexi_score.cli.progress import WorkProgress
from flexi_score.cli.show import print_rows, split_names


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
    wanted = None if recordings is None else split_names(recordings, known)
    formats = split_names(format_, set(EXPORTS))
    with WorkProgress("recordings", quiet) as progress:
        made = write_export(
            stored,
            out or run / "export",
            list(EXPORTS) if formats == ["all"] else formats,
            recordings=wanted,
            archive=archive,
            overwrite=overwrite,
            progress=progress,
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
    """List formats of transcripts, segments and audio, layouts of folders, and what of them says
    who is who, with the descriptions after which they are read.

    Try:

        flexi-score formats
    """
    from rich.console import Console

    from flexi_score.formats.files import AUDIO_EXTENSIONS
    from flexi_score.formats.layouts import LAYOUTS
    from flexi_score.formats.roles import SERVICES
    from flexi_score.handbook.reference import format_rows, source_rows

    console = Console()
    print_rows(
        console,
        ("format", "files", "read", "--format", "times", "holds", "whose"),
        format_rows(),
        whole=("format", "read", "--format", "times"),
    )
    console.print()
    headings = ("JSON of", "whose words", "times in", "read after (no service was asked)")
    print_rows(console, headings, ((name, *facts) for name, facts in SERVICES.items()))
    console.print(
        "\nLabels that name no party (SPEAKER_00, A, channel 1) are told with --speakers, those of "
        "channels also with --channels."
    )
    console.print(f"\naudio: {' '.join(sorted(AUDIO_EXTENSIONS))}, whatever the name ends in\n")
    layouts = ((name, known.about, known.who, known.checked) for name, known in LAYOUTS.items())
    headings = ("--layout", "what a folder holds", "who is who", "read after")
    print_rows(console, headings, layouts, whole=headings[:1])
    console.print()
    columns = ("--source", "user", "model", "two-channel files", "documented in")
    print_rows(console, columns, source_rows(), whole=columns[:3])
    return OK
