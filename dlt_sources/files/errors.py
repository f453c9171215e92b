"""Why an input file cannot be used."""


class InputFileError(Exception):
    """A file cannot be used as it is; the message names file, row and column and says what is expected."""

    def __init__(self, message: str, *, row: int | None = None, column: str | None = None) -> None:
        super().__init__(message)
        self.row, self.column = row, column
