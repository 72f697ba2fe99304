"""Cells that a spreadsheet would run as formulas (OWASP, CSV injection)."""

# What a spreadsheet takes for a formula at the beginning of a cell (OWASP, CSV injection).
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def neutral(cell: str) -> str:
    """`cell` so that no spreadsheet runs it: an apostrophe before what would be a formula.

    Before what begins with apostrophes and a formula too: so `original` undoes it exactly.
    """
    return f"'{cell}" if cell.lstrip("'").startswith(FORMULA) else cell


def original(cell: str) -> str:
    """What `neutral` was given."""
    if not cell.startswith("'"):
        return cell
    return cell[1:] if cell.lstrip("'").startswith(FORMULA) else cell
