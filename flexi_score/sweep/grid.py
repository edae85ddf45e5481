"""Which settings a sweep goes through: a grid of values, a list of rows, or a list under a grid."""

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flexi_score.config import Settings, flatten, load_settings
from flexi_score.errors import InputError, SettingsError


def parse_grid(texts: Sequence[str]) -> dict[str, list[str]]:
    """``["ipu.min_silence_ms=100,150", ...]`` as names with their values."""
    grid: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip()
        if not equals or not values.strip():
            raise SettingsError(
                f"--grid {text!r}: expected name=value,value,..., as ipu.min_silence_ms=150,200,250"
            )
        if name in grid:
            raise SettingsError(f"--grid {text!r}: {name} is already in the grid; give it once")
        grid[name] = list(dict.fromkeys(value.strip() for value in values.split(",")))
    return grid


def read_list(path: str | Path) -> list[dict[str, Any]]:
    """Rows of settings from a table (.jsonl, .json or .csv), by name.

    A row ``{"ipu.min_silence_ms": 150, "speech.threshold": 0.6}`` is one combination; what it does
    not name, or leaves empty, keeps its value.
    """
    path = Path(path)
    rows: list[Any] = []
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix.lower() == ".csv":
            rows = list(csv.DictReader(text.splitlines()))
        elif path.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        else:
            rows = json.loads(text)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read as a list of settings ({error}); expected .csv, .jsonl or "
            ".json, one combination a row"
        ) from error
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: holds no rows; expected one combination of settings a row")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or None in row:
            raise InputError(
                f"{path}, row {number}: found {row!r:.80}; expected settings by name, as "
                '{"ipu.min_silence_ms": 150}'
            )
    return [{name: value for name, value in row.items() if value not in (None, "")} for row in rows]


def combinations(
    grid: Mapping[str, Sequence[object]], rows: Sequence[Mapping[str, object]] = ()
) -> list[dict[str, Any]]:
    """Every combination of the grid, under every row of the list (if there is one)."""
    named = {name for row in rows for name in row}
    both = sorted(named & set(grid))
    if both:
        raise SettingsError(f"{both[0]} is both in the grid and in the list; give it once")
    if not grid and not rows:
        raise SettingsError("nothing to sweep: give --grid name=value,value,... or --list FILE")
    products = [
        dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())
    ]
    return [{**row, **product} for row in rows or [{}] for product in products]


def resolve(
    changes: Sequence[Mapping[str, object]], profile: str, base: Mapping[str, object]
) -> list[Settings]:
    """Settings of every combination."""
    if not changes:
        raise SettingsError("nothing to sweep: no combination of settings; give at least one")
    for name in sorted({name for row in changes for name in row}):
        if name.startswith("extract.") and name != "extract.asr":
            raise SettingsError(
                f"{name} changes what extraction finds, and a sweep does not read audio; extract "
                "into one archive for each of its values"
            )
        if name.startswith("summary."):
            raise SettingsError(f"{name} changes no value of a metric; there is nothing to sweep")
    resolved = [load_settings(profile, {**base, **row}) for row in changes]
    for settings in resolved:
        if settings.judge.mode not in ("none", "replay"):
            raise SettingsError(
                f"judge.mode={settings.judge.mode}: a sweep asks no judge; leave it at none, or "
                "at replay for kept replies and the ratings that came with the recordings"
            )
    return resolved


def in_force(
    changes: Sequence[Mapping[str, object]], settings: Sequence[Settings]
) -> dict[str, list[object]]:
    """The settings that any combination names, each with its value in every combination."""
    names = list(dict.fromkeys(name for row in changes for name in row))
    flat = [flatten(one) for one in settings]
    return {name: [values[name] for values in flat] for name in names}
