"""``flexi-score merge``: several archives into one."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import OK, app


@app.command
def merge(
    archives: Annotated[list[Path], Parameter(name="ARCHIVE", negative="")],
    /,
    *,
    into: Annotated[Path, Parameter(help="Archive to add to; made where there is none.")],
) -> int:
    """Put ARCHIVEs together, as the shards of one extraction; nothing is extracted or changed.

    Every part is checked by the hash in its name first: if one is damaged, nothing is merged.

    Try:

        flexi-score merge part1.archive part2.archive --into calls.archive
    """
    from flexi_score.archive.reader import ArchiveReader
    from flexi_score.report.tables import counted
    from flexi_score.scoring.merge import merge_archives

    added = merge_archives(archives, into)
    reader = ArchiveReader(into)
    held, failed = reader.recordings(), reader.failures()
    recordings = counted(len(held), "recording")
    print(f"{into}: {counted(added, 'part')} added; {recordings}; {len(failed)} failed")
    return OK
