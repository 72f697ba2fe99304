"""Gzip files."""

from pathlib import Path

BLOCK = 64 * 1024  # bytes


def is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"
