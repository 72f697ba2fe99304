"""CSV."""

import re
from collections.abc import Iterator

from ..records import UnreadableFile

DELIMITERS = ",;\t|"
MAX_CELL = 1024 * 1024  # characters; longer ones come of a quote that is not closed
MAX_RECORD = 4 * 1024 * 1024  # characters
MAX_HEADER_LINES = 100  # a quoted column may go over several

# A line, or all blank lines that follow each other. In a CSV a line of blanks has a cell.
CSV_LINES = re.compile(r"[\r\n]*\n|[^\n]+\n?")


class RowLines:
    """`lines` of a CSV for its reader, without blank ones between rows.

    `size`: characters of the row that is being read; its reader sets 0 before each row. `begin`:
    the line on which that row begins. `read`: the number of lines read so far.
    """

    def __init__(self, lines: Iterator[str], read: int) -> None:
        self.lines = lines
        self.read = read
        self.size = self.begin = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            text = next(self.lines)
            if not self.size:
                self.begin = self.read + 1
            self.read += text.count("\n")
            if self.size or text.strip("\r\n"):
                break
        self.size += len(text)
        if self.size > MAX_RECORD:
            raise UnreadableFile(
                f"A record is longer than {MAX_RECORD:,} characters. Is a quote not closed?"
            )
        return text


def one_character(delimiter: str) -> str:
    delimiter = "\t" if delimiter == r"\t" else delimiter
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise UnreadableFile("The delimiter is one character, such as ; or \\t.")
    return delimiter
