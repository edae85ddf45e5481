"""Manifest files as raw rows: JSON Lines, JSON, YAML, CSV and Parquet."""

import csv
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import yaml

from flexi_score.errors import ManifestError
from flexi_score.formats.contract import is_cell_of_json
from flexi_score.formats.files import (
    REPEATED,
    brief,
    decode_json,
    embedded_at,
    name_some,
    read_text,
)
from flexi_score.formats.keys import KNOWN_KEYS, PATHS


class RawRow(NamedTuple):
    """One row as the file has it: its place ("line 3"), and its value or what is wrong with it."""

    where: str
    value: Any
    fault: str | None = None


class Table(NamedTuple):
    """Rows of a manifest file and what to tell the user about the file."""

    rows: list[RawRow]
    warnings: list[str]


def read_table(path: Path) -> Table:
    """Raw rows of a manifest, by its extension.

    Raises
    ------
    ManifestError
        Where the file as a whole cannot be read.
    """
    table = READERS[path.suffix.lower()](path)
    if not table.rows:
        raise ManifestError(f"{path}: the manifest has no rows; expected one row per recording")
    return table


def _read_jsonl(path: Path) -> Table:
    rows = []
    # Not splitlines(): U+2028 and the like may stand inside a JSON string.
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            rows.append(RawRow(where, decode_json(line)))
        except ValueError as cause:
            rows.append(RawRow(where, None, str(cause).replace("at line 1,", "at")))
    return Table(rows, [])


def _read_json(path: Path) -> Table:
    try:
        value = decode_json(_text(path))
    except ValueError as cause:
        hint = (
            "; where each line is a row of its own, name the file .jsonl"
            if "Extra data" in str(cause)
            else ""
        )
        raise ManifestError(f"{path}: {cause}{hint}") from None
    return Table(_listed(path, value), [])


def _read_yaml(path: Path) -> Table:
    # A subclass of SafeLoader, so as safe as safe_load.
    try:
        loader = _Loader(_text(path))
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ManifestError(f"{path}: not valid YAML{where}: {cause.problem}") from None
    except (yaml.YAMLError, ValueError) as cause:
        raise ManifestError(f"{path}: not valid YAML: {' '.join(str(cause).split())}") from None
    except RecursionError:
        raise ManifestError(f"{path}: YAML nested too deeply to be read") from None
    return Table(_listed(path, value), [])


def _read_csv(path: Path) -> Table:
    text = _text(path)
    # The separator is the one that the header has most of; spreadsheets also write ; and tabs.
    header_line = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as cause:
        raise ManifestError(f"{path}, line {reader.line_num}: not valid CSV: {cause}") from None
    if not lines:
        raise ManifestError(f"{path}: holds no names of columns; expected 'id', 'audio', ...")
    header = [name.strip() for name in lines[0][1]]
    if repeated := sorted({name for name in header if name and header.count(name) > 1}):
        raise ManifestError(f"{path}: column {repeated[0]!r} is given twice; keep one")
    if not any(name in KNOWN_KEYS for name in header):
        raise ManifestError(
            f"{path}: the first line names no column of a manifest (found {name_some(header)}; "
            "expected 'id', 'audio', ...)"
        )
    warnings = []
    if "" in header:
        warnings.append(f"{path}: the column without a name is left out")
    rows = []
    for number, cells in lines[1:]:
        where = f"line {number}"
        if len(cells) != len(header):
            fault = f"found {len(cells)} cells, expected {len(header)} as in the header"
            named = dict(zip(header, cells, strict=False))
            rows.append(RawRow(where, {"id": named.get("id", "").strip() or None}, fault))
            continue
        row = {
            name: _from_cell(name, cell.strip())
            for name, cell in zip(header, cells, strict=True)
            if name and cell.strip()
        }
        rows.append(RawRow(where, row))
    return Table(rows, warnings)


def _read_parquet(path: Path) -> Table:
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    try:
        schema = pl.read_parquet_schema(path)
        embedded = [name for name, kind in schema.items() if _is_embedded(name, kind)]
        # Of embedded audio only the names: the bytes are read one recording at a time.
        frame = (
            pl.scan_parquet(path, hive_partitioning=False)
            .with_columns(
                pl.when(pl.col(name).is_not_null())
                .then(pl.col(name).struct.field("path").fill_null(""))
                .alias(name)
                for name in embedded
            )
            .collect()
        )
    except (pl.exceptions.PolarsError, OSError) as cause:
        problem = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise ManifestError(f"{path}: not a Parquet file that can be read: {problem}") from None
    # pandas writes a missing number as NaN; in a column of the contract it is refused later.
    missing = [
        pl.col(name).fill_nan(None)
        for name, kind in frame.schema.items()
        if kind.is_float() and name.partition(".")[0] not in KNOWN_KEYS
    ]
    rows = [
        RawRow(f"row {number}", {name: _from_cell(name, cell) for name, cell in row.items()})
        for number, row in enumerate(frame.with_columns(missing).iter_rows(named=True), 1)
    ]
    for number, row in enumerate(rows):
        for name in embedded:
            audio = row.value[name]
            if audio is None:
                continue
            row.value[name] = embedded_at(path, name, number, audio)
            if row.value.get("id") is None:
                row.value["id"] = Path(audio).stem if audio else f"row {number + 1}"
    return Table(rows, [])


def _is_embedded(name: str, kind: pl.DataType) -> bool:
    """Whether a column holds audio as Hugging Face's datasets do: a struct of bytes and path."""
    return (
        name in PATHS
        and isinstance(kind, pl.Struct)
        and {"bytes", "path"} <= {field.name for field in kind.fields}
    )


READERS: Final[dict[str, Callable[[Path], Table]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _text(path: Path) -> str:
    text = read_text(path, ManifestError)
    if not text.strip():
        raise ManifestError(f"{path}: the manifest is empty; expected one row per recording")
    return text


def _listed(path: Path, value: Any) -> list[RawRow]:
    if not isinstance(value, list):
        raise ManifestError(f"{path}: found {brief(value)}, expected a list of rows")
    return [RawRow(f"row {number}", row) for number, row in enumerate(value, 1)]


def _from_cell(name: str, cell: Any) -> Any:
    """A cell's value: text, except where the contract or a bracket says that it is JSON."""
    if not isinstance(cell, str) or not is_cell_of_json(name, cell):
        return cell
    try:
        return decode_json(cell)
    except ValueError:
        return cell


_YAML_NUMBERS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_YAML_RESOLVERS: Final = {
    first: [item for item in items if item[0] not in _YAML_NUMBERS]
    for first, items in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Loader(yaml.SafeLoader):
    """SafeLoader that marks repeated keys and reads numbers as JSON writes them.

    Under YAML 1.1 ``id: 0010`` is the number 8 and ``1:30`` is 90, and under YAML 1.2 ``0E0`` is 0:
    writers leave such names unquoted all the same.
    """

    yaml_implicit_resolvers = _YAML_RESOLVERS


def _construct_object(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Iterable[Any]:
    # As SafeConstructor.construct_yaml_map: yielded first, for structures that hold themselves.
    value: dict[Any, Any] = {}
    yield value
    names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    value.update(loader.construct_mapping(node))
    if repeated := next((name for name in names if name != "<<" and names.count(name) > 1), None):
        value[REPEATED] = repeated


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_object)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*(?:[eE][-+]?[0-9]+)?|[1-9]e[-+][0-9]{2,}"
        r"|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)
