"""A CSV file as Excel, a cabinet or a person saves it: its encoding, separator, line of names, and rows in chunks."""

import codecs
import csv
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd

from dlt_sources.files.errors import InputFileError

MAX_MB = 100
CHUNK_ROWS = 20_000
PREAMBLE_LINES = 15  # above the names: title and period of a cabinet's report
SPARE_COLUMNS = 16  # Excel leaves empty columns at the right
BLOCK = 2**20
SEPARATORS = {";": "semicolon", ",": "comma", "\t": "tab"}


@dataclass(frozen=True)
class CsvText:
    """One file, looked at but not read: where its names stand, and how it is written."""

    path: Path
    encoding: str
    separator: str
    names: tuple[str, ...]  # as written
    first_row: int  # number of the line with the names, counted from 1

    @property
    def decimal_comma(self) -> bool:
        """Whether a comma in a number can be told from one between cells."""
        return self.separator != ","

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Every row below the names: its number and its cells, trimmed, as many as there are names.

        Raises:
            InputFileError: a row has more cells than there are names, or the text cannot be decoded.
        """
        row = self.first_row
        width = len(self.names)
        for chunk in self._chunks():
            cells = chunk.fillna("")
            for values in zip(*(cells[name].str.strip().tolist() for name in cells), strict=True):
                row += 1
                if any(values[width:]):
                    raise InputFileError(
                        f"{self.path.name}, row {row}: it has more cells than the {width} columns; a text or "
                        f"number that holds a {SEPARATORS[self.separator]} must stand in quotes",
                        row=row,
                    )
                yield row, list(values[:width])

    def _chunks(self) -> Iterator[pd.DataFrame]:
        try:
            reader = pd.read_csv(
                self.path,
                sep=self.separator,
                header=None,
                names=range(len(self.names) + SPARE_COLUMNS),
                skiprows=self.first_row,
                dtype=str,
                keep_default_na=False,
                encoding=self.encoding,
                quoting=csv.QUOTE_MINIMAL,
                index_col=False,
                skip_blank_lines=False,
                chunksize=CHUNK_ROWS,
            )
            with reader:
                while True:
                    with warnings.catch_warnings():
                        warnings.simplefilter("error", pd.errors.ParserWarning)  # cells beyond the spare columns
                        chunk = next(reader, None)
                    if chunk is None:
                        return
                    yield chunk
        except pd.errors.EmptyDataError:
            return
        except UnicodeError:
            raise _unknown_encoding(self.path) from None
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise InputFileError(f"{self.path.name}: not a CSV table: {error}") from error


def look_into(path: Path, is_header: Callable[[Sequence[str]], bool]) -> CsvText:
    """Find out how a file is written.

    Args:
        path: of the file.
        is_header: tells the line of names; where none of the first lines is one, the first line is taken for it.

    Raises:
        InputFileError: too large, empty, no text, or in an unknown encoding.
    """
    size = path.stat().st_size
    if size > MAX_MB * 2**20:
        raise InputFileError(
            f"{path.name}: {size / 2**20:,.0f} MB are too much, at most {MAX_MB} MB are read; "
            "keep only the lines that the reports need"
        )
    encoding = _encoding(path)
    try:
        with path.open(encoding=encoding, newline="") as file:
            lines = list(islice(file, PREAMBLE_LINES))
    except UnicodeError:
        raise _unknown_encoding(path) from None
    found: CsvText | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip(" ;,\t\r\n\ufeff"):
            continue
        separator = max(SEPARATORS, key=line.count)
        names = [name.strip() for name in next(csv.reader([line], delimiter=separator))]
        while names and not names[-1]:
            names.pop()
        here = CsvText(path, encoding, separator, tuple(names), number)
        if is_header(names):
            return here
        found = found or here
    if found is None:
        raise InputFileError(f"{path.name}: the file is empty")
    return found


def _encoding(path: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        block = file.read(BLOCK)
        if block.startswith(b"PK\x03\x04"):
            raise InputFileError(f"{path.name}: this is an Excel workbook, not CSV; save it as CSV")
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if b"\0" in block:
            raise InputFileError(f"{path.name}: this is no text; a CSV file in UTF-8 or Windows-1251 is expected")
        try:
            while block:
                decoder.decode(block)
                block = file.read(BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1251"
    return "utf-8-sig"


def _unknown_encoding(path: Path) -> InputFileError:
    return InputFileError(f"{path.name}: the text is neither UTF-8 nor Windows-1251; save it in one of these")
