"""Where the installation keeps files of its own."""

from pathlib import Path

from django.conf import settings

UNPACKED = 4  # times IMPORT_MAX_MB


def most_unpacked() -> int:
    """Bytes that a gzip file may unpack to."""
    return UNPACKED * int(settings.IMPORT_MAX_BYTES)


def data_folder(name: str) -> Path:
    """A folder of the installation, which its servers and workers share; nobody else reads it."""
    folder = Path(settings.DATA_DIR) / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
