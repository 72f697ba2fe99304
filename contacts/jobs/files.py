"""Where the installation keeps files of its own."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings

UNPACKED = 4  # times IMPORT_MAX_MB


def max_unpacked_bytes() -> int:
    """Bytes that a gzip file may unpack to."""
    return UNPACKED * int(settings.IMPORT_MAX_BYTES)


def data_folder(name: str) -> Path:
    """A folder of the installation, which its servers and workers share; nobody else reads it."""
    folder = Path(settings.DATA_DIR) / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def read_json(path: Path, default: Any) -> Any:
    """What `replace_json` has written; `default` where there is nothing."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default


def replace_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(value))
    unfinished.replace(path)
