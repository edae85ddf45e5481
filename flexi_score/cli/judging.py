"""What ``flexi-score score`` does about the judge: readiness, a dry run, what is left."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import polars as pl

    from flexi_score.config import Settings
    from flexi_score.scoring.run import Run

#: Ratings that are named one by one; of more, their number.
_NAMED: Final = 20


def check_ready(settings: "Settings", archive: Path) -> None:
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


def print_estimate(archive: Path, settings: "Settings", wanted: "pl.Series | None" = None) -> None:
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
    expected = estimate(questions, archive / REPLIES, settings.judge)
    by_metric = questions.group_by("metric", maintain_order=True).len().iter_rows()
    cost = "unknown" if expected.cost_usd is None else f"{expected.cost_usd:.4f} USD"
    lines = {
        "model": f"{settings.judge.model} at {server_of(settings.judge)}",
        "questions": ", ".join(f"{metric} {n}" for metric, n in by_metric) or "none",
        "repeats": settings.judge.repeats,
        "calls": f"{expected.calls} ({expected.stored} replies are kept)",
        "tokens": f"about {expected.prompt_tokens} asked and "
        f"{expected.completion_tokens} answered, "
        f"{expected.tokens_source}",
        "cost": f"about {cost} ({expected.price_source})",
    }
    if expected.waiting:
        lines["waiting"] = f"{expected.waiting} in a batch"
    for name, value in lines.items():
        print(f"{name:<10} {value}")
    for line in _counted(not_judged, "reason"):
        print(f"{'not asked':<10} {line}")


def tell_unrated(run: "Run", *, listed: bool) -> bool:
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


def _counted(table: "pl.DataFrame", why: str) -> list[str]:
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
