"""What ``flexi-score score`` does about the judge: readiness, progress, a dry run, what is left."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

#: Ratings that are named one by one; of more, their number.
_NAMED: Final = 20

#: Seconds between lines of progress where stderr is no terminal.
_EVERY_S: Final = 10.0


def judge_changes(
    base_url: str | None, repeats: int | None, max_cost: float | None
) -> dict[str, Any]:
    """Options as settings."""
    given = {"judge.base_url": base_url, "judge.repeats": repeats, "judge.max_cost_usd": max_cost}
    return {name: value for name, value in given.items() if value is not None}


def check_ready(settings: Any, archive: Path) -> None:
    """Find out now, not after the extraction, that the judge cannot be asked.

    Raises PrerequisiteError if the package or the key is missing. With kept replies neither may be
    needed: then it is for :func:`flexi_score.judge.ask.ask` to say. Raises SettingsError: for a
    limit of cost without a price.
    """
    from flexi_score.judge.rate import REPLIES

    if settings.judge.mode in ("none", "replay") or (archive / REPLIES).is_file():
        return
    from flexi_score.judge.client import open_client
    from flexi_score.judge.cost import price_needed

    price_needed(settings.judge)
    open_client(settings.judge)


class JudgeProgress:
    """Questions, money and time left on stderr: a bar, or lines where stderr is no terminal."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True)
        self._lines = not quiet and not console.is_terminal
        self._told = time.monotonic()
        self._bar = Progress(
            TextColumn("judge"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[told]}"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("judge", total=None, told="")
        self._before: Callable[[], None] = lambda: None

    def after(self, stop: Callable[[], None]) -> "JudgeProgress":
        """Have another bar stopped first: there is room for one at a time."""
        self._before = stop
        return self

    def __enter__(self) -> "JudgeProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, progress: Any) -> None:
        """One question is done."""
        told = describe(progress)
        if not self._bar.disable and not self._bar.live.is_started:
            self._before()
            self._bar.start()
        self._bar.update(self._task, total=progress.total, completed=progress.done, told=told)
        now = time.monotonic()
        if self._lines and now - self._told >= _EVERY_S:
            self._told = now
            print(f"judge: {told}", file=sys.stderr)


def describe(progress: Any) -> str:
    """A line of progress."""
    parts = [f"{progress.done}/{progress.total} ratings", f"{progress.calls} calls"]
    if progress.kept:
        parts.append(f"{progress.kept} kept")
    if progress.unscored:
        parts.append(f"{progress.unscored} unscored")
    if progress.cost_usd is not None:
        parts.append(f"${progress.cost_usd:.2f}")
    if progress.seconds_left is not None:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return ", ".join(parts)


def print_estimate(archive: Path, settings: Any, wanted: Any = None) -> None:
    """What judging (these recordings of) an archive would take, on stdout; nobody is asked."""
    from flexi_score.archive.reader import ArchiveReader
    from flexi_score.judge.ask import estimate
    from flexi_score.judge.rate import REPLIES
    from flexi_score.judge.request import server_of
    from flexi_score.scoring.engine import find_questions

    reader = ArchiveReader(archive)
    rows = reader.recordings()
    if wanted is not None:
        rows = rows.filter(rows["recording"].is_in(wanted.implode()))
    questions, not_judged = find_questions(reader, rows, settings)
    found = estimate(questions, archive / REPLIES, settings.judge)
    by_metric = questions.group_by("metric", maintain_order=True).len().iter_rows()
    cost = "unknown" if found.cost_usd is None else f"{found.cost_usd:.4f} USD"
    lines = {
        "model": f"{settings.judge.model} at {server_of(settings.judge)}",
        "questions": ", ".join(f"{metric} {n}" for metric, n in by_metric) or "none",
        "repeats": settings.judge.repeats,
        "calls": f"{found.calls} ({found.kept} replies are kept)",
        "tokens": f"about {found.prompt_tokens} asked and {found.completion_tokens} answered, "
        f"{found.tokens_source}",
        "cost": f"about {cost} ({found.price_source})",
    }
    if found.waiting:
        lines["waiting"] = f"{found.waiting} in a batch"
    for name, value in lines.items():
        print(f"{name:<10} {value}")
    for line in _counted(not_judged, "reason"):
        print(f"{'not asked':<10} {line}")


def tell_unrated(run: Any, *, listed: bool) -> bool:
    """Name on stderr what has no rating, and why; return whether any failed.

    Not ``listed`` (nobody has asked for a judge, it is the profile that replays): in one line.
    """
    import polars as pl

    from flexi_score.report.tables import counted

    of_interest = pl.col("status").is_in(["missing", "pending", "failed"])
    ratings = run.scan("ratings").filter(of_interest).collect()
    missing, unasked = ratings.filter(pl.col("status") == "missing"), run.not_judged
    if not listed:
        if number := len(missing) + len(unasked):
            print(
                f"judge: {counted(number, 'rating')} missing: --judge replay lists them, "
                "--judge openai asks for them",
                file=sys.stderr,
            )
        missing, unasked = missing.clear(), unasked.clear()
    pending, failed = (ratings.filter(pl.col("status") == name) for name in ("pending", "failed"))
    for table, why, title in (
        (missing, "problem", "not kept"),
        (pending, "problem", "pending"),
        (failed, "problem", "not rated"),
        (unasked, "reason", "not asked"),
    ):
        for line in _counted(table, why):
            print(f"judge: {title}: {line}", file=sys.stderr)
    return bool(len(failed))


def _counted(table: Any, why: str) -> list[str]:
    """``reason: recording metric, recording metric, ...``, a line a reason."""
    import polars as pl

    named = table.unique(["recording", "metric"], maintain_order=True).select(
        pl.col(why).fill_null("no reason is known"), name=pl.format("{} {}", "recording", "metric")
    )
    lines = []
    for (reason,), part in named.group_by(why, maintain_order=True):
        names = part["name"].head(_NAMED).to_list()
        left = len(part) - _NAMED
        more = [f"and {left} more (scores.parquet names all)"] if left > 0 else []
        lines.append(f"{reason}: {', '.join([*names, *more])}")
    return lines
