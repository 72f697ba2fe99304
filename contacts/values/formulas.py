"""Spreadsheet formulas in the cells of a CSV: how an export disarms them, and how an import gets
the cells back (OWASP, CSV injection)."""

# A spreadsheet runs a cell that begins with one of these as a formula.
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def neutral(cell: str) -> str:
    """`cell` in a form that no spreadsheet runs: an apostrophe stands before a formula.

    A cell of apostrophes followed by a formula gets one more apostrophe. Otherwise `original`
    could not tell such a cell from a formula that this function has changed.
    """
    return f"'{cell}" if cell.lstrip("'").startswith(FORMULA_STARTS) else cell


def original(cell: str) -> str:
    """The cell from which `neutral` has made `cell`."""
    if not cell.startswith("'"):
        return cell
    return cell[1:] if cell.lstrip("'").startswith(FORMULA_STARTS) else cell
