"""Input files of a company (ad spend, plans, surveys, budgets) in one folder, checked, loaded into `raw_files`.

A file that does not fit is left out, and what its last good version held stays: a typo in it stops nobody's reports.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import get_args

import dlt
import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from dlt.extract import DltSource
from pydantic import ValidationError

from dlt_sources.files import cabinets
from dlt_sources.files.csv_text import CsvText, look_into
from dlt_sources.files.errors import InputFileError
from dlt_sources.files.schema import FILES, InputRow
from dlt_sources.files.workbook import Workbook, look_into_workbook

__all__ = ["FileRead", "InputFileError", "load_files", "raw_columns", "read_file"]

DATASET = "raw_files"
SEVERAL = "ad_spend"  # fed by all files whose name begins so, and by the exports of cabinets
WORKBOOKS = {".xlsx", ".xlsm"}
OLD_WORKBOOKS = {".xls", ".ods"}
BATCH_ROWS = 20_000
CAMPAIGN = ["campaign_id", "campaign_name"]
CAMPAIGN_DAY = ["spend_date", "source_system", "account", *CAMPAIGN]
UNREADABLE = (ValueError, OSError, ArithmeticError, MemoryError, csv.Error)


@dataclass(frozen=True)
class FileRead:
    """What became of one file.

    Attributes:
        table: of `raw_files`; empty if the file is none that we know.
        rows: that the warehouse holds of it; of a file that was left out, those of its last good version.
        error: why it was left out; None if it was accepted. row, column: the place, where it has one.
        note: what a person should know although the file was accepted.
    """

    file: str
    table: str
    rows: int = 0
    error: str | None = None
    row: int | None = None
    column: str | None = None
    note: str | None = None

    @property
    def warning(self) -> str | None:
        """What a run says of the file, if anything."""
        if self.error is None:
            return self.note and f"{self.file}: {self.note}"
        stay = f"the {self.rows:,} rows of its last good version stay" if self.rows else "none of its rows is loaded"
        return f"{self.error}. The file is left out: {stay}."


def raw_columns(table: str) -> tuple[str, ...]:
    """The columns of a raw table: those of the file, the row's place, its file, and when it was read."""
    return (*FILES[table].model_fields, "row_number", "file_name", "_loaded_at")


def load_files(folder: Path, warehouse_path: Path, working_dir: Path, *, as_of: datetime) -> list[FileRead]:
    """Replace every table of `raw_files`; a table without a file is empty, a file that does not fit is left out."""
    reads: list[FileRead] = []
    lines: dict[str, list[pa.Table]] = {table: [] for table in FILES}
    with duckdb.connect(str(warehouse_path)) as warehouse:
        columns = _columns(warehouse)
        loaded = {table: _loaded(warehouse, table, columns.get(table, set())) for table in FILES}
        known = {name for rows in loaded.values() for name in rows["file_name"].unique().to_pylist()}
    try:
        present = _files(folder)
    except OSError as error:
        told = f"{folder}: the folder cannot be read ({error.strerror})"
        reads.append(FileRead(folder.name, "", rows=sum(rows.num_rows for rows in loaded.values()), error=told))
        present, lines = [], {table: [rows] for table, rows in loaded.items()}
    # newcomers last: where two files tell the same, the one that was there stays
    for path in sorted(present, key=lambda path: (path.name not in known, path.name)):
        read, rows = _read(path, as_of, lines)
        if read.error and read.table:
            rows = loaded[read.table].filter(pc.equal(loaded[read.table]["file_name"], path.name))
        if read.table and (read.error is None or rows.num_rows):
            lines[read.table].append(rows)
        reads.append(replace(read, rows=rows.num_rows))
    # a table that was empty and stays so costs nothing
    to_load = {
        table: parts
        for table, parts in lines.items()
        if parts or loaded[table].num_rows or not set(raw_columns(table)) <= columns.get(table, set())
    }
    if to_load:
        _replace(to_load, warehouse_path, working_dir)
    return sorted(reads, key=lambda read: read.file)


def _replace(lines: Mapping[str, Sequence[pa.Table]], warehouse_path: Path, working_dir: Path) -> None:
    pipeline = dlt.pipeline(
        "files",
        pipelines_dir=str(working_dir),
        destination=dlt.destinations.duckdb(str(warehouse_path)),
        dataset_name=DATASET,
    )
    pipeline.abort_packages()  # what a killed run left; the files are read anew
    pipeline.extract(_source(lines))
    pipeline.normalize()
    pipeline.load()


def _source(lines: Mapping[str, Sequence[pa.Table]]) -> DltSource:
    @dlt.source(name="files")
    def source() -> Iterator[dlt.sources.DltResource]:
        for table, parts in lines.items():
            yield dlt.resource(
                [pa.concat_tables([_to_arrow([], table), *parts])],
                name=table,
                write_disposition="replace",
                columns={column: {"data_type": "text", "nullable": True} for column in raw_columns(table)},
            )

    return source()


def _files(folder: Path) -> list[Path]:
    """The tables of the folder; hidden files, those that Excel keeps while one is open, and other texts are none."""
    if not folder.is_dir():
        return []
    kinds = {".csv", ".tsv", *WORKBOOKS, *OLD_WORKBOOKS}
    return [path for path in folder.iterdir() if path.suffix.lower() in kinds and path.name[0] not in ".~"]


def _columns(warehouse: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    query = "select table_name, column_name from information_schema.columns where table_schema = ?"
    for table, column in warehouse.execute(query, [DATASET]).fetchall():
        found.setdefault(table, set()).add(column)
    return found


def _loaded(warehouse: duckdb.DuckDBPyConnection, table: str, present: set[str]) -> pa.Table:
    """What the warehouse holds of a table; a column that an older version did not have is null."""
    if not present:
        return _to_arrow([], table)
    before = {"file_name": f"'{table}.csv'"}  # older versions read this one only
    names = ", ".join(
        f'"{name}"' if name in present else f'{before.get(name, "cast(null as varchar)")} as "{name}"'
        for name in raw_columns(table)
    )
    rows = warehouse.execute(f"select {names} from {DATASET}.{table}").to_arrow_table()  # noqa: S608 - names are ours
    return rows.cast(_to_arrow([], table).schema)


def _read(path: Path, as_of: datetime, lines: Mapping[str, Sequence[pa.Table]]) -> tuple[FileRead, pa.Table]:
    """One file, whatever it holds: its rows if it fits."""
    nothing = pa.table({})
    table = _table_of(path)
    try:
        if path.suffix.lower() in OLD_WORKBOOKS:
            raise InputFileError(f"{path.name}: of workbooks only .xlsx is read; save it as one, or as CSV")
        table = table or _table_by_header(path)
        rows, note = read_file(path, table, as_of)
        _refuse_repetition(path, table, rows, lines[table])
    except InputFileError as error:
        return FileRead(path.name, table, error=str(error), row=error.row, column=error.column), nothing
    except UNREADABLE as error:
        return FileRead(path.name, table, error=f"{path.name}: it cannot be read: {error}"), nothing
    return FileRead(path.name, table, note=note), rows


def _table_of(path: Path) -> str:
    name = path.stem.lower()
    return SEVERAL if name.startswith(SEVERAL) else name if name in FILES else ""


def _table_by_header(path: Path) -> str:
    if cabinets.recognise(_look(path, SEVERAL).names):
        return SEVERAL
    raise InputFileError(
        f"{path.name}: no input file has this name, and its columns are not those of a cabinet's report; "
        f"the names are {', '.join(f'{name}.csv' for name in FILES)}"
    )


def _refuse_repetition(path: Path, table: str, rows: pa.Table, others: Sequence[pa.Table]) -> None:
    """Two files that tell the same would be counted twice."""
    if table != SEVERAL:
        if others:
            other = others[0]["file_name"][0] if others[0].num_rows else "another file"
            raise InputFileError(f"{path.name}: {other} is {table} already")
        return
    days = _campaign_days(rows) if others else set()
    for other in others:
        for same in sorted(days & _campaign_days(other)):
            day, system, _, number, name = same
            raise InputFileError(
                f"{path.name}: the spend of {day}, {system or 'no system'}, campaign {name or number} stands in "
                f"{other['file_name'][0]} too",
                column="spend_date",
            )


def _campaign_days(rows: pa.Table) -> set[tuple[str, ...]]:
    found = rows.select(CAMPAIGN_DAY).group_by(CAMPAIGN_DAY).aggregate([]).select(CAMPAIGN_DAY)
    days = zip(*(column.to_pylist() for column in found.columns), strict=True)
    return {day for day in days if any(day[-len(CAMPAIGN) :])}


def read_file(path: Path, table: str, as_of: datetime) -> tuple[pa.Table, str | None]:
    """Read and check one file: a workbook, or text in whatever way it is written; a cabinet's export as it is.

    Returns:
        its rows, and what a person should know of it.

    Raises:
        InputFileError: at the first row that does not fit.
    """
    model = FILES[table]
    text = _look(path, table)
    export = cabinets.recognise(text.names) if table == SEVERAL else None
    columns = [name.lower() for name in text.names]
    note = None if export else _check_names(path, model, columns, text.names)
    parts, batch = [_to_arrow([], table)], []
    decimal_comma = export is not None or text.decimal_comma
    stamp = {"file_name": path.name, "_loaded_at": as_of.isoformat()}
    for number, values in text.rows():
        if not any(values):
            continue
        cells = export.cells(values) if export else dict(zip(columns, values, strict=True))
        if cells is None:
            continue
        row = _checked(model, cells, path, number, decimal_comma)
        batch.append({**row.model_dump(mode="json"), "row_number": number, **stamp})
        if len(batch) == BATCH_ROWS:
            parts.append(_to_arrow(batch, table))
            batch = []
    rows = pa.concat_tables([*parts, _to_arrow(batch, table)])
    _check_whole(path, model, rows)
    if export:
        note = _note_of(export, text.names)
    return rows, note


def _look(path: Path, table: str) -> CsvText | Workbook:
    required = {name for name, field in FILES[table].model_fields.items() if field.is_required()}

    def is_header(names: Sequence[str]) -> bool:
        return required <= {name.lower() for name in names} or (
            table == SEVERAL and cabinets.recognise(names) is not None
        )

    return look_into_workbook(path, is_header) if path.suffix.lower() in WORKBOOKS else look_into(path, is_header)


def _check_names(path: Path, model: type[InputRow], columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Refuse a file without a column that it needs; tell what is not used."""
    fields = model.model_fields
    missing = [name for name, field in fields.items() if field.is_required() and name not in columns]
    if missing:
        cabinet = cabinets.looks_like(names)
        if cabinet is not None:
            raise InputFileError(f"{path.name}: a report of {cabinet.title} without a day; build it by days")
        raise InputFileError(
            f"{path.name}: column {missing[0]} is missing; expected are {', '.join(fields)}", column=missing[0]
        )
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice is not None:
        raise InputFileError(f"{path.name}: column {twice} stands there twice", column=twice)
    return _unused([name for name, column in zip(names, columns, strict=True) if name and column not in fields])


def _note_of(export: cabinets.Export, names: Sequence[str]) -> str:
    told = f"read as a report of {export.cabinet.title}"
    if "без ндс" in names[export.places["cost"]].lower():
        told += "; its costs are without VAT, the others are with it"
    unused = _unused([name for place, name in enumerate(names) if name and place not in export.places.values()])
    return f"{told}; {unused}" if unused else told


def _unused(names: Sequence[str]) -> str | None:
    return f"columns that are not used: {', '.join(names)}" if names else None


def _checked(model: type[InputRow], cells: Mapping[str, str], path: Path, number: int, decimal_comma: bool) -> InputRow:
    try:
        return model.model_validate(cells, context={"decimal_comma": decimal_comma})
    except ValidationError as error:
        first = error.errors()[0]
        column = str(first["loc"][0])
        raise _misfit(path, number, column, _expected(model, column), cells.get(column, "")) from None


def _expected(model: type[InputRow], column: str) -> str:
    field = model.model_fields[column]
    values = [value or "nothing" for value in get_args(field.annotation)]
    return field.description or f"one of {', '.join(values)}"


def _misfit(path: Path, row: int, column: str, expected: str, found: str) -> InputFileError:
    return InputFileError(
        f"{path.name}, row {row}, column {column}: {expected} is expected, found {found!r}", row=row, column=column
    )


def _check_whole(path: Path, model: type[InputRow], rows: pa.Table) -> None:
    key = list(model.key)
    if key and rows.group_by(key).aggregate([]).num_rows < rows.num_rows:
        first: dict[tuple[str, ...], str] = {}
        for number, *values in zip(*(rows[name].to_pylist() for name in ("row_number", *key)), strict=True):
            if (before := first.setdefault(tuple(values), number)) != number:
                told = ", ".join(f"{name} {value or 'empty'}" for name, value in zip(key, values, strict=True))
                raise InputFileError(
                    f"{path.name}, row {number}, column {key[0]}: {told} stands in row {before} already",
                    row=int(number),
                    column=key[0],
                )
    misfit = model.misfit(rows)
    if misfit is not None:
        row, column, expected = misfit
        found = rows[column][rows["row_number"].to_pylist().index(row)].as_py()
        raise _misfit(path, int(row), column, expected, found)


def _to_arrow(rows: Sequence[Mapping[str, object]], table: str) -> pa.Table:
    return pa.table(
        {
            name: pa.array([None if row.get(name) is None else str(row[name]) for row in rows], pa.string())
            for name in raw_columns(table)
        }
    )
