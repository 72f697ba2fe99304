"""Answers of the API."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
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
        # Half a surrogate pair, which a caller has sent and an error repeats, has no UTF-8: Python
        # writes it as JSON's own escape, \ud800.
        return b"" if data is None else lines.encode(errors="backslashreplace")


class Answer(HttpResponse):
    """An answer of the API, written at once. In place of DRF's response, which is a template that
    waits for its renderer. `data`: what it says, for those who count or store answers; None for an
    answer without a body."""

    def __init__(
        self, data: Any = None, status: int = HTTPStatus.OK, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(
            JSON().render(data), status=status, headers=headers, content_type=JSON.media_type
        )
        if data is None:
            del self["Content-Type"]
        self.data = data
