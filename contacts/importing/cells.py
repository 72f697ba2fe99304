"""The cell of a file, as other programs write it → its values."""

SEPARATOR = ":::"  # Google Contacts writes several values into one cell


def values_of(text: str) -> list[str]:
    """The values in a cell: `+33612345678 ::: +33145678901` has two."""
    if SEPARATOR not in text:
        return [text]
    return [value for part in text.split(SEPARATOR) if (value := part.strip())]
