"""How the file of an import is read from a request: as the body itself, or from a form.

Either way it goes to the disk block by block, and nothing behind the largest size is read.
"""

from http import HTTPStatus
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, MultiPartParser

from contacts.importing.formats.gzipped import is_gzip
from contacts.importing.incoming import Incoming

BLOCK = 64 * 1024  # bytes


class PayloadTooLarge(APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit:,} bytes; send less at a time.")


class BrokenBody(ParseError):
    contract_code = "bad_request"


class LengthRequired(APIException):
    status_code = HTTPStatus.LENGTH_REQUIRED
    default_detail = (
        "Send Content-Length, a form, or the file gzipped: it could not be told whether another "
        "body has come whole."
    )


class AtMost:
    """`stream` up to the largest body."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.left = settings.IMPORT_MAX_BYTES

    def read(self, size: int) -> bytes:
        block: bytes = self.stream.read(size)
        self.left -= len(block)
        if self.left < 0:
            raise PayloadTooLarge(settings.IMPORT_MAX_BYTES)
        return block


class FileBody(BaseParser):
    """The body is the file, whatever it says of its kind: that is found out."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        file = Incoming(content_type=media_type or "")
        body = AtMost(stream)
        try:
            while block := body.read(BLOCK):
                file.write(block)
        except BaseException:
            file.close()
            raise
        file.size = file.tell()
        file.flush()
        try:
            self.refuse_half(file, parser_context["request"].META)
        except APIException:
            file.close()
            raise
        return DataAndFiles({}, {"file": file})

    def refuse_half(self, file: Incoming, meta: dict[str, Any]) -> None:
        if meta.get("qyvo.unknown_length"):
            if not is_gzip(file.path):  # which has an end of its own
                raise LengthRequired
        elif file.size != int(meta["CONTENT_LENGTH"]):
            raise BrokenBody("The body has ended early; send it again.")


class CSVBody(FileBody):
    media_type = "text/csv"


class NDJSONBody(FileBody):
    media_type = "application/x-ndjson"


class GzipBody(FileBody):
    media_type = "application/gzip"


class OnDisk(FileUploadHandler):
    """How Django takes the files of all forms. Raises `RequestDataTooBig`."""

    file: Incoming | None = None

    def handle_raw_input(self, input_data: Any, *args: Any, **kwargs: Any) -> None:
        _, content_length, *_ = args
        # One more: see qyvo/wsgi.py for bodies of unknown length.
        if content_length > settings.IMPORT_MAX_BYTES + 1:
            raise RequestDataTooBig("The form is too large.")

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.file = Incoming(self.file_name or "", self.content_type or "")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        cast("Incoming", self.file).write(raw_data)

    def file_complete(self, file_size: int) -> Incoming:
        file = cast("Incoming", self.file)
        file.seek(0)
        file.size = file_size
        return file

    def upload_interrupted(self) -> None:
        if self.file:
            self.file.close()


class FileForm(MultiPartParser):
    """A form whose field `file` is the file."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(cast("Any", AtMost(stream)), media_type, parser_context)
        except BaseException as error:
            for handler in parser_context["request"].upload_handlers:
                handler.upload_interrupted()
            if isinstance(error, RequestDataTooBig):
                raise PayloadTooLarge(settings.IMPORT_MAX_BYTES) from error
            if isinstance(error, ParseError):
                raise BrokenBody(str(error)) from error
            raise


FILE_PARSERS = [FileForm, CSVBody, NDJSONBody, GzipBody, FileBody]
