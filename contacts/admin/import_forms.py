"""The forms of an import: the upload, and the preview with the choice of columns."""

from contextlib import suppress
from datetime import date, datetime
from hashlib import sha256
from typing import Any

from django import forms
from django.utils.text import Truncator
from django.utils.timezone import localtime
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from contacts.finding.filters import midnight
from contacts.importing import uploads
from contacts.importing.cells import tags_text
from contacts.importing.columns import ALIASES, CONSENT
from contacts.importing.formats import FORMATS
from contacts.importing.options import OPTIONS, STORED, BadOptions, clean
from contacts.importing.preview import Preview
from contacts.importing.records import UnreadableFile
from contacts.importing.row import NoConsentDate, refuse_wrong_consent_date
from contacts.models import Import, fields_of
from contacts.values import rules
from tenants.admin import TenantForm
from tenants.models import Tenant

from .keyset_list import DAY

KINDS = ",".join([*(suffix for each in FORMATS for suffix in each.suffixes), ".gz"])
ANOTHER = "metadata."  # the choice of a metadata key that the user types
DATES = {
    "iso": "Year-month-day (2026-05-07)",
    "dmy": "Day, month, year (07/05/2026)",
    "mdy": "Month, day, year (05/07/2026)",
}
# How the file is read: the preview has a choice of what was found out.
READING = ("sheet", "encoding", "delimiter", "header_line")
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "cp1252": "Western European (Windows-1252)",
    "mac_roman": "Western European (Mac Roman)",
    "cp1250": "Central European (Windows-1250)",
    "iso-8859-2": "Central European (ISO 8859-2)",
    "cp1251": "Cyrillic (Windows-1251)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "cp1257": "Baltic (Windows-1257)",
    "cp1258": "Vietnamese (Windows-1258)",
    "cp932": "Japanese (Shift-JIS)",
    "gb18030": "Chinese, simplified (GBK)",
    "cp950": "Chinese, traditional (Big5)",
    "cp949": "Korean (EUC-KR)",
}
GUESSED = "Guessed from the values."
DELIMITERS = {",": "Comma ,", ";": "Semicolon ;", r"\t": "Tab", "|": "Bar |"}
NO_HEADER = {"0": "None of these: number the columns"}
SHOWN_CELLS = 4  # of a row that may be the header
LONG_CELL = 20  # characters
LONG = 40  # characters of a metadata key in a choice


def option_field(name: str) -> forms.CharField:
    """A text field for an option of an import. Its rule runs in `cleaned`."""
    return forms.CharField(
        required=False, widget=UnfoldAdminTextInputWidget, help_text=OPTIONS[name].help
    )


def cleaned(form: forms.Form) -> dict[str, Any]:
    """The options of the import from `form`; empty if the form has errors."""
    try:
        return clean(form.cleaned_data)
    except BadOptions as error:
        for name, sentence in error.errors.items():
            form.add_error(name, sentence)
        return {}


def choice_field(name: str, choices: dict[str, str], label: str) -> forms.ChoiceField:
    return forms.ChoiceField(
        required=False, choices=[*choices.items()], label=label, help_text=OPTIONS[name].help,
        widget=UnfoldAdminSelectWidget,
    )  # fmt: skip


def switch_field(name: str, label: str) -> forms.BooleanField:
    return forms.BooleanField(
        required=False, label=label, help_text=OPTIONS[name].help, widget=UnfoldBooleanWidget
    )


class TagsField(forms.CharField):
    """Tags as comma-separated text; their rule runs in `cleaned`."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return tags_text(value) if isinstance(value, list) else value


class OptionsForm(forms.Form):
    mode = forms.ChoiceField(
        choices=Import.Mode.choices, label="Contacts", widget=UnfoldAdminSelectWidget
    )
    region = option_field("region")
    phones_have_country_code = switch_field(
        "phones_have_country_code", "Phones have their country code"
    )
    tags = choice_field("tags", {"replace": "Replace", "add": "Add"}, "Tags of a row")
    tag = TagsField(
        required=False, label="Tags for all contacts", help_text=f"{OPTIONS['tag'].help} Commas "
        "separate several tags.",
    )  # fmt: skip
    dates = choice_field("dates", DATES, "Dates")
    timezone = option_field("timezone")
    strict = switch_field("strict", "Wrong cells fail their record")
    clear_marker = option_field("clear_marker")
    encoding = option_field("encoding")
    delimiter = option_field("delimiter")
    header_line = option_field("header_line")
    sheet = option_field("sheet")


class UploadForm(TenantForm, OptionsForm):
    """The upload of a file. The next page shows a preview before anything is imported."""

    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": KINDS}),
        help_text="A workbook (XLSX, XLS, ODS), CSV, vCard, JSON or NDJSON, gzipped or not. The "
        "next page shows a preview; nothing is imported before you confirm it.",
    )

    class Meta:
        model = Import
        fields = ["tenant"]

    def clean(self) -> None:
        super().clean()
        tenant = self.row_tenant()
        if self.errors or tenant is None:
            return
        if options := cleaned(self):
            self.store(tenant, options)

    def store(self, tenant: Tenant, options: dict[str, Any]) -> None:
        file = self.cleaned_data["file"]
        job = self.instance
        job.tenant, job.file_name = tenant, file.name
        job.dry_run, job.options = options.pop("dry_run"), options
        try:
            uploads.store_draft(job, file)
        except UnreadableFile as error:
            self.add_error("file", str(error))


def reading_field(name: str, choices: list[Any]) -> forms.CharField:
    """A choice of how the file is read; hidden if there is nothing to choose. Its rule runs in
    `cleaned`."""
    label = {"encoding": "Encoding", "header_line": "Header row"}.get(name, name.capitalize())
    widget = UnfoldAdminSelectWidget(choices=choices) if choices else forms.HiddenInput()
    return forms.CharField(required=False, label=label, widget=widget)


def reading_choices(options: dict[str, Any], preview: Preview) -> dict[str, list[Any]]:
    """The choices for each option of `READING`; none where the file has nothing to choose."""
    source = preview.source
    sheets = {name: name for name in source.sheets} if len(source.sheets) > 1 else {}
    return {
        "sheet": detected(options, "sheet", sheets, source.sheet),
        "encoding": encoding_choices(options, preview) if source.encoding else [],
        "delimiter": detected(
            options, "delimiter", DELIMITERS if source.kind.has_delimiter else {}, source.delimiter
        ),
        "header_line": header_choices(options, preview) if source.kind.has_header else [],
    }


def detected(
    options: dict[str, Any], name: str, known: dict[str, str], found: str
) -> list[tuple[str, Any]]:
    """The choice to let the import find out, and then `known`, value → label. `found`: what the
    file is read with now."""
    if not known:
        return []
    now = spelled(options.get(name))
    first = "Detect" if now else f"Detected: {known.get(spelled(found), found)}"
    given = {now: now} if now and now not in known else {}
    return [("", first), *(given | known).items()]


def encoding_choices(options: dict[str, Any], preview: Preview) -> list[tuple[str, Any]]:
    """If the encoding is not certain, the encodings in question come first, with some names as
    they read in each."""
    choices = detected(options, "encoding", ENCODINGS, preview.source.encoding)
    if not preview.encodings:
        return choices
    questioned = [
        (name, Truncator(f"{ENCODINGS.get(name, name)}: {', '.join(words)}").chars(2 * LONG))
        for name, words in preview.encodings.items()
    ]
    others = [choice for choice in choices if choice[0] and choice[0] not in preview.encodings]
    return [
        ("", "Not certain: choose"),
        ("Names in each", questioned),
        ("Other encodings", others),
    ]


def header_choices(options: dict[str, Any], preview: Preview) -> list[tuple[str, Any]]:
    rows = {str(row.line): f"Line {row.line}: {sample(row.cells)}" for row in preview.first_rows}
    found = f"line {preview.source.header_line}"
    return detected(options, "header_line", rows | NO_HEADER, found)


def sample(cells: list[str]) -> str:
    """The first cells of a row, for a choice."""
    shown = [Truncator(cell.strip()).chars(LONG_CELL) for cell in cells if cell.strip()]
    more = ["…"] if len(shown) > SHOWN_CELLS else []
    return " · ".join([*shown[:SHOWN_CELLS], *more])


def spelled(value: Any) -> str:
    r"""An option as the form has it: a tab is `\t`, and 0 is not empty."""
    return "" if value is None else str(value).replace("\t", r"\t")


class MappingForm(OptionsForm):
    """The field of each column, and how the file is read. After `is_valid`, `options` has the
    options of the import."""

    seen = forms.CharField(widget=forms.HiddenInput)
    rest_to_metadata = forms.BooleanField(
        required=False,
        label="Columns left out become metadata",
        widget=UnfoldBooleanWidget,
    )
    names_last_first = switch_field("names_last_first", "Names are “last, first”")
    consent_since = forms.CharField(
        required=False,
        label="Consent holds since",
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text="“Yes” is an opt-in and “no” an opt-out on this day, unless a later decision is "
        "known. Blank cells change nothing.",
    )

    def __init__(self, job: Import, preview: Preview, data: Any = None) -> None:
        header, titles = preview.source.header, preview.source.titles
        self.job, self.options, self.shown = job, job.options, preview
        self.shape = sha256(rules.spelled(header).encode()).hexdigest()
        super().__init__(data, initial=job.options | {"seen": self.shape})
        self.initial["consent_since"] = day_of(job.options.get("consent_since", ""))
        for name, choice in reading_choices(job.options, preview).items():
            self.fields[name] = reading_field(name, choice)
            self.initial[name] = spelled(job.options.get(name))
        if preview.last_first:
            seen = f" Most cells of “{Truncator(preview.last_first).chars(LONG)}” are such names."
            self.fields["names_last_first"].help_text += seen
        # A map names columns, so a column without a name cannot be mapped.
        self.columns = {column: n for n, column in enumerate(header) if column}
        defined = {f"metadata.{one.key}": one.label for one in fields_of(job.tenant)}
        for column, n in self.columns.items():
            field = preview.fields.get(column, "")
            self.fields[f"field_{n}"] = forms.ChoiceField(
                choices=choices(column, field, defined), initial=field, label=titles[n],
                required=False, widget=UnfoldAdminSelectWidget,
                help_text=GUESSED if column in preview.proposal.guessed else "",
            )  # fmt: skip
            self.fields[f"key_{n}"] = forms.CharField(
                required=False,
                widget=UnfoldAdminTextInputWidget(
                    attrs={"placeholder": "Key", "aria-label": f"Metadata key of {titles[n]}"}
                ),
            )  # fmt: skip

    def is_of_other_columns(self) -> bool:
        """Whether the page showed other columns, because the file was read with other options."""
        return self.data.get("seen") != self.shape

    def changes_columns(self) -> bool:
        """Whether the options in the form change the columns or their fields."""
        return any(
            self.options[name] != self.job.options.get(name, OPTIONS[name].default)
            for name in (*READING, "rest_to_metadata")
        )

    def clean(self) -> None:
        super().clean()
        chosen = {column: self.chosen(n) for column, n in self.columns.items()}
        if options := cleaned(self):
            read = {name: options[name] for name in STORED}
            if not read["timezone"]:
                read["consent_since"] = midnight_of(read["consent_since"])
            self.options = read | {"map": self.column_map(chosen, read["rest_to_metadata"])}
            self.check_consent()

    def check_consent(self) -> None:
        if CONSENT not in self.options["map"].values():
            return
        try:
            refuse_wrong_consent_date(self.options)
        except NoConsentDate as error:
            self.add_error("consent_since", error.sentence)

    def map_for(self, read: Preview) -> dict[str, str]:
        """The `map` option for the file as `options` read it.

        If the file has other columns now, nobody has chosen the fields that the page proposed. They
        are left out, and `propose` proposes fields for the new columns.
        """
        if read.source.header == self.shown.source.header or not self.shown.proposal.is_open:
            return read.given
        return {
            column: field
            for column, field in self.options["map"].items()
            if column in read.source.header and field != self.shown.fields.get(column, "")
        }

    def chosen(self, number: int) -> str:
        field = self.cleaned_data.get(f"field_{number}", "")
        if field != ANOTHER:
            return field
        try:
            key = rules.limited("key", self.cleaned_data.get(f"key_{number}"), rules.MAX_NAME)
        except ValueError as error:
            self.add_error(f"key_{number}", str(error))
            return ""
        if not key:
            self.add_error(f"key_{number}", "Name the key.")
        return f"{ANOTHER}{key}"

    def column_map(self, chosen: dict[str, str], rest: bool) -> dict[str, str]:
        """The `map` option: all columns that the page showed. If `rest_to_metadata` changes, the
        map leaves out the columns that this option decides about."""
        if rest == self.job.options["rest_to_metadata"]:
            return chosen
        return {
            column: field
            for column, field in chosen.items()
            if field != ("" if rest else f"metadata.{column}")
        }


def midnight_of(text: str) -> str:
    """The beginning of the day in the time zone of the user, if it is not the same in UTC, in which
    an import reads days. Other texts stay."""
    if not DAY.fullmatch(text):
        return text
    at = midnight(date.fromisoformat(text))
    return at.isoformat() if at.utcoffset() else text


def day_of(text: str) -> str:
    """The inverse of `midnight_of`."""
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
        return f"{localtime(at).date()}" if at.tzinfo else text
    return text


def label(field: str) -> str:
    if field == CONSENT:
        return "consent (yes/no)"
    kind, _, key = field.partition(".")
    if key:
        return f"metadata: {Truncator(key).chars(LONG)}"
    return kind.replace("_", " ")


def choices(column: str, field: str, defined: dict[str, str]) -> list[tuple[str, Any]]:
    """The choices for a column. `field`: the field to which the column is mapped now. `defined`:
    the labels of the fields that the tenant defines, by field."""
    found = dict.fromkeys([f"metadata.{column}", *[field] * field.startswith("metadata.")])
    keys = [key for key in found if key not in defined]
    own = [("Your fields", [*defined.items()])] if defined else []
    return [
        ("", "Do not import"),
        ("Fields", [(name, label(name).capitalize()) for name in ALIASES]),
        *own,
        ("Metadata", [*((key, label(key)) for key in keys), (ANOTHER, "metadata: another key…")]),
    ]
