"""``flexi-score init``: a manifest of a folder, to be edited."""

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import OK, Channels, Layout, SourceName, SystemName, app


@app.command
def init(
    folder: Annotated[Path, Parameter(name="FOLDER")],
    *,
    out: Annotated[
        Path | None, Parameter(help="Where to write it [FOLDER/manifest.jsonl].")
    ] = None,
    layout: Layout = "auto",
    channels: Channels = None,
    source_name: SourceName = None,
    system: SystemName = None,
    force: Annotated[bool, Parameter(negative="", help="Write over a manifest.")] = False,
) -> int:
    """Write a manifest of the recordings in FOLDER: who is on which channel, system, scenario.

    Edit it, then score it: a folder that holds a manifest is read through it. Paths are relative to
    the manifest.

    Try:

        flexi-score init calls/
        flexi-score init calls/ --source livekit --system my-agent
    """
    from flexi_score.errors import InputError, OutputError
    from flexi_score.extraction.draft import draft_manifest
    from flexi_score.report.tables import counted

    target = out or folder / "manifest.jsonl"
    if target.exists() and not force:
        raise OutputError(f"{target}: is there already; --force writes over it, --out elsewhere")
    if target.absolute().parent != folder.absolute():
        raise InputError(
            f"{target}: expected a file in {folder}, because its paths are relative to the manifest"
        )
    rows, notes = draft_manifest(folder, layout, system, channels=channels, source=source_name)
    text = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
    try:
        target.write_text(text, "utf-8")
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error})") from error
    print(f"{target}: {counted(len(rows), 'recording')}")
    for note in notes:
        print(note, file=sys.stderr)
    return OK
