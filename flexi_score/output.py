"""Files that are written whole or not at all, and what to do where they cannot be written."""

import contextlib
import errno
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from flexi_score.errors import OutputError

#: What to do about an error of the system.
_REMEDIES: Final = {
    errno.ENOSPC: "the disk is full: make room, or write to another place with --out",
    getattr(errno, "EDQUOT", -1): "the quota is used up: make room, or write elsewhere",
    errno.EFBIG: "files may not be that large here: write to another place with --out",
    errno.ENOTDIR: "a part of this path is a file: name another one with --out",
    errno.EEXIST: "it is a file, expected a folder: name another one with --out",
    errno.EISDIR: "expected a file: move it away, or name another path with --out",
}
_WRITABLE: Final = "give a folder that is writable, with --out"
#: Files written aside are left over from a process that was killed once they are so old.
_LEFT_OVER_S: Final = 3600.0
#: What folders of files that are written aside are called, before the number of the process.
ASIDE: Final = ".writing."


def output_error(path: Path, error: Exception) -> OutputError:
    """The error to raise where ``path`` cannot be written: it says what to do."""
    number = getattr(error, "errno", None)
    text = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    code = re.search(r"os error (\d+)", str(error))
    if number is None and code:  # polars passes on the text alone
        number, text = int(code[1]), os.strerror(int(code[1]))
    remedy = _WRITABLE if number is None else _REMEDIES.get(number, _WRITABLE)
    if number is None and isinstance(error, pl.exceptions.PolarsError):  # which may not say
        remedy = f"make room where the disk is full, or {remedy}"
    shown = str(path).partition(f"{os.sep}{ASIDE}")[0]
    return OutputError(f"{shown}: cannot be written ({text}); {remedy}")


def make_folder(path: str | Path) -> Path:
    """Make a folder for results, and find out that files can be written into it.

    Raises
    ------
    OutputError
        Where it is a file, or not writable.
    """
    folder = Path(path)
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise output_error(folder, error) from error
    return folder


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a temporary file beside ``path``, then put it in its place.

    Raises
    ------
    OutputError
        Where that is not possible.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def as_text(content: str) -> Callable[[Path], object]:
    """What :func:`write_whole` needs to write a text: UTF-8, lines end with a line feed."""
    return lambda path: path.write_text(content, encoding="utf-8", newline="\n")


def write_text(path: Path, content: str) -> Path:
    """Write a text file whole, or not at all.

    Raises
    ------
    OutputError
        Where that is not possible.
    """
    return write_whole(path, as_text(content))


def write_together(
    folder: Path,
    files: Mapping[str, Callable[[Path], object]],
    *,
    label: str,
    describe: Callable[[Path], str],
) -> list[Path]:
    """Write the files of a folder so that it never holds some of two versions and looks whole.

    All are written aside first. Then the old label is removed, the files are put in place, and the
    new label comes last: a folder with a label is one version or the other.

    Parameters
    ----------
    folder : Path
        Made where it does not exist; what else is in it stays.
    files : mapping of str to callable
        What writes each file, by its name.
    label : str
        Name of the file without which the folder counts as unfinished.
    describe : callable
        Given the folder that holds the new files, returns the label's text.

    Returns
    -------
    list of Path
        What was written, the label last.

    Raises
    ------
    OutputError
        Where that is not possible. What was there before is then still there, unless the last
        step, the renaming, failed: then there is no label.
    """
    with writing_together(folder, label) as aside:
        for name, write in files.items():
            write(aside / name)
        (aside / label).write_text(describe(aside), encoding="utf-8", newline="\n")
    return [folder / name for name in [*files, label]]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock while it is read, changed and written: other processes wait.

    The system frees it when the process ends.

    Raises
    ------
    OutputError
        Where the lock cannot be made.
    """
    try:
        file = path.with_name(f".{path.name}.lock").open("a")
    except OSError as error:
        raise output_error(path, error) from error
    with file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def writing_together(folder: Path, label: str) -> Iterator[Path]:
    """A folder aside, to be filled; what is then in it is put in place as by `write_together`.

    Files may lie in folders of it. Those named ``label`` come last, the outermost one at the end.

    Raises
    ------
    OutputError
        As :func:`write_together`.
    """
    make_folder(folder)
    aside = folder / f"{ASIDE}{os.getpid()}"
    _remove_left_over(folder)
    try:
        aside.mkdir(exist_ok=True)
        yield aside
        made = [path.relative_to(aside) for path in aside.rglob("*") if not path.is_dir()]
        made.sort(key=lambda path: (path.name == label, -len(path.parts)))
        for path in made:
            if (folder / path).is_dir():
                raise output_error(folder / path, IsADirectoryError(errno.EISDIR, "is a folder"))
        for path in made:
            if path.name == label:
                (folder / path).unlink(missing_ok=True)
        for path in made:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside / path, folder / path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise output_error(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def is_unfinished(folder: Path) -> bool:
    """Whether files are being written aside here, or were when their writer was killed."""
    return any(folder.glob(f"{ASIDE}*"))


def _remove_left_over(folder: Path) -> None:
    for old in folder.glob(f"{ASIDE}*"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _LEFT_OVER_S:
                shutil.rmtree(old)
