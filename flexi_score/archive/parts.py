"""Files of an archive: written whole or not at all, checked by the hash that their name carries."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from flexi_score.errors import ArchiveError


def write_whole(path: Path, data: bytes) -> None:
    """Write a temporary file, flush it to the disk, and rename it to ``path``."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the new name, too, must outlive a power cut
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def list_parts(archive: Path, table: str) -> list[Path]:
    """The parts of a table, oldest first."""
    return sorted((archive / table).glob("*.parquet"))


def is_whole(part: Path) -> bool:
    """Whether a part's bytes have the hash that its name carries."""
    try:
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return False
    return digest[:16] == part.stem.split("-")[-1]


#: Parts whose hash this process has checked, with their size and time of change.
_WHOLE: Final[set[tuple[str, int, int]]] = set()


def check_whole(parts: Sequence[Path]) -> None:
    """Check parts by their hash before anything is read of them, each once a process.

    A flipped bit need not make a part unreadable. Hashing takes some 0.1 s for the frames of
    10 000 recordings with audio.
    """
    fresh = {part: (str(part), *_state(part)) for part in parts}
    fresh = {part: state for part, state in fresh.items() if state not in _WHOLE}
    if not fresh:
        return
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashing leaves the interpreter free
        for part, good in zip(fresh, pool.map(is_whole, fresh), strict=True):
            if not good:
                raise ArchiveError(explain_damage(part))
    _WHOLE.update(fresh.values())


def _state(part: Path) -> tuple[int, int]:
    try:
        stat = part.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def set_aside(part: Path) -> Path:
    """Take a damaged part out of the archive: it is renamed to ``*.damaged``."""
    aside = part.with_name(f"{part.name}.damaged")
    try:
        os.replace(part, aside)
    except OSError as error:
        raise ArchiveError(f"{part}: is damaged and cannot be moved aside: {error}") from error
    return aside


def explain_damage(part: Path) -> str:
    """What is wrong with a damaged part, and what to do."""
    return (
        f"{part}: is damaged (its bytes do not match the hash in its name); extract the same input "
        f"into {part.parent.parent} again with --repair, which moves it aside and makes again what "
        "was in it"
    )


def explain_unreadable(part: Path, error: BaseException) -> str:
    """What to do about a part whose bytes have the hash in its name, but are no such table."""
    if not is_whole(part):
        return explain_damage(part)
    return f"{part}: cannot be read as a table ({error}); {explain_remedy(part)}"


def explain_remedy(part: Path) -> str:
    """What to do about a part that is not what extraction wrote."""
    return (
        f"the archive was changed by something else: delete that file, then extract the same input "
        f"into {part.parent.parent} again"
    )
