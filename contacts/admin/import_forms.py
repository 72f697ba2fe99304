"""The forms of an import: the upload, and the preview with the choice of columns."""

from hashlib import sha256
from typing import Any

from django import forms
from django.utils.text import Truncator
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from contacts.importing import uploads
from contacts.importing.cells import tags_text
from contacts.importing.columns import ALIASES
from contacts.importing.formats import FORMATS
from contacts.importing.options import OPTIONS, STORED, BadOptions, clean
from contacts.importing.preview import Preview
from contacts.importing.records import UnreadableFile
from contacts.models import Import
from contacts.values import rules
from tenants.admin import TenantForm
from tenants.models import Tenant

KINDS = ",".join([*(suffix for each in FORMATS for suffix in each.suffixes), ".gz"])
ANOTHER = "metadata."  # the choice of a metadata key that the user types
DATES = {
    "iso": "Year-month-day (2026-05-07)",
    "dmy": "Day, month, year (07/05/2026)",
    "mdy": "Month, day, year (05/07/2026)",
}
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


class MappingForm(OptionsForm):
    """The field of each column, and how the file is read. After `is_valid`, `options` has the
    options of the import."""

    seen = forms.CharField(widget=forms.HiddenInput)
    rest_to_metadata = forms.BooleanField(
        required=False,
        label="Columns left out become metadata",
        widget=UnfoldBooleanWidget,
    )

    def __init__(self, job: Import, preview: Preview, data: Any = None) -> None:
        header, titles = preview.source.header, preview.source.titles
        self.job, self.options = job, job.options
        self.shape = sha256(rules.spelled(header).encode()).hexdigest()
        super().__init__(data, initial=job.options | {"seen": self.shape})
        # A map names columns, so a column without a name cannot be mapped.
        self.columns = {column: n for n, column in enumerate(header) if column}
        for column, n in self.columns.items():
            field = preview.fields.get(column, "")
            self.fields[f"field_{n}"] = forms.ChoiceField(
                choices=choices(column, field), initial=field, label=titles[n], required=False,
                widget=UnfoldAdminSelectWidget,
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
        names = ("encoding", "delimiter", "rest_to_metadata")
        return any(self.options[name] != self.job.options[name] for name in names)

    def clean(self) -> None:
        super().clean()
        chosen = {column: self.chosen(n) for column, n in self.columns.items()}
        if options := cleaned(self):
            read = {name: options[name] for name in STORED}
            self.options = read | {"map": self.column_map(chosen, read["rest_to_metadata"])}

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


def label(field: str) -> str:
    kind, _, key = field.partition(".")
    if key:
        return f"metadata: {Truncator(key).chars(LONG)}"
    return kind.replace("_", " ")


def choices(column: str, field: str) -> list[tuple[str, Any]]:
    """The choices for a column. `field`: the field to which the column is mapped now."""
    keys = dict.fromkeys([f"metadata.{column}", *[field] * field.startswith("metadata.")])
    return [
        ("", "Do not import"),
        ("Fields", [(name, label(name).capitalize()) for name in ALIASES]),
        ("Metadata", [*((key, label(key)) for key in keys), (ANOTHER, "metadata: another key…")]),
    ]
