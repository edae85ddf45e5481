"""Progress on stderr: bars on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from flexi_score.cli.app import ReadingOptions

if TYPE_CHECKING:
    from flexi_score.judge.dispatch import Progress

#: Seconds between lines where stderr is no terminal.
_EVERY_S: Final = 10.0


class WorkProgress:
    """How many of some things are done."""

    def __init__(self, noun: str, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._noun, self._lines = noun, not quiet and not console.is_terminal
        self._printed = time.monotonic()
        self._bar = Progress(console=console, disable=quiet or not console.is_terminal)
        self._task = self._bar.add_task(noun, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if self._lines and (done == total or now - self._printed >= _EVERY_S):
            self._printed = now
            print(f"{done} of {total} {self._noun}", file=sys.stderr)


class JudgeProgress:
    """Questions, money and time left."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True)
        self._lines = not quiet and not console.is_terminal
        self._printed = time.monotonic()
        self._bar = Progress(
            TextColumn("judge"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[line]}"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("judge", total=None, line="")
        #: Stops another bar first: there is room for one at a time.
        self.before: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, progress: "Progress") -> None:
        """One question is done."""
        line = describe(progress)
        if not self._bar.disable and not self._bar.live.is_started:
            self.before()
            self._bar.start()
        self._bar.update(self._task, total=progress.total, completed=progress.done, line=line)
        now = time.monotonic()
        if self._lines and now - self._printed >= _EVERY_S:
            self._printed = now
            print(f"judge: {line}", file=sys.stderr)


def describe(progress: "Progress") -> str:
    """A line of the judge's progress."""
    parts = [f"{progress.done}/{progress.total} ratings", f"{progress.calls} calls"]
    if progress.stored:
        parts.append(f"{progress.stored} kept")
    if progress.unscored:
        parts.append(f"{progress.unscored} unscored")
    if progress.cost_usd is not None:
        parts.append(f"${progress.cost_usd:.2f}")
    if progress.seconds_left is not None:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return ", ".join(parts)


class ExtractionProgress:
    """The manifest of an input, and how far its extraction is, by seconds of audio."""

    def __init__(
        self,
        source: str | Path,
        reading: ReadingOptions,
        quiet: bool,
        shard: tuple[int, int] | None = None,
    ) -> None:
        from flexi_score.extraction.remote import is_url, read_remote_manifest
        from flexi_score.extraction.run import in_shard
        from flexi_score.manifest import read_input

        if is_url(source):
            self.manifest = read_remote_manifest(str(source), **reading.arguments())
        else:
            self.manifest = read_input(str(source), **reading.arguments())
        self._rows = self.manifest.rows
        if shard is not None:
            self._rows = self._rows.filter(in_shard(self._rows, shard))
        self._quiet = quiet
        self._done = 0
        self._seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._printed = len(self.manifest.warnings)
        for warning in self.manifest.warnings:
            print(warning, file=sys.stderr)
        # The bar is there before headers are read and models loaded: both take seconds.
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=self._quiet,
        )
        self._task = self._bar.add_task("loading models", total=None, count=self._count())
        self._bar.start()
        if not self._quiet:
            from flexi_score.extraction.recordings import recordings_seconds

            names = self._rows["recording"].to_list()
            self._seconds = dict(zip(names, recordings_seconds(self._rows), strict=True))
        return self

    def _count(self) -> str:
        return f"{self._done}/{len(self._rows)} recordings"

    def stop(self) -> None:
        """Make room for another bar."""
        self._bar.stop()

    def __exit__(self, *_: object) -> None:
        self.stop()
        for warning in self.manifest.warnings[self._printed :]:
            print(warning, file=sys.stderr)

    def advance(self, row: Mapping[str, Any], seconds: float, error: str | None) -> None:
        """One recording is done."""
        self._done += 1
        self._bar.update(
            self._task,
            description="extracting",
            total=sum(self._seconds.values()) or 1.0,
            advance=self._seconds.get(row["recording"], 0.0),
            count=self._count(),
        )
        if error is not None and not self._quiet:
            text = f"{row['recording']}: {error}"
            self._bar.console.print(text, markup=False, highlight=False)
