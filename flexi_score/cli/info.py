"""``flexi-score doctor``, ``models``, ``metrics`` and ``settings``: what there is."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from flexi_score.cli.app import OK, Json, app
from flexi_score.cli.show import plain_console

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from rich.console import Console

    from flexi_score.metrics.registry import Metric

Names = Annotated[list[str] | None, Parameter(name="NAME")]
_BETTER = {"up": "higher is better", "down": "lower is better", "none": "no better direction"}


@app.command
def doctor() -> int:
    """Say what is installed, which models are present, and what to do about what is missing."""
    from rich.text import Text

    from flexi_score.extraction.doctor import diagnose

    console = plain_console()
    for check in diagnose():
        said = Text("ok  " if check.ok else "--  ", style="" if check.ok else "yellow")
        said.append(check.name, style="bold").append(f": {check.found}", style="not bold")
        console.print(said)
        if not check.ok and check.advice:
            console.print(Text(f"      {check.advice}"))
    return OK


@app.command
def models(
    names: Names = None,
    /,
    *,
    fetch: Annotated[bool, Parameter(negative="", help="Fetch what is missing.")] = False,
) -> int:
    """List the model weights, and verify (or fetch) them by their sha256.

    Try:

        flexi-score models --fetch base
    """
    from flexi_score.extraction.weights import report

    return report(names or (), install=fetch)


@app.command
def metrics(
    names: Names = None,
    /,
    *,
    profile: Annotated[str | None, Parameter(help="Only this profile.")] = None,
    rubric: Annotated[
        str | None, Parameter(help="Instead: what the judge is told for tss, eds, coherence, ...")
    ] = None,
    json_: Json = False,
) -> int:
    """List the metrics of a profile, or define those named: unit, direction, source, null.

    NAME is a metric, a scenario, both (user_interrupt.ttr) or an acronym (TTR).

    Try:

        flexi-score metrics
        flexi-score metrics ttr
        flexi-score metrics user_interrupt --profile release
        flexi-score metrics --json
        flexi-score metrics --rubric tss
    """
    from flexi_score.config import PROFILES, unknown_name
    from flexi_score.errors import InputError
    from flexi_score.metrics import METRICS
    from flexi_score.report.wording import wording

    if rubric is not None:
        return _show_rubric(rubric)
    if profile is not None and profile not in PROFILES:
        raise InputError(unknown_name("profile", profile, PROFILES))
    of_profile = [m for m in METRICS if profile in (None, m.profile)]
    matches = []
    for name in names or ():
        matching = [m for m in of_profile if name.casefold() in _names_of(m)]
        if not matching:
            known = dict.fromkeys(n for m in of_profile for n in (m.name, m.scenario))
            raise InputError(unknown_name("metric or scenario", name, list(known)))
        matches += [m for m in matching if m not in matches]
    if json_:
        from dataclasses import asdict

        chosen = matches if names else of_profile
        print(json.dumps([asdict(metric) for metric in chosen], indent=1, ensure_ascii=False))
        return OK
    console = plain_console()
    if not names:
        _list_metrics(console, [m for m in METRICS if m.profile == (profile or "paper")])
        others = ", ".join(name for name in PROFILES if name != (profile or "paper"))
        console.print(f"\nOther profiles: {others} (--profile)")
        console.print("Definitions: flexi-score metrics NAME, or --json for all of them")
        return OK
    for metric in matches:
        unit = f" ({metric.unit})" if metric.unit else ""
        words = wording(metric.scenario, metric.name, metric)
        console.print(
            f"[bold]{metric.profile}  {metric.scenario}.{metric.name}{unit}[/bold]  "
            f"{_BETTER[metric.direction]}"
        )
        spelled = f"{words.acronym}, {words.name}: " if words.acronym else ""
        for label, text in (
            ("", f"{spelled}{metric.definition}"),
            ("source: ", metric.source),
            ("null: ", metric.null_means),
            ("judged: ", f"flexi-score metrics --rubric {metric.name}" if metric.judged else ""),
        ):
            if text:
                _print_folded(console, label + text)
        console.print()
    return OK


def _names_of(metric: "Metric") -> set[str]:
    """What a metric answers to."""
    from flexi_score.report.wording import wording

    acronym = wording(metric.scenario, metric.name, metric).acronym
    names = (metric.name, metric.scenario, f"{metric.scenario}.{metric.name}", acronym)
    return {name.casefold().rstrip(".") for name in names if name}


def _list_metrics(console: "Console", listed: Iterable["Metric"]) -> None:
    """A line per metric: what is printed for a profile without further questions."""
    from itertools import groupby

    from rich.text import Text

    from flexi_score.report.wording import wording

    for scenario, part in groupby(listed, key=lambda m: m.scenario):
        console.print(Text(scenario, style="bold"))
        for metric in part:
            words = wording(metric.scenario, metric.name, metric)
            better = metric.direction if metric.direction != "none" else ""
            unit = f" ({metric.unit})" if metric.unit else ""
            line = Text(f"  {metric.name + unit:<36} ")
            console.print(line.append(f"{better:<5}", style="dim").append(words.full))


def _show_rubric(name: str) -> int:
    from flexi_score.judge.rubrics import load_rubric

    rubric = load_rubric(name)
    print(f"rubric {rubric.name}, version {rubric.version}\n\n{rubric.instructions}\n")
    print(f"schema of the reply: {json.dumps(rubric.schema)}")
    return OK


@app.command
def settings(
    names: Annotated[list[str] | None, Parameter(name="GROUP")] = None,
    /,
    *,
    profile: Annotated[str, Parameter(help="Whose values.")] = "paper",
    json_: Json = False,
) -> int:
    """List the groups of settings, or explain those of a group: value, unit, meaning, source.

    Try:

        flexi-score settings
        flexi-score settings yield
        flexi-score settings ipu.min_silence_ms
        flexi-score settings --json
    """
    from rich.text import Text

    from flexi_score.config import Settings, flatten, load_settings, setting_names, unknown_name
    from flexi_score.errors import InputError

    values, fields = flatten(load_settings(profile)), setting_names()
    groups = list(dict.fromkeys(name.partition(".")[0] for name in fields))
    chosen = [n for n in fields if not names or {n, n.partition(".")[0]} & set(names)]
    for name in names or ():
        if name not in fields and name not in groups:
            raise InputError(unknown_name("group or setting", name, [*groups, *fields]))
    if json_:
        rows = [{"name": n, "value": values[n], **_described(fields[n])} for n in chosen]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return OK
    console = plain_console()
    if not names:
        about = {(f.alias or n): type(f.default).__doc__ for n, f in Settings.model_fields.items()}
        for group in groups:
            number = sum(name.partition(".")[0] == group for name in fields)
            doc = fields["profile"].description if group == "profile" else about[group]
            first = str(doc).partition("\n")[0]
            console.print(Text(f"{group:<18}{number:>3}  ", style="bold").append(first, "not bold"))
        console.print(
            "\nflexi-score settings GROUP explains them; --set GROUP.NAME=VALUE changes one"
        )
        return OK
    for name in chosen:
        said = _described(fields[name])
        line = Text(f"{name}={values[name]}", style="bold")
        console.print(line.append(f"  {said['unit']}".rstrip(), style="not bold"))
        _print_folded(console, f"{said['meaning']} [{said['source']}]")
    return OK


def _described(field: "FieldInfo") -> dict[str, str]:
    extra: Any = field.json_schema_extra or {}
    return {
        "unit": extra.get("unit", ""),
        "meaning": field.description or "",
        "source": extra.get("source", ""),
    }


def _print_folded(console: "Console", text: str) -> None:
    from textwrap import fill

    from rich.text import Text

    width = max(console.width, 40)
    console.print(Text(fill(text, width, initial_indent="    ", subsequent_indent="    ")))
