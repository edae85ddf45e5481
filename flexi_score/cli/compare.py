"""``flexi-score compare``: systems against each other, runs against runs, profiles too."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from flexi_score.cli.app import GATE_TRIPPED, OK, TableOut, app
from flexi_score.cli.show import print_rows, write_table

if TYPE_CHECKING:
    from rich.console import Console

    from flexi_score.scoring.run import Run


@app.command
def compare(
    runs: Annotated[list[Path], Parameter(name="RUN")],
    /,
    *,
    systems: Annotated[
        list[str] | None,
        Parameter(name="--systems", negative="", help="BASELINE,CANDIDATE within one run."),
    ] = None,
    pair_by: Annotated[
        str | None, Parameter(help="Metadata key that pairs recordings of different ids.")
    ] = None,
    plan: Annotated[
        bool, Parameter(negative="", help="Also say how many recordings each metric needs.")
    ] = False,
    detect: Annotated[
        list[str] | None,
        Parameter(
            name="--detect",
            negative="",
            help="METRIC=VALUE: smallest difference worth finding, for --plan [the observed one].",
        ),
    ] = None,
    look: Annotated[
        str | None,
        Parameter(
            help="K/N where recordings still come in: this is look K of N planned, equally spaced; "
            "verdicts share the level out over them."
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        Parameter(
            name="--fail-if",
            negative="",
            help="Exit 3 if METRIC[.p90] > NUMBER, or by more than +NUMBER over the first run.",
        ),
    ] = None,
    out: TableOut = None,
) -> int:
    """Compare the systems of one run, or every further run with the first.

    Paired permutation tests on the recordings that both sides have, effects with intervals, Holm's
    correction over the metrics. Runs of two profiles on the same recordings: which recordings come
    out differently, and why.

    Try:

        flexi-score compare run
        flexi-score compare baseline candidate --fail-if 'latency.p90 > +0.1'
        flexi-score compare run --plan --detect latency=0.1
        flexi-score compare run --look 2/4
    """
    from rich.console import Console

    from flexi_score.aggregate import check_gates, parse_gate, plan_frame
    from flexi_score.aggregate.plan import look_level
    from flexi_score.metrics import profile_metrics
    from flexi_score.report.terminal import print_comparison, print_plan
    from flexi_score.scoring.compare import compare as compare_scored
    from flexi_score.scoring.run import Run

    console = Console(highlight=False)
    first, *others = [Run.open(path) for path in runs]
    metrics = profile_metrics(first.settings.profile)
    # Gates are parsed before anything is computed: a typing error must not cost the work.
    gates = [parse_gate(text, metrics) for text in fail_if or []]
    for other in others:
        if other.settings.profile != first.settings.profile:
            return _compare_profiles(console, first, other, out)
    pairs = [_pair(text) for text in systems or []] or None
    single = not others and not pairs and first.scores["system"].n_unique() < 2
    if not (gates and single):
        confidence = first.settings.summary.confidence
        wanted = dict(map(_difference, detect or []))
        table = compare_scored(
            first, *others, systems=pairs, pair_by=pair_by, look=_look(look) if look else None
        )
        planned = plan_frame(table, wanted, confidence) if plan or detect else None
        print_comparison(console, table, metrics, confidence)
        if look:
            level = look_level(*_look(look), 1 - confidence)
            console.print(f"Look {look}: of one metric alone, p below {level:.2g} decides.")
        if planned is not None:
            print_plan(console, planned, metrics, confidence)
        write_table(table if planned is None else planned, out)
    tripped = []
    for run in others or [first]:
        baseline = first.scores if others else None
        tripped += check_gates(gates, run.scores, metrics, baseline)
    for trip in tripped:
        print(f"tripped: {trip.message}", file=sys.stderr)
    return GATE_TRIPPED if tripped else OK


def _pair(text: str) -> tuple[str, str]:
    from flexi_score.errors import SettingsError

    baseline, comma, candidate = text.partition(",")
    if not comma:
        raise SettingsError(f"--systems {text!r}: expected BASELINE,CANDIDATE")
    return baseline.strip(), candidate.strip()


def _look(text: str) -> tuple[int, int]:
    from flexi_score.errors import SettingsError

    look, slash, looks = text.partition("/")
    if not (slash and look.strip().isdecimal() and looks.strip().isdecimal()):
        raise SettingsError(f"--look {text!r}: expected K/N, as 2/4")
    return int(look), int(looks)


def _difference(text: str) -> tuple[str, float]:
    from flexi_score.errors import SettingsError

    name, equals, value = text.partition("=")
    try:
        number = abs(float(value))
    except ValueError:
        number = 0.0
    if not equals or not number:
        raise SettingsError(f"--detect {text!r}: expected METRIC=VALUE, as latency=0.1")
    return name.strip(), number


def _compare_profiles(console: "Console", first: "Run", other: "Run", out: Path | None) -> int:
    from flexi_score.errors import SettingsError
    from flexi_score.metrics.release.differences import explain_differences
    from flexi_score.report.tables import counted

    by_profile = {run.settings.profile: run for run in (first, other)}
    if set(by_profile) != {"paper", "release"}:
        raise SettingsError(
            f"{first.folder} is of profile {first.settings.profile}, {other.folder} of "
            f"{other.settings.profile}: only paper and release can be held against each other"
        )
    table = explain_differences(by_profile["paper"].scores, by_profile["release"].scores)
    rows = []
    for row in table.iter_rows(named=True):
        values = ["-" if row[p] is None else f"{row[p]:g}" for p in ("paper", "release")]
        rows.append((row["recording"], f"{row['scenario']}.{row['metric']}", *values, row["why"]))
    print_rows(
        console,
        ("recording", "metric", "paper", "release", "why"),
        rows,
        title="Recordings whose outcome differs between the profiles",
    )
    console.print(f"{counted(len(table), 'outcome')} differ")
    write_table(table, out)
    return OK
