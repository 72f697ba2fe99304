"""Writes answers."""

from typing import Any

from rest_framework.renderers import BaseRenderer
from rest_framework.utils.encoders import JSONEncoder


class JSON(BaseRenderer):
    """Writes answers as compact JSON in UTF-8. In place of DRF's renderer, which makes an encoder
    for each answer and looks for the indentation in `Accept`."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"
    encode = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        # Escaped, because JavaScript before ES2019 has no such characters in its strings.
        lines = self.encode(data).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        return b"" if data is None else lines.encode()
