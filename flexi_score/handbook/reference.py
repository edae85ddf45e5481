"""The handbook's reference, made from the code: verbs, settings, metrics, columns, formats, Python.

Each function returns a page as Markdown. Nothing of it is kept as a file, so that no page can lag
behind what it describes.
"""

import importlib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import resources
from itertools import groupby
from typing import Any, Final

import polars as pl

from flexi_score.metrics.registry import Metric

#: Of metrics that are alike in several scenarios: where rules are drawn (profile, metric name).
Pictures = Mapping[tuple[str, str, str], str]

_BETTER: Final = {"up": "higher is better", "down": "lower is better", "none": "neither way better"}
#: References of docstrings, as Sphinx reads them.
_ROLE: Final = re.compile(r":\w+:`~?(?:[\w.]+\s)?\.?([^`<]+)`")
#: Files that hold what another holds.
_SAME: Final = {"archive/recordings": "recordings.parquet"}
#: Module and name of the schema of every table, by where its Parquet file is.
_TABLES: Final[Mapping[str, Sequence[tuple[str, str, str]]]] = {
    "A run folder": (
        ("scores.parquet", "schema", "SCORES"),
        ("events.parquet", "schema", "EVENTS"),
        ("summary.parquet", "schema", "SUMMARY"),
        ("recordings.parquet", "archive.tables", "ARCHIVED"),
        ("failures.parquet", "schema", "FAILURES"),
        ("health.parquet", "schema", "HEALTH"),
        ("statistics.parquet", "metrics.conversation.statistics", "STATISTICS"),
        ("ratings.parquet", "schema", "RATINGS"),
        ("not_judged.parquet", "judge.questions", "NOT_JUDGED"),
    ),
    "What `sweep`, `compare`, `agree` and `validate` write": (
        ("flips.parquet", "sweep.effects", "FLIPS"),
        ("sensitivity.parquet", "sweep.effects", "SENSITIVITY"),
        ("compare --out", "aggregate.compare", "COMPARISON"),
        ("agree --out", "aggregate.agreement", "AGREEMENT"),
        ("validation.parquet", "validate.measures", "VALIDATION"),
        ("validation_channels.parquet", "validate.detection", "DETECTION"),
        ("validation_boundaries.parquet", "validate.detection", "BOUNDARIES"),
        ("validation_events.parquet", "validate.events", "EVENT_COUNTS"),
        ("validation_outcomes.parquet", "validate.outcomes", "OUTCOMES"),
    ),
    "An archive (folders of Parquet parts)": tuple(
        (f"archive/{table}", "archive.tables", name)
        for table, name in (
            ("recordings", "ARCHIVED"),
            ("channels", "CHANNELS"),
            ("frames", "FRAMES"),
            ("crosstalk", "CROSSTALK"),
            ("speech", "SPEECH"),
            ("words", "WORDS"),
            ("segments", "SEGMENTS"),
            ("health", "HEALTH"),
            ("failures", "ATTEMPTS"),
            ("files", "FILES"),
        )
    ),
}


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())


def verbs(app: Any) -> str:
    """Verbs and their options, from their own help."""
    text = app.generate_docs(output_format="markdown", usage_name="flexi-score")
    # Started as ``python -m``, cyclopts leaves a part of that in the usage of every verb.
    text = re.sub(r" -m flexi_score(\.cli)?(?= )", "", text)
    text = re.sub(r"## Table of Contents\n.*?\n\n(?=\*\*)", "", text, flags=re.DOTALL)
    # Completion is cyclopts' own verb; its help is in another form.
    text = re.sub(r"## flexi-score --install.*?(?=\n## )", "", text, flags=re.DOTALL)
    text = re.sub(r"\*\*Help\*\*:.*?(?=\n## )", "", text, flags=re.DOTALL)
    text = re.sub(r"\(#[^)]*\)", lambda link: link[0].replace("---", "-"), text)
    return "# Verbs\n" + text.partition("\n")[2]


def settings() -> str:
    """Every setting: default, unit, meaning, source."""
    from flexi_score.config import PROFILES, Settings, flatten, load_settings, setting_names

    fields, values = setting_names(), flatten(load_settings())
    about = {(f.alias or n): type(f.default).__doc__ for n, f in Settings.model_fields.items()}
    parts = ["# Settings", "Values of profile `paper`; `--set NAME=VALUE` changes one."]
    for group, names in groupby(fields, key=lambda name: name.partition(".")[0]):
        if group != "profile":
            parts += [f"## {group}", str(about[group]).partition("\n\n")[0]]
        rows = []
        for name in names:
            extra = fields[name].json_schema_extra or {}
            said = (fields[name].description, extra.get("source", ""))
            rows.append((f"`{name}`", f"`{values[name]}`", extra.get("unit", ""), *said))
        parts.append(_table(("setting", "default", "unit", "meaning", "source"), rows))
    parts.append("## What other profiles set")
    for profile in PROFILES:
        other = flatten(load_settings(profile))
        changed = [f"`{n}={v}`" for n, v in other.items() if v != values[n] and n != "profile"]
        if changed:
            parts.append(f"- `{profile}`: {', '.join(changed)}")
    return "\n\n".join(parts)


def metrics(profile: str, pictures: Pictures) -> str:
    """Every metric of a profile: definition, source, what null means, and its rule drawn."""
    from flexi_score.metrics import profile_metrics
    from flexi_score.report.tables import scenario_title
    from flexi_score.report.wording import wording

    parts = [
        f"# Metrics: {profile}",
        f"What `flexi-score score INPUT --profile {profile}` reports. Where a rule is drawn, on a "
        "made conversation, the dashed line is the moment that the rule looks from, the full line "
        "the one that decides.",
    ]
    alike: dict[tuple[str, str], list[Metric]] = {}
    for metric in profile_metrics(profile):
        alike.setdefault((metric.name, metric.definition), []).append(metric)
    blocks = [(tuple(m.scenario for m in same), same[0]) for same in alike.values()]
    for scenarios, block in groupby(blocks, key=lambda pair: pair[0]):
        title = " and ".join(map(scenario_title, scenarios)) if len(scenarios) < 3 else "Everywhere"
        parts.append(f"## {title}")
        if len(scenarios) > 2:
            parts.append(f"In {', '.join(scenarios)}.")
        for _, metric in block:
            words = wording(metric.scenario, metric.name, metric)
            unit = f", in {metric.unit}" if metric.unit else ""
            spelled = f"{words.full}{unit}; {_BETTER[metric.direction]}."
            parts += [f"### {metric.scenario}.{metric.name}", spelled, _escaped(metric.definition)]
            parts += [f"- Source: {_escaped(metric.source)}\n- Null: {_escaped(metric.null_means)}"]
            if metric.judged:
                parts.append("What the judge is told: [rubrics](rubrics.md).")
            key = (profile, metric.scenario, metric.name)
            if key in pictures:
                parts.append(f"![The rule of {metric.name}, drawn]({pictures[key]})")
    return "\n\n".join(parts)


def rubrics() -> str:
    """What the judge is told."""
    from flexi_score.judge.rubrics import load_rubric

    files = resources.files("flexi_score.judge").joinpath("rubrics").iterdir()
    parts = ["# Rubrics", "What the judge is told; the question follows as JSON, never as text."]
    for name in sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")):
        rubric = load_rubric(name)
        parts += [f"## {rubric.name}", f"Version {rubric.version}."]
        parts.append(f"```text\n{rubric.instructions.strip()}\n```")
    return "\n\n".join(parts)


def columns() -> str:
    """Columns of every Parquet file, with what ``columns.toml`` says of them."""
    meanings = tomllib.loads(
        resources.files("flexi_score.handbook").joinpath("columns.toml").read_text("utf-8")
    )
    parts = [
        "# Columns",
        "Times are integer milliseconds from the start of the recording, intervals half-open. "
        "Null is unscored, unknown or not there; never zero.",
    ]
    for title, tables in _TABLES.items():
        parts.append(f"## {title}")
        for file, module, name in tables:
            said = meanings["anywhere"] | meanings[_SAME.get(file, file)]
            schema: pl.Schema = getattr(importlib.import_module(f"flexi_score.{module}"), name)
            rows = [
                (f"`{c}`", str(kind), said.get(c) or said[c.replace("model_", "user_")])
                for c, kind in schema.items()
            ]
            table = _table(("column", "type", "meaning"), rows)
            parts += [f"### {file}", *filter(None, [said.get("about")]), table]
    return "\n\n".join(parts)


def format_rows() -> list[tuple[str, ...]]:
    """Each format: name, extensions, whether it is read, ``--format``, times, contents, whose."""
    from flexi_score.formats.registry import FORMATS

    return [
        (
            name,
            " ".join(known.extensions) or ".txt",
            "yes" if known.words else "",
            known.export or "",
            known.times,
            known.holds,
            known.whose,
        )
        for name, known in FORMATS.items()
    ]


def source_rows() -> list[tuple[str, ...]]:
    """Each platform: name, channels of user and model, its two-channel files, and the evidence."""
    from flexi_score.formats.roles import SOURCES
    from flexi_score.schema import SPEAKERS

    return [
        (
            name,
            *(str((source.channels or {}).get(side, "not known")) for side in SPEAKERS),
            source.about,
            source.evidence,
        )
        for name, source in SOURCES.items()
    ]


def formats() -> str:
    """Formats that are read and written, layouts of folders, and platforms."""
    from flexi_score.formats.files import AUDIO_EXTENSIONS
    from flexi_score.formats.layouts import LAYOUTS
    from flexi_score.formats.roles import SERVICES

    files = [(*row[:3], row[3] and f"`{row[3]}`", *row[4:]) for row in format_rows()]
    sources = [
        (f"`{name}`", *channels, f"{about} ({evidence})")
        for name, *channels, about, evidence in source_rows()
    ]
    return "\n\n".join(
        [
            "# Formats",
            "## Layouts of folders",
            _table(
                ("`--layout`", "what a folder holds", "who is who", "read after"),
                ((f"`{name}`", k.about, k.who, k.checked) for name, k in LAYOUTS.items()),
            ),
            "## Transcripts and segments",
            _table(
                ("format", "files", "read", "`--format`", "times", "holds", "whose it is"), files
            ),
            "## JSON of speech services",
            _table(
                ("of", "whose words", "times in", "read after (no service was asked)"),
                ((name, *facts) for name, facts in SERVICES.items()),
            ),
            "## Audio",
            f"{' '.join(sorted(AUDIO_EXTENSIONS))}, whatever the name ends in.",
            "## Platforms",
            _table(("`--source`", "user", "model", "two-channel files"), sources),
        ]
    )


def python() -> str:
    """The public names of the package, with their signatures and docstrings."""
    package = importlib.import_module("flexi_score")
    parts = ["# Python", "`import flexi_score as fs`. What the command line can do is here, too."]
    for name in package.__all__:
        if name.startswith("_"):
            continue
        thing = getattr(package, name)
        called = type(thing).__call__ if inspect.ismodule(thing) else thing
        parts += [f"## {name}", _signature(name, called), _docstring(called)]
        if inspect.isclass(thing):
            for method, function in vars(thing).items():
                known = isinstance(function, property | classmethod) or inspect.isfunction(function)
                text = inspect.getdoc(getattr(thing, method)) if known else None
                if text and not method.startswith("_"):
                    parts += [f"### {name}.{method}", _docstring(getattr(thing, method))]
    return "\n\n".join(filter(None, parts))


def _signature(name: str, thing: Any) -> str:
    """How a function is called, without the types: its docstring has them in words."""
    if inspect.isclass(thing):
        return ""
    full = inspect.signature(thing)
    parameters = []
    for one in full.parameters.values():
        literal = one.default is one.empty or isinstance(one.default, str | int | float | None)
        default = one.default if literal else ...
        parameters.append(one.replace(annotation=one.empty, default=default))
    shown = full.replace(parameters=parameters, return_annotation=full.empty)
    return f"`fs.{name}{shown}`".replace("Ellipsis", "...")


def _docstring(thing: Any) -> str:
    """A numpydoc docstring as Markdown: sections bold, parameters as a list, examples as code."""
    text = _ROLE.sub(r"`\1`", inspect.getdoc(thing) or "").replace("``", "`")
    blocks = re.split(r"(?:^|\n)(\w[\w ]*)\n-{3,}\n", text)
    parts = [_paragraphs(blocks[0])]
    for title, body in zip(blocks[1::2], blocks[2::2], strict=True):
        parts.append(f"**{title}**")
        if title == "Examples":
            parts.append(f"```pycon\n{body.strip()}\n```")
        elif title in ("Parameters", "Returns", "Attributes", "Raises", "Yields"):
            parts.append(_items(body))
        else:
            parts.append(_paragraphs(body))
    return "\n\n".join(parts)


def _items(body: str) -> str:
    """``name : type`` and what is indented below it, as a list."""
    items: list[str] = []
    for line in body.splitlines():
        if line.startswith(" ") and items:
            items[-1] += f" {line.strip()}"
        elif line.strip():
            name, colon, kind = line.partition(" : ")
            items.append(f"- `{name}`" + (f" ({_escaped(kind)})" if colon else "") + ":")
    return "\n".join(item.removesuffix(":") for item in items)


def _paragraphs(text: str) -> str:
    blocks = text.strip().split("\n\n")
    return "\n\n".join(b if b.startswith("    ") else " ".join(b.split("\n")) for b in blocks)


def _escaped(text: str) -> str:
    """Signs that Markdown would take for markup."""
    return re.sub(r"([<*_\[\]])", r"\\\1", text)


def reference_pages(
    app: Any, profiles: Sequence[str], pictures: Pictures
) -> dict[str, Callable[[], str]]:
    """What makes each page of the reference, by its path.

    Parameters
    ----------
    app : cyclopts.App
        The command line.
    profiles : sequence of str
    pictures : mapping of (profile, scenario, metric) to str
        Files of the rules that are drawn, relative to the page.
    """
    pages: dict[str, Callable[[], str]] = {
        "verbs": partial(verbs, app),
        "settings": settings,
        "columns": columns,
        "formats": formats,
        "python": python,
        "rubrics": rubrics,
        **{f"metrics-{profile}": partial(metrics, profile, pictures) for profile in profiles},
    }
    return {f"reference/{name}.md": page for name, page in pages.items()}
