"""Files as bytes, gzipped or not."""

import gzip
import zlib
from collections.abc import Iterator
from math import inf
from pathlib import Path

from contacts.values.translation import gettext as _
from contacts.values.translation import grouped

from ..records import UnreadableFile

BLOCK = 64 * 1024  # bytes


def is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def unpacked(path: Path, max_unpacked: float = inf) -> Iterator[bytes]:
    """The bytes of the file, unpacked if the file is gzipped, in blocks.

    `max_unpacked`: the number of bytes that a gzip file may unpack to; without this limit, a small
    file could fill the disk. Raises `UnreadableFile`.
    """
    is_packed = is_gzip(path)
    size = 0
    try:
        with gzip.open(path) if is_packed else path.open("rb") as opened:
            while block := opened.read(BLOCK):
                size += len(block)
                if is_packed and size > max_unpacked:
                    raise UnreadableFile(
                        _("The gzip file unpacks to more than %(most)s bytes; split it.")
                        % {"most": grouped(max_unpacked)}
                    )
                yield block
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableFile(
            _("The gzip file is damaged: %(reason)s.") % {"reason": error}
        ) from error
