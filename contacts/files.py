"""Where the installation keeps files of its own."""

from pathlib import Path

from django.conf import settings


def data_folder(name: str) -> Path:
    """A folder of the installation, which its servers and workers share; nobody else reads it."""
    folder = Path(settings.DATA_DIR) / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
