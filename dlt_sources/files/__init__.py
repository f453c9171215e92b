"""Input files of a company (ad spend, sales plan): CSV in one folder, each replaced whole in `raw_files`."""

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import dlt
import pandas as pd
import pyarrow as pa
from dlt.extract import DltSource
from pydantic import BaseModel, ValidationError

from dlt_sources.files.schema import FILES

DATASET = "raw_files"


class InputFileError(Exception):
    """A file cannot be used as it is; the message names file, row and column."""


def raw_columns(table: str) -> tuple[str, ...]:
    """The columns of a raw table: those of the file, the row's place in it, and when it was read."""
    return (*FILES[table].model_fields, "row_number", "_loaded_at")


def input_files(folder: Path, *, as_of: datetime) -> DltSource:
    """One resource per known file; a file that is absent gives an empty table.

    Raises:
        InputFileError: while a resource is read, at the first row that does not fit.
    """

    @dlt.source(name="files")
    def source() -> Iterator[dlt.sources.DltResource]:
        for table in FILES:
            yield dlt.resource(
                _pages(folder / f"{table}.csv", table, as_of),
                name=table,
                write_disposition="replace",
                columns={column: {"data_type": "text", "nullable": True} for column in raw_columns(table)},
            )

    return source()


def _pages(path: Path, table: str, as_of: datetime) -> Iterator[pa.Table]:
    yield read_rows(path, table, as_of) if path.exists() else _to_arrow([], table)


def read_rows(path: Path, table: str, as_of: datetime) -> pa.Table:
    """Read and check one file: comma or semicolon, UTF-8 or Windows-1251, a decimal comma beside semicolons."""
    frame = _read_csv(path)
    model = FILES[table]
    missing = [name for name, field in model.model_fields.items() if field.is_required() and name not in frame]
    if missing:
        raise InputFileError(f"{path.name}: column {missing[0]} is missing; it needs {', '.join(model.model_fields)}")
    rows = []
    for row_number, cells in enumerate(frame.itertuples(index=False, name=None), start=2):  # row 1 holds the names
        if not any(cells):
            continue
        row = _checked(model, dict(zip(frame.columns, cells, strict=True)), path, row_number)
        rows.append({**row.model_dump(mode="json"), "row_number": row_number, "_loaded_at": as_of.isoformat()})
    return _to_arrow(rows, table)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path.name}: cannot be read ({error.strerror})") from error
    try:
        raw.decode("utf-8")
        encoding = "utf-8-sig"
    except UnicodeDecodeError:
        encoding = "cp1251"
    header = raw.split(b"\n", 1)[0].decode(encoding)
    delimiter = max(",;\t", key=header.count)
    try:
        frame = pd.read_csv(
            path,
            sep=delimiter,
            dtype=str,
            keep_default_na=False,
            encoding=encoding,
            quoting=csv.QUOTE_MINIMAL,
            index_col=False,
            skip_blank_lines=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeError) as error:
        raise InputFileError(f"{path.name}: not a CSV table: {error}") from error
    frame.columns = frame.columns.str.strip().str.lower()
    if frame.columns.has_duplicates:
        raise InputFileError(f"{path.name}: column {frame.columns[frame.columns.duplicated()][0]} stands there twice")
    for name in frame:
        frame[name] = frame[name].fillna("").str.strip()
    if delimiter == ";":
        for name in ("cost", "plan_value"):
            if name in frame:
                frame[name] = frame[name].str.replace(",", ".", regex=False)
    return frame


def _checked(model: type[BaseModel], cells: dict[str, str], path: Path, row_number: int) -> BaseModel:
    try:
        return model.model_validate(cells)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputFileError(
            f"{path.name}, row {row_number}, column {first['loc'][0]}: {first['msg']} (found {first['input']!r})"
        ) from error


def _to_arrow(rows: list[dict[str, object]], table: str) -> pa.Table:
    return pa.table(
        {
            name: pa.array([None if row.get(name) is None else str(row[name]) for row in rows], pa.string())
            for name in raw_columns(table)
        }
    )


def load_files(folder: Path, warehouse_path: Path, working_dir: Path, *, as_of: datetime) -> dict[str, int]:
    """Replace every table of `raw_files`; returns the rows of each.

    Raises:
        InputFileError: wrapped by dlt; the tables keep what the last good run loaded.
    """
    pipeline = dlt.pipeline(
        "files",
        pipelines_dir=str(working_dir),
        destination=dlt.destinations.duckdb(str(warehouse_path)),
        dataset_name=DATASET,
    )
    pipeline.abort_packages()  # what a killed run left; the files are read anew
    pipeline.extract(input_files(folder, as_of=as_of))
    counts = pipeline.normalize().row_counts
    pipeline.load()
    return {table: counts.get(table, 0) for table in FILES}
