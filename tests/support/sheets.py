"""Reads a workbook as ECMA-376 says, so that tests need no spreadsheet."""

import io
import re
import zipfile
from xml.etree import ElementTree

NAMES = {"x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def cells_of(content: bytes) -> list[list[str]]:
    """The texts of the first sheet, by rows. Fails for a cell that is a number or a formula."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314
    return [cells_of_row(row) for row in sheet.findall(".//x:row", NAMES)]


def cells_of_row(row: ElementTree.Element) -> list[str]:
    found: list[str] = []
    for cell in row.findall("x:c", NAMES):
        assert cell.get("t") == "inlineStr"
        assert cell.find("x:f", NAMES) is None
        column = ord((cell.get("r") or "")[0]) - ord("A")
        found += [""] * (column - len(found))
        found.append(unescaped(cell.findtext("x:is/x:t", "", NAMES)))
    return found


def unescaped(text: str) -> str:
    """ECMA-376, 22.9.2.19: `_x000B_` is the character with this number."""
    return re.sub("_x([0-9A-F]{4})_", lambda match: chr(int(match[1], 16)), text)
