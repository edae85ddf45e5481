"""The tables of a validation, with their cells as readers see them."""

from typing import Any, Final

import polars as pl

from flexi_score.report.tables import DASH, Column, Table, plain
from flexi_score.schema import EVENT_KINDS
from flexi_score.validate.measures import WITHIN_MS
from flexi_score.validate.validation import Validation

#: Wrong outcomes and names listed; the rest are counted.
LISTED: Final = 20

_Values = dict[tuple[str, ...], dict[str, Any]]


def validation_tables(validation: Validation, *, full: bool = True) -> list[Table]:
    """The tables of a validation. ``full``: also metrics by condition, which are many."""
    rows = validation.table.iter_rows(named=True)
    key = ("part", "by", "level", "speaker", "item", "measure")
    values: _Values = {tuple(row[name] for name in key): row for row in rows}
    groups = group_levels(validation)
    tables = [
        _detection(values, groups),
        *_boundaries(values, groups),
        _events(values),
        _events_by_group(values, groups),
        _outcomes(values, groups),
        _metrics(validation, "all", "all"),
    ]
    if full:
        tables += [_metrics(validation, by, level) for by, level in groups[1:]]
    tables += [_aggregates(validation), _wrong(validation)]
    return [table for table in tables if table.rows]


def group_levels(validation: Validation) -> list[tuple[str, str]]:
    """``(by, level)`` of every group: all first, then keys as given, levels by number or name."""
    pairs = validation.groups.select("by", "level").unique(maintain_order=True).rows()
    keys = list(dict.fromkeys(by for by, _ in pairs))
    ordered = []
    for key in keys:
        levels = [level for by, level in pairs if by == key]
        ordered += [(key, level) for level in sorted(levels, key=_natural)]
    return ordered


def _natural(level: str) -> tuple[int, float, str]:
    try:
        return (0, float(level), level)
    except ValueError:
        return (1, 0.0, level)


def group_title(by: str, level: str) -> str:
    """A group as a reader is shown it."""
    return "all" if by == "all" else f"{plain(by)} = {plain(level)}"


def _short_title(by: str, level: str, groups: list[tuple[str, str]]) -> str:
    """The level alone where there is one key to group by."""
    return group_title(by, level) if len({key for key, _ in groups}) > 2 else plain(level)


def _columns(*labels: str, texts: int = 1) -> tuple[Column, ...]:
    """Columns of text, then of numbers."""
    return tuple(Column(label, numeric=i >= texts) for i, label in enumerate(labels))


def _cell(values: _Values, *key: str, digits: int = 1) -> str:
    row = values.get(key)
    return DASH if row is None else _number(row["value"], digits)


def _number(value: float | None, digits: int) -> str:
    if value is None or value != value:
        return DASH
    text = f"{value:.{digits}f}"
    if text == "100.0":  # per cent, mostly: as short as the others
        return "100"
    return text.lstrip("-") if float(text) == 0 else text


def _n(values: _Values, *key: str) -> str:
    row = values.get(key)
    return "0" if row is None else str(row["n"])


def _sided(groups: list[tuple[str, str]]) -> list[tuple[str, str, str, str]]:
    """Title, by, level and speaker of the rows of a table: all, its speakers, then conditions."""
    rows = []
    for by, level in groups:
        rows.append((_short_title(by, level, groups), by, level, "all"))
        if by == "all":
            rows += [(f"  {speaker}", by, level, speaker) for speaker in ("user", "model")]
    return rows


def _detection(values: _Values, groups: list[tuple[str, str]]) -> Table:
    names = ("false_alarm", "miss", "error", "false_alarm_of_time", "miss_of_time")
    body = []
    for title, by, level, speaker in _sided(groups):
        key = ("detection", by, level, speaker, "speech")
        if (*key, "miss") not in values:
            continue
        cells = [_cell(values, *key, name, digits=2) for name in names]
        counts = [_n(values, *key, "miss"), _cell(values, *key, "truth_speech")]
        body.append((title, *counts, *cells))
    columns = (
        *_columns("Detection", "n", "speech (s)"),
        *(Column(label, "of speech") for label in ("false alarm", "miss", "sum")),
        *(Column(label, "of time") for label in ("false alarm", "miss")),
    )
    notes = ("Shares of true speech, and of all time; n: recordings.",)
    return Table("Detection error (%)", columns, tuple(body), notes)


def _boundaries(values: _Values, groups: list[tuple[str, str]]) -> list[Table]:
    errors, shares = [], []
    for title, by, level, speaker in _sided(groups):
        key = ("boundary", by, level, speaker)
        if (*key, "any", "median") not in values:
            continue
        matched = [_n(values, *key, item, "median") for item in ("start", "end")]
        cells = [
            [_cell(values, *key, item, name) for name in ("median", "median_abs", "p90_abs")]
            for item in ("start", "end")
        ]
        errors.append((title, matched[0], *cells[0], matched[1], *cells[1]))
        inside = [_cell(values, *key, "any", f"within_{w}_ms") for w in WITHIN_MS]
        counts = [_n(values, *key, "any", f"unmatched_{s}") for s in ("truth", "found")]
        alone = [_cell(values, *key, "any", f"unmatched_{s}") for s in ("truth", "found")]
        shares.append((title, counts[0], *inside, alone[0], counts[1], alone[1]))
    labels = ("n", "median", "|median|", "p90")
    first = (
        Column("Boundaries", numeric=False),
        *(Column(label, "Starts") for label in labels),
        *(Column(label, "Ends") for label in labels),
    )
    second = (
        Column("Boundaries", numeric=False),
        Column("n", "True"),
        *(Column(f"≤ {w} ms", "True") for w in WITHIN_MS),
        Column("no match", "True"),
        Column("n", "Found"),
        Column("no match", "Found"),
    )
    notes = (
        "Of the matched boundaries, n of them. Median: signed, positive is late; |median| and p90: "
        "of the absolute errors.",
        "One that has no match is within nothing.",
    )
    return [
        Table("Boundary errors (ms)", first, tuple(errors), notes[:1]),
        Table("Boundaries found (%)", second, tuple(shares), notes[1:]),
    ]


def _events(values: _Values) -> Table:
    body = []
    for kind in EVENT_KINDS:
        for speaker in ("all", "user", "model", "none", "both"):
            key = ("event", "all", "all", speaker, kind)
            if (*key, "recall") not in values:
                continue
            body.append(
                (
                    kind if speaker in ("all", "none", "both") else f"  {speaker}",
                    _n(values, *key, "recall"),
                    _n(values, *key, "precision"),
                    *(_cell(values, *key, name) for name in ("precision", "recall", "f1")),
                )
            )
    columns = _columns("Events", "in truth", "in run", "precision (%)", "recall (%)", "F1 (%)")
    return Table("Events", columns, tuple(body))


def _events_by_group(values: _Values, groups: list[tuple[str, str]]) -> Table:
    body = []
    for by, level in groups[1:]:
        cells = []
        title = _short_title(by, level, groups)
        for kind in EVENT_KINDS:
            speaker = {"gap": "none", "silence": "none", "overlap": "both"}.get(kind, "all")
            key = ("event", by, level, speaker, kind)
            cells.append(f"{_cell(values, *key, 'f1')} ({_n(values, *key, 'recall')})")
        body.append((title, *cells))
    columns = _columns("F1 in % (n in truth)", *EVENT_KINDS)
    return Table("Events by condition", columns, tuple(body))


_CELLS: Final = ("1_found_1", "0_found_0", "1_found_0", "0_found_1")
_HALVES: Final = {"only truth": ("1_found_x", "0_found_x"), "only run": ("x_found_1", "x_found_0")}


def _outcomes(values: _Values, groups: list[tuple[str, str]]) -> Table:
    items = [
        (key[4], key[4], "all", "all")
        for key in values
        if key[0] == "outcome" and key[1] == "all" and key[5] == "agreement" and key[4] != "all"
    ]
    items += [
        (f"all metrics, {title}" if by != "all" else "all metrics", "all", by, level)
        for title, by, level, speaker in _sided(groups)
        if speaker == "all"
    ]
    body = []
    for title, item, by, level in items:
        key = ("outcome", by, level, "all", item)
        if (*key, "agreement") not in values:
            continue
        counts = [_cell(values, *key, f"truth_{cell}", digits=0) for cell in _CELLS]
        counts += [
            f"{sum(values[(*key, f'truth_{cell}')]['value'] for cell in cells):.0f}"
            for cells in _HALVES.values()
        ]
        agreement = _cell(values, *key, "agreement")
        body.append((plain(title), _n(values, *key, "agreement"), agreement, *counts))
    cells = (cell.replace("_found_", " → ") for cell in _CELLS)
    columns = _columns("Binary outcomes", "n", "agree (%)", *cells, *_HALVES)
    notes = ("Truth → run; only truth, only run: recordings where the other has no value.",)
    return Table("Confusion of outcomes", columns, tuple(body), notes)


def _metrics(validation: Validation, by: str, level: str) -> Table:
    own = validation.table.filter(
        (pl.col("part") == "metric") & (pl.col("by") == by) & (pl.col("level") == level)
    )
    metrics: dict[str, dict[str, Any]] = {}
    for row in own.iter_rows(named=True):
        entry = metrics.setdefault(row["item"], {"n": row["n"], "unit": row["unit"]})
        entry[row["measure"]] = row["value"]
    body = tuple(
        (
            plain(item),
            plain(row["unit"]),
            str(row["n"]),
            *(_number(row[name], 3) for name in ("bias", "mae", "p90_abs")),
            *(_number(row[name], 0) for name in ("only_truth", "only_run")),
        )
        for item, row in metrics.items()
    )
    labels = ("n", "bias", "MAE", "p90", "only truth", "only run")
    columns = _columns("Metric", "unit", *labels, texts=2)
    where = "" if by == "all" else f", {group_title(by, level)}"
    notes = ("MAE and p90: mean and 90th percentile of |run - truth|, where both have a value.",)
    return Table(f"Errors of metrics (run minus truth){where}", columns, body, notes)


def _aggregates(validation: Validation) -> Table:
    body = tuple(
        (
            plain(row["system"]),
            f"{row['scenario']}.{plain(row['metric'])}",
            plain(row["unit"]),
            _number(row["truth"], 3),
            _number(row["found"], 3),
            DASH if None in (row["truth"], row["found"]) else f"{row['found'] - row['truth']:+.4f}",
            f"{row['n_truth']}, {row['n_found']}",
        )
        for row in validation.aggregates.iter_rows(named=True)
    )
    labels = ("System", "Metric", "unit", "truth", "run", "error", "n truth, run")
    columns = _columns(*labels, texts=3)
    return Table("Values of the summary", columns, body)


def _wrong(validation: Validation) -> Table:
    wrong = validation.outcomes.filter(
        pl.col("binary") & ~pl.col("truth").eq_missing(pl.col("found"))
    )
    body = tuple(
        (
            plain(row["recording"]),
            f"{row['scenario']}.{plain(row['metric'])}",
            _number(row["truth"], 0),
            _number(row["found"], 0),
            _number(row["margin_s"], 3),
            row["truth_source"],
        )
        for row in wrong.head(LISTED).iter_rows(named=True)
    )
    columns = (
        *_columns("Recording", "Metric", "truth", "run", "margin (s)", texts=2),
        Column("truth from", numeric=False),
    )
    more = len(wrong) - LISTED
    notes = (f"and {more} more, see validation_outcomes.parquet",) if more > 0 else ()
    return Table("Wrong outcomes", columns, body, notes)
