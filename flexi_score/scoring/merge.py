"""Several archives as one: their parts side by side.

Parts are append-only, named by when they were written and by the hash of their bytes, so that
merging is copying files: what several archives hold is there once, and of a recording's attempts
the latest counts, as if they had all been made in one archive.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from flexi_score.archive import store, tables
from flexi_score.archive.corrections import read_lines, take_corrections
from flexi_score.archive.parts import explain_damage
from flexi_score.errors import ArchiveError, InputError
from flexi_score.judge.store import FILE, gather_replies, keep_replies


def merge_archives(archives: Sequence[str | Path], into: str | Path) -> int:
    """Add the parts of archives to another, made where it does not exist; how many were new.

    What judges have replied, and what was corrected by hand, is added as well. A damaged part, or a
    question that waits in a batch, is an error, and nothing is then merged.
    """
    if not archives:
        raise InputError("merge: expected one or more archives")
    sources = [store.open_archive(path) for path in archives]
    for source in sources:
        if source.resolve() == Path(into).resolve():
            raise InputError(f"{source}: cannot be merged into itself")
    damaged = [part for source in sources for part in store.damaged_parts(source)]
    if damaged:
        damage = "\n".join(explain_damage(part) for part in damaged)
        raise ArchiveError(f"{damage}\nnothing was merged")
    replies = gather_replies(source / FILE for source in sources)
    target = store.open_archive(into, create=True)
    corrections = [read_lines(archive) for archive in (target, *sources)][1:]  # all can be read
    added = 0
    # As in an extraction, artefacts come before the recordings that refer to them.
    for table in tables.TABLES:
        for source in sources:
            for part in sorted((source / table).glob("*.parquet")):
                added += _add(part, target / table)
    keep_replies(replies, target / FILE)
    for lines in corrections:
        take_corrections(target, lines)
    return added


def _add(part: Path, folder: Path) -> bool:
    """Link a part into a folder, or copy it where it cannot be linked; False if it is there."""
    path = folder / part.name
    if path.exists():
        return False
    temporary = folder / f".{part.name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            os.link(part, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(part, temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise ArchiveError(
            f"{path}: cannot be written ({error.strerror}); what {folder.parent} holds is whole: "
            "make room, or merge into a folder that is writable, and merge again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return True
