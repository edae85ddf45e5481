"""The command line: ``flexi-score VERB``. Data on stdout, progress and messages on stderr.

Exit codes: 0 done; 1 some recordings failed, the others' results are written; 2 usage, a bad
manifest or a missing prerequisite; 3 a gate tripped; 130 interrupted.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from flexi_score.errors import FlexiScoreError

OK, SOME_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="flexi-score",
    help="Score recordings of full-duplex conversations, offline.",
    help_epilogue="Every setting can be changed with --set name=value; "
    "`flexi-score settings` lists them. Add --debug before the verb for tracebacks.",
    version_flags=["--version"],
    result_action="return_value",
)
app["--help"].group = Group("Help")

SetOption = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="Any setting as name=value; repeatable."),
]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], negative="", help="No progress.")]
Threads = Annotated[int, Parameter(help="CPU threads of each model; 0 lets it choose.")]
Layout = Annotated[str, Parameter(help="How to read a folder; auto finds out.")]
Asr = Annotated[
    str | None,
    Parameter(help="Recogniser: none, tiny.en, base, a Whisper name, or a path to a model."),
]
Language = Annotated[
    str | None, Parameter(help="Spoken language (ISO 639-1), or auto to detect it.")
]


@app.command
def score(
    source: Annotated[Path, Parameter(name="INPUT")],
    *,
    out: Annotated[Path | None, Parameter(help="Run folder [INPUT's name + .run].")] = None,
    profile: Annotated[str, Parameter(help="Definitions: paper or release.")] = "paper",
    set_: SetOption = None,
    judge: Annotated[str | None, Parameter(help="none, or replay (kept ratings).")] = None,
    asr: Asr = None,
    language: Language = None,
    layout: Layout = "auto",
    archive: Annotated[
        Path | None, Parameter(help="Where to keep what is extracted [the run folder's archive].")
    ] = None,
    threads: Threads = 0,
    quiet: Quiet = False,
) -> int:
    """Score INPUT: a manifest, a folder of recordings, one two-channel file, or an archive.

    Examples
    --------
    flexi-score score sample_recordings

    flexi-score score manifest.jsonl --out run --asr none

    flexi-score score run/archive --set ipu.min_silence_ms=180
    """
    from flexi_score import archive as store
    from flexi_score import pipeline

    settings = _settings(profile, set_, judge=judge, asr=asr, language=language)
    target = out or Path(f"{source.resolve().stem or 'flexi'}.run")
    if store.is_archive(source):
        run = pipeline.score(source, settings=settings)
    else:
        with _Progress(source, layout, quiet) as progress:
            run = pipeline.score(
                progress.manifest, settings=settings, archive=archive or target / "archive",
                layout=layout, threads=threads, progress=progress.advance,
            )  # fmt: skip
    pipeline.write(run, target)
    _show(run, target)
    return SOME_FAILED if len(run.failures) else OK


def _show(run: Any, target: Path) -> None:
    from rich.console import Console

    from flexi_score.report.terminal import print_summary

    console = Console(highlight=False)
    few = run.settings.summary.few
    print_summary(
        console, run.summary, run.metrics, run.failures, run.info["signature"], few=few
    )
    console.print(f"{target}: summary.md, report.html, scores.parquet, events.parquet, run.json",
                  markup=False)  # fmt: skip


@app.command
def extract(
    source: Annotated[Path, Parameter(name="INPUT")],
    *,
    archive: Annotated[Path, Parameter(help="Folder of the archive; made where there is none.")],
    set_: SetOption = None,
    asr: Asr = None,
    language: Language = None,
    layout: Layout = "auto",
    threads: Threads = 0,
    quiet: Quiet = False,
) -> int:
    """Extract speech and words of INPUT into an archive, to be scored any time without audio.

    Example
    -------
    flexi-score extract calls/ --archive calls.archive
    """
    from flexi_score import archive as store
    from flexi_score import pipeline

    settings = _settings("paper", set_, asr=asr, language=language)
    with _Progress(source, layout, quiet) as progress:
        pipeline.extract(
            progress.manifest, archive, settings=settings, threads=threads,
            progress=progress.advance,
        )  # fmt: skip
    held, failed = store.read_recordings(archive), store.read_failures(archive)
    refused = len(progress.manifest.failures)
    print(f"{archive}: {len(held)} recordings; {len(failed) + refused} failed")
    for row in [*progress.manifest.failures.iter_rows(named=True), *failed.iter_rows(named=True)]:
        print(f"  {row['recording']}: {row['reason']}", file=sys.stderr)
    return SOME_FAILED if len(failed) + refused else OK


@app.command
def doctor() -> int:
    """Say what is installed, which models are present, and what to do about what is missing."""
    from rich.console import Console
    from rich.table import Table

    from flexi_score.extract.doctor import diagnose

    checks = diagnose()
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        mark = "ok" if check.ok else "--"
        table.add_row(mark, check.name, check.found, "" if check.ok else check.advice)
    Console().print(table)
    return OK


@app.command
def models(
    names: Annotated[list[str] | None, Parameter(name="NAME")] = None,
    /,
    *,
    fetch: Annotated[bool, Parameter(negative="", help="Fetch what is missing.")] = False,
) -> int:
    """List the model weights, and verify (or fetch) them by their sha256.

    Example
    -------
    flexi-score models --fetch base
    """
    from flexi_score.extract.weights import main as weights_main

    return weights_main([*(["--fetch"] if fetch else ["--verify"]), *(names or [])])


@app.command
def metrics(*, profile: Annotated[str | None, Parameter(help="Only this profile.")] = None) -> int:
    """Print every metric: unit, direction, definition, source, and what null means."""
    from rich.console import Console

    from flexi_score.metrics import METRICS

    arrow = {"up": "higher is better", "down": "lower is better", "none": "no better direction"}
    console = Console(highlight=False, soft_wrap=True)
    for metric in METRICS:
        if profile in (None, metric.profile):
            unit = f" ({metric.unit})" if metric.unit else ""
            head = f"{metric.profile}  {metric.scenario}.{metric.name}{unit}"
            console.print(f"[bold]{head}[/bold]  {arrow[metric.direction]}")
            console.print(f"  {metric.definition}", markup=False)
            console.print(f"  source: {metric.source}", markup=False)
            console.print(f"  null: {metric.null_means}\n", markup=False)
    return OK


@app.command
def settings(*, profile: Annotated[str, Parameter(help="paper or release")] = "paper") -> int:
    """List every setting: value, unit, meaning, source."""
    from rich.console import Console
    from rich.table import Table

    from flexi_score.config import flatten, load_settings, setting_names

    values = flatten(load_settings(profile))
    table = Table(box=None, pad_edge=False)
    for heading in ("setting", "value", "unit", "meaning", "source"):
        table.add_column(heading, overflow="fold")
    for name, field in setting_names().items():
        extra: Any = field.json_schema_extra or {}
        table.add_row(
            name, str(values[name]), extra.get("unit", ""), field.description or "",
            extra.get("source", ""),
        )  # fmt: skip
    Console().print(table)
    return OK


def _settings(
    profile: str,
    assignments: list[str] | None,
    *,
    judge: str | None = None,
    asr: str | None = None,
    language: str | None = None,
) -> Any:
    from flexi_score.config import load_settings, parse_assignments

    named = {"judge.mode": judge, "extract.asr": asr, "extract.language": language}
    changes = {name: value for name, value in named.items() if value is not None}
    return load_settings(profile, changes | parse_assignments(assignments or []))


class _Progress:
    """A bar on stderr, by seconds of audio; plain lines where stderr is no terminal."""

    def __init__(self, source: Path, layout: str, quiet: bool) -> None:
        from flexi_score.manifest import read_input

        self.manifest = read_input(source, layout)
        self._quiet = quiet
        self._seconds: dict[str, float] = {}

    def __enter__(self) -> "_Progress":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        for warning in self.manifest.warnings:
            print(warning, file=sys.stderr)
        if not self._quiet:
            from flexi_score.extract.recordings import recordings_seconds

            names = self.manifest.rows["recording"].to_list()
            found = recordings_seconds(self.manifest.rows)
            self._seconds = dict(zip(names, found, strict=True))
        self._bar = Progress(
            TextColumn("extract"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[count]}"), TextColumn("left"), TimeRemainingColumn(),
            console=Console(stderr=True), transient=True, disable=self._quiet,
        )  # fmt: skip
        total = sum(self._seconds.values()) or 1.0
        self._task = self._bar.add_task("extract", total=total, count="")
        self._done = 0
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, row: Any, seconds: float, error: str | None) -> None:
        """One recording is done."""
        self._done += 1
        name = row["recording"]
        count = f"{self._done}/{len(self.manifest.rows)} recordings"
        self._bar.update(self._task, advance=self._seconds.get(name, 0.0), count=count)
        if error is not None and not self._quiet:
            self._bar.console.print(f"{name}: {error}", markup=False, highlight=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; exits with the code of the contract."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    tokens = [token for token in tokens if token != "--debug"]
    try:
        code = app(tokens, exit_on_error=False, print_error=True)
        sys.exit(code if isinstance(code, int) else OK)
    except CycloptsError:
        sys.exit(UNUSABLE)
    except KeyboardInterrupt:
        print("interrupted; what was extracted is kept", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(OK)
    except FlexiScoreError as error:
        if debug:
            raise
        print(f"flexi-score: {error}", file=sys.stderr)
        sys.exit(UNUSABLE)


if __name__ == "__main__":
    main()
