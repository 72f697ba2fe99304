"""Files that have no records: what such a file is, and what its user can do."""

import re
from typing import NoReturn

from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop

from ..records import UnreadableFile
from .format import InputFile

AS_TABLE = gettext_noop("Open it in a spreadsheet program and save it as XLSX or CSV.")
FROM_SOURCE = gettext_noop(
    "Export the contacts from the program that has them, as CSV, XLSX or vCard."
)
FROM_OUTLOOK = gettext_noop("Export the contacts from Outlook, as CSV.")
AS_CSV = gettext_noop("Save it as CSV.")
UNPACKED = gettext_noop("Unpack it, and import what is inside.")
ONE_BY_ONE = gettext_noop("Unpack it, and import the files one after the other.")

# The first bytes of binary files. A dot stands for any byte.
BINARY: list[tuple[re.Pattern[bytes], str, str]] = [
    (re.compile(pattern, re.DOTALL), what, advice)
    for pattern, what, advice in [
        (rb"%PDF-", gettext_noop("a PDF"), FROM_SOURCE),
        (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*",
         gettext_noop("an image"), FROM_SOURCE),
        (rb"....ftyp(heic|heix|mif1|msf1|avif)", gettext_noop("an image"), FROM_SOURCE),
        (rb"....ftyp|RIFF....(WAVE|AVI )|ID3[\x02-\x04]|OggS\0|\x1a\x45\xdf\xa3",
         gettext_noop("a sound or a video"), FROM_SOURCE),
        (rb"\{\\rtf", gettext_noop("a text document (RTF)"), FROM_SOURCE),
        (rb"SQLite format 3\0", gettext_noop("a SQLite database"), FROM_SOURCE),
        (rb"PAR1[^ -~\t\r\n]|Obj\x01|ARROW1\0", gettext_noop("a file for data analysis"), AS_CSV),
        (rb"\x7fELF|MZ.{0,64}\0\0|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe|\0asm",
         gettext_noop("a program"), FROM_SOURCE),
        (rb"!BDN", gettext_noop("a mailbox of Outlook"), FROM_OUTLOOK),
        (rb"\x1f\x8b", gettext_noop("a gzip file inside a gzip file"), UNPACKED),
        (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a|BZh\d1AY|\xfd7zXZ\0|\x28\xb5\x2f\xfd|.{257}ustar|PK\x05\x06",
         gettext_noop("an archive"), ONE_BY_ONE),
    ]
]  # fmt: skip

# The first characters of texts.
TEXTS: list[tuple[re.Pattern[str], str, str]] = [
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), what, advice)
    for pattern, what, advice in [
        (r"<\?xml.{,4000}urn:schemas-microsoft-com:office:spreadsheet",
         gettext_noop("a workbook in the XML format of Excel 2003"), AS_TABLE),
        (r"(<\?xml[^>]{,200}>\s*)?(<!--.{,4000}?-->\s*)?<(!doctype\s+html|html|head|body|table|meta|style|script|div)\b",
         gettext_noop("a web page, whatever its name says"), AS_TABLE),
        (r"MIME-Version:", gettext_noop("a web page, whatever its name says"), AS_TABLE),
        (r"<\?xml|<!doctype", gettext_noop("an XML document"), FROM_SOURCE),
        (r"(#[^\n]*\n)*(version: ?1\s+)?(#[^\n]*\n)*dn::? ",
         gettext_noop("an address book in the format LDIF"), FROM_SOURCE),
        (r"BEGIN:VCALENDAR", gettext_noop("a calendar"), FROM_SOURCE),
    ]
]  # fmt: skip


def refuse_other_files(file: InputFile) -> None:
    """Raises `UnreadableFile` if `file` is known to have no records. The message says what the file
    is, and shows nothing of it."""
    for binary, what, advice in BINARY:
        if binary.match(file.start):
            refuse(what, advice)
    for text, what, advice in TEXTS:
        if text.match(file.start_text):
            refuse(what, advice)


def refuse_unknown_file() -> NoReturn:
    refuse(gettext_noop("a binary file of an unknown kind"), FROM_SOURCE)


def refuse(what: str, advice: str) -> NoReturn:
    raise UnreadableFile(
        _("This is %(what)s, not a file of contacts. %(advice)s")
        % {"what": _(what), "advice": _(advice)}
    )
