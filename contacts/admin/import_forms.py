"""The forms of an import: the upload, and the preview with the choice of columns. One module,
because both ask for the same options."""

from contextlib import suppress
from datetime import date, datetime
from hashlib import sha256
from typing import Any

from django import forms
from django.utils.text import Truncator, capfirst, format_lazy
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext
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

from .describe import field_in_words
from .forms import translated
from .keyset_list import DAY

KINDS = ",".join([*(suffix for each in FORMATS for suffix in each.suffixes), ".gz"])
ANOTHER = "metadata."  # the choice of a metadata key that the user types
DATES = {
    "iso": gettext_noop("Year-month-day (2026-05-07)"),
    "dmy": gettext_noop("Day, month, year (07/05/2026)"),
    "mdy": gettext_noop("Month, day, year (05/07/2026)"),
}
# How the file is read: the preview has a choice of what was found out, with this label.
READING = {
    "sheet": gettext_noop("Sheet"),
    "encoding": gettext_noop("Encoding"),
    "delimiter": gettext_noop("Delimiter"),
    "header_line": gettext_noop("Header row"),
}
ENCODINGS = {
    "utf-8": gettext_noop("UTF-8"),
    "utf-16": gettext_noop("UTF-16"),
    "cp1252": gettext_noop("Western European (Windows-1252)"),
    "mac_roman": gettext_noop("Western European (Mac Roman)"),
    "cp1250": gettext_noop("Central European (Windows-1250)"),
    "iso-8859-2": gettext_noop("Central European (ISO 8859-2)"),
    "cp1251": gettext_noop("Cyrillic (Windows-1251)"),
    "cp1253": gettext_noop("Greek (Windows-1253)"),
    "cp1254": gettext_noop("Turkish (Windows-1254)"),
    "cp1255": gettext_noop("Hebrew (Windows-1255)"),
    "cp1256": gettext_noop("Arabic (Windows-1256)"),
    "cp1257": gettext_noop("Baltic (Windows-1257)"),
    "cp1258": gettext_noop("Vietnamese (Windows-1258)"),
    "cp932": gettext_noop("Japanese (Shift-JIS)"),
    "gb18030": gettext_noop("Chinese, simplified (GBK)"),
    "cp950": gettext_noop("Chinese, traditional (Big5)"),
    "cp949": gettext_noop("Korean (EUC-KR)"),
    "cp850": gettext_noop("Western European (MS-DOS)"),
    "cp852": gettext_noop("Central European (MS-DOS)"),
    "cp866": gettext_noop("Cyrillic (MS-DOS)"),
    "koi8-r": gettext_noop("Cyrillic (KOI8-R)"),
    "koi8-u": gettext_noop("Cyrillic (KOI8-U)"),
    "euc-jp": gettext_noop("Japanese (EUC-JP)"),
    "iso-8859-15": gettext_noop("Western European (ISO 8859-15)"),
}
TAG_MODES = {"replace": gettext_noop("Replace"), "add": gettext_noop("Add")}
GUESSED = gettext_noop("Guessed from the values.")
NO_HEADER = {"0": gettext_noop("None of these: number the columns")}
SHOWN_CELLS = 4  # of a row that may be the header
LONG_CELL = 20  # characters
LONG = 40  # characters of a metadata key in a choice


# `label` of these functions: marked, but not yet translated.


def option_field(name: str, label: str) -> forms.CharField:
    """A text field for an option of an import. Its rule runs in `cleaned`."""
    return forms.CharField(
        required=False, label=gettext_lazy(label), help_text=gettext_lazy(OPTIONS[name].help),
        widget=UnfoldAdminTextInputWidget,
    )  # fmt: skip


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
        required=False, choices=lambda: [*translated(choices).items()], label=gettext_lazy(label),
        help_text=gettext_lazy(OPTIONS[name].help), widget=UnfoldAdminSelectWidget,
    )  # fmt: skip


def switch_field(name: str, label: str) -> forms.BooleanField:
    return forms.BooleanField(
        required=False, label=gettext_lazy(label), help_text=gettext_lazy(OPTIONS[name].help),
        widget=UnfoldBooleanWidget,
    )  # fmt: skip


class TagsField(forms.CharField):
    """Tags as comma-separated text; their rule runs in `cleaned`."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return tags_text(value) if isinstance(value, list) else value


class OptionsForm(forms.Form):
    mode = forms.ChoiceField(
        choices=Import.Mode.choices,
        label=gettext_lazy("Contacts"),
        widget=UnfoldAdminSelectWidget,
    )
    region = option_field("region", gettext_noop("Country of phones without +"))
    phones_have_country_code = switch_field(
        "phones_have_country_code", gettext_noop("Phones have their country code")
    )
    tags = choice_field("tags", TAG_MODES, gettext_noop("Tags of a row"))
    tag = TagsField(
        required=False,
        label=gettext_lazy("Tags for all contacts"),
        help_text=format_lazy(
            "{} {}",
            gettext_lazy(OPTIONS["tag"].help),
            gettext_lazy("Commas separate several tags."),
        ),
    )
    dates = choice_field("dates", DATES, gettext_noop("Dates"))
    timezone = option_field("timezone", gettext_noop("Time zone"))
    strict = switch_field("strict", gettext_noop("Wrong cells fail their record"))
    clear_marker = option_field("clear_marker", gettext_noop("Clear marker"))
    encoding = option_field("encoding", READING["encoding"])
    delimiter = option_field("delimiter", READING["delimiter"])
    header_line = option_field("header_line", gettext_noop("Header line"))
    sheet = option_field("sheet", READING["sheet"])


class UploadForm(TenantForm, OptionsForm):
    """The upload of a file. The next page shows a preview before anything is imported."""

    file = forms.FileField(
        label=gettext_lazy("File"),
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": KINDS}),
        help_text=gettext_lazy(
            "A workbook (XLSX, XLS, ODS), CSV, vCard, JSON or NDJSON, gzipped or not. The "
            "next page shows a preview; nothing is imported before you confirm it."
        ),
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
    widget = UnfoldAdminSelectWidget(choices=choices) if choices else forms.HiddenInput()
    return forms.CharField(required=False, label=_(READING[name]), widget=widget)


def reading_choices(options: dict[str, Any], preview: Preview) -> dict[str, list[Any]]:
    """The choices for each option of `READING`; none where the file has nothing to choose."""
    source = preview.source
    known = delimiters() if source.kind.has_delimiter else {}
    sheets = {name: name for name in source.sheets} if len(source.sheets) > 1 else {}
    return {
        "sheet": detected(options, "sheet", sheets, source.sheet),
        "encoding": encoding_choices(options, preview) if source.encoding else [],
        "delimiter": detected(options, "delimiter", known, source.delimiter),
        "header_line": header_choices(options, preview) if source.kind.has_header else [],
    }


def delimiters() -> dict[str, str]:
    return {
        ",": _("Comma ,"),
        ";": _("Semicolon ;"),
        r"\t": pgettext("character", "Tab"),
        "|": _("Bar |"),
    }


def detected(
    options: dict[str, Any], name: str, known: dict[str, str], found: str
) -> list[tuple[str, Any]]:
    """The choice to let the import find out, and then `known`, value → label. `found`: what the
    file is read with now."""
    if not known:
        return []
    now = spelled(options.get(name))
    found = known.get(spelled(found), found)
    first = _("Detect") if now else _("Detected: %(value)s") % {"value": found}
    given = {now: now} if now and now not in known else {}
    return [("", first), *(given | known).items()]


def encoding_choices(options: dict[str, Any], preview: Preview) -> list[tuple[str, Any]]:
    """If the encoding is not certain, the encodings in question come first, with some names as
    they read in each."""
    known = translated(ENCODINGS)
    choices = detected(options, "encoding", known, preview.source.encoding)
    if not preview.encodings:
        return choices
    questioned = [
        (name, Truncator(with_names(known.get(name, name), words)).chars(2 * LONG))
        for name, words in preview.encodings.items()
    ]
    others = [choice for choice in choices if choice[0] and choice[0] not in preview.encodings]
    return [
        ("", _("Not certain: choose")),
        (_("Names in each"), questioned),
        (_("Other encodings"), others),
    ]


def with_names(encoding: str, names: list[str]) -> str:
    """An encoding with names of contacts as it reads them."""
    return _("%(encoding)s: %(names)s") % {"encoding": encoding, "names": ", ".join(names)}


def header_choices(options: dict[str, Any], preview: Preview) -> list[tuple[str, Any]]:
    rows = {
        str(row.line): _("Line %(line)s: %(cells)s")
        % {"line": row.line, "cells": sample(row.cells)}
        for row in preview.first_rows
    }
    found = _("line %(line)s") % {"line": preview.source.header_line}
    return detected(options, "header_line", rows | translated(NO_HEADER), found)


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
        label=gettext_lazy("Columns that are not imported become metadata"),
        widget=UnfoldBooleanWidget,
    )
    names_last_first = switch_field("names_last_first", gettext_noop("Names are “last, first”"))
    consent_since = forms.CharField(
        required=False,
        label=gettext_lazy("Consent holds since"),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text=gettext_lazy(
            "“Yes” is an opt-in and “no” an opt-out on this day, unless a later decision is "
            "known. Blank cells change nothing."
        ),
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
            column = Truncator(preview.last_first).chars(LONG)
            seen = _("Most cells of “%(column)s” are such names.") % {"column": column}
            switch = self.fields["names_last_first"]
            switch.help_text = f"{switch.help_text} {seen}"
        # A map names columns, so a column without a name cannot be mapped.
        self.columns = {column: n for n, column in enumerate(header) if column}
        defined = {f"metadata.{one.key}": one.label for one in fields_of(job.tenant)}
        for column, n in self.columns.items():
            field = preview.fields.get(column, "")
            self.fields[f"field_{n}"] = forms.ChoiceField(
                choices=choices(column, field, defined), initial=field, label=titles[n],
                required=False, widget=UnfoldAdminSelectWidget,
                help_text=_(GUESSED) if column in preview.proposal.guessed else "",
            )  # fmt: skip
            attrs = {
                "placeholder": _("Key"),
                "aria-label": _("Metadata key of %(column)s") % {"column": titles[n]},
            }
            self.fields[f"key_{n}"] = forms.CharField(
                required=False, widget=UnfoldAdminTextInputWidget(attrs=attrs)
            )

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
            self.add_error(f"key_{number}", _("Name the key."))
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
    """The name of one of `ALIASES`, for people."""
    return _("Consent (yes/no)") if field == CONSENT else capfirst(field_in_words(field))


def key_label(field: str) -> str:
    """The name of a field such as `metadata.city`, for people."""
    key = Truncator(field.removeprefix(ANOTHER)).chars(LONG)
    return _("metadata: %(key)s") % {"key": key}


def choices(column: str, field: str, defined: dict[str, str]) -> list[tuple[str, Any]]:
    """The choices for a column. `field`: the field to which the column is mapped now. `defined`:
    the labels of the fields that the tenant defines, by field."""
    found = dict.fromkeys([f"metadata.{column}", *[field] * field.startswith("metadata.")])
    keys = [key for key in found if key not in defined]
    own = [(_("Your fields"), [*defined.items()])] if defined else []
    metadata = [*((key, key_label(key)) for key in keys), (ANOTHER, _("metadata: another key…"))]
    return [
        ("", _("Do not import")),
        (_("Fields"), [(name, label(name)) for name in ALIASES]),
        *own,
        (_("Metadata"), metadata),
    ]
