"""The first sheet of an Excel workbook, each cell as the text that a CSV file would hold."""

import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

import pandas as pd

from dlt_sources.files.csv_text import PREAMBLE_LINES
from dlt_sources.files.errors import InputFileError

MAX_MB = 10  # a workbook is packed tenfold and is read whole
NO_WORKBOOK = (zipfile.BadZipFile, KeyError, ValueError, OSError, AttributeError, TypeError)


@dataclass(frozen=True)
class Workbook:
    """One sheet in memory: where its names stand, and its cells."""

    path: Path
    lines: list[list[str]]
    names: tuple[str, ...]  # as written
    first_row: int  # number of the row with the names, counted from 1
    decimal_comma: bool = True  # in cells that hold a text; in the others a number is a number

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Every row below the names: its number and its cells, as many as there are names.

        Raises:
            InputFileError: a row has more cells than there are names.
        """
        width = len(self.names)
        for row, cells in enumerate(self.lines[self.first_row :], start=self.first_row + 1):
            if any(cells[width:]):
                raise InputFileError(
                    f"{self.path.name}, row {row}: it has more cells than the {width} columns", row=row
                )
            yield row, cells[:width]


def look_into_workbook(path: Path, is_header: Callable[[Sequence[str]], bool]) -> Workbook:
    """Read the first sheet and find its names.

    Args:
        path: of the file.
        is_header: tells the row of names; where none of the first rows is one, the first row is taken for it.

    Raises:
        InputFileError: too large, empty, or no workbook.
    """
    lines = _lines(path)
    found: Workbook | None = None
    for number, cells in enumerate(lines[:PREAMBLE_LINES], start=1):
        names = tuple(cells)
        while names and not names[-1]:
            names = names[:-1]
        if names:
            here = Workbook(path, lines, names, number)
            if is_header(names):
                return here
            found = found or here
    if found is None:
        raise InputFileError(f"{path.name}: the file is empty")
    return found


def _lines(path: Path) -> list[list[str]]:
    size = path.stat().st_size
    if size > MAX_MB * 2**20:
        raise InputFileError(
            f"{path.name}: {size / 2**20:,.0f} MB are too much, of workbooks at most {MAX_MB} MB are read; "
            "keep only the lines that the reports need, or save the sheet as CSV"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and drop-down lists that openpyxl does not know
            sheet = pd.read_excel(path, header=None, dtype=object, na_filter=False, engine="openpyxl")
    except NO_WORKBOOK:
        raise InputFileError(
            f"{path.name}: it cannot be read as an Excel workbook; save it anew, without a password, or as CSV"
        ) from None
    return [[_text(cell) for cell in row] for row in sheet.itertuples(index=False, name=None)]


def _text(cell: object) -> str:
    match cell:
        case bool():
            return str(cell).lower()
        case float() if cell.is_integer():
            return str(int(cell))
        case datetime() if cell.time() == time():
            return cell.date().isoformat()
        case datetime():
            return cell.isoformat(sep=" ", timespec="seconds")
        case date():
            return cell.isoformat()
        case _:
            return str(cell).strip()
