"""The data folder of an installation: files that its servers and workers share."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings

UNPACKED = 4  # times IMPORT_MAX_MB


def max_unpacked_bytes() -> int:
    """How large a gzip file may be when it is unpacked. Without a limit, a small upload could fill
    the disk."""
    return UNPACKED * int(settings.IMPORT_MAX_BYTES)


def data_folder(name: str) -> Path:
    """A folder inside the data folder; created if missing, readable by nobody else."""
    folder = Path(settings.DATA_DIR) / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def read_json(path: Path, default: Any) -> Any:
    """The value that `replace_json` has written; `default` if there is no file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default


def replace_json(path: Path, value: Any) -> None:
    replace_bytes(path, json.dumps(value).encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: a process that is killed meanwhile leaves the old file."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
