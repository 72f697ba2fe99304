"""The forms of an import; their rules are those of the API."""

from collections import Counter
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

from contacts.api.imports import ImportForm, ImportOptions
from contacts.importing import uploads
from contacts.importing.columns import ALIASES
from contacts.importing.preview import Preview
from contacts.importing.records import UnreadableFile
from contacts.models import Import
from contacts.values import rules
from tenants.admin import TenantForm
from tenants.models import Tenant

from .forms import checked

KINDS = ".csv,.tsv,.txt,.ndjson,.jsonl,.json,.gz"
ANOTHER = "metadata."  # a key that the field beside it names
LONG = 40  # characters of a column's name in a choice


class OptionsForm(forms.Form):
    mode = forms.ChoiceField(
        choices=Import.Mode.choices, label="Contacts", widget=UnfoldAdminSelectWidget
    )
    region = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="The country of phones without +, such as FR; else the tenant's.",
    )
    clear_marker = forms.CharField(
        required=False,
        initial="--",
        widget=UnfoldAdminTextInputWidget,
        help_text="A cell that empties its field; blank ones do not.",
    )
    encoding = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Where it is not found out rightly, such as cp1252.",
    )
    delimiter = forms.CharField(
        required=False, widget=UnfoldAdminTextInputWidget, help_text="Likewise, such as ; or \\t."
    )


class UploadForm(TenantForm, OptionsForm):
    """A file, to be looked at before it is brought in."""

    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": KINDS}),
        help_text="CSV or NDJSON, or one of them gzipped. Nothing is brought in before you have "
        "seen what it would be.",
    )

    class Meta:
        model = Import
        fields = ["tenant"]

    def clean(self) -> None:
        super().clean()
        tenant = self.row_tenant()
        if self.errors or tenant is None:
            return
        if options := checked(self, ImportForm, self.cleaned_data):
            self.keep(tenant, options)

    def keep(self, tenant: Tenant, options: dict[str, Any]) -> None:
        file = options.pop("file")
        job = self.instance
        job.tenant, job.file_name = tenant, options.pop("file_name") or file.name
        job.dry_run, job.options = options.pop("dry_run"), options
        try:
            uploads.store_draft(job, file)
        except UnreadableFile as error:
            self.add_error("file", str(error))


class MappingForm(OptionsForm):
    """Which field each column is, and how the file is read: what it says after `is_valid` are
    `options` of an import."""

    seen = forms.CharField(widget=forms.HiddenInput)
    rest_to_metadata = forms.BooleanField(
        required=False,
        label="Columns left out become metadata",
        widget=UnfoldBooleanWidget,
    )

    def __init__(self, job: Import, preview: Preview, data: Any = None) -> None:
        header = preview.source.header
        self.job, self.options = job, job.options
        self.shape = sha256(rules.spelled(header).encode()).hexdigest()
        super().__init__(data, initial=job.options | {"seen": self.shape})
        # One without a name cannot be told from others, nor be said to be something.
        self.columns = {column: n for n, column in enumerate(header) if column}
        for column, n in self.columns.items():
            field = preview.fields.get(column, "")
            self.fields[f"field_{n}"] = forms.ChoiceField(
                choices=choices(column, field), initial=field, label=column, required=False,
                widget=UnfoldAdminSelectWidget,
            )  # fmt: skip
            self.fields[f"key_{n}"] = forms.CharField(
                required=False,
                widget=UnfoldAdminTextInputWidget(
                    attrs={"placeholder": "Key", "aria-label": f"Metadata key of {column}"}
                ),
            )  # fmt: skip

    def is_of_other_columns(self) -> bool:
        """Whether the page showed a file that was read otherwise."""
        return self.data.get("seen") != self.shape

    def changes_columns(self) -> bool:
        """Whether there are other columns now than the page showed, or they are something else."""
        names = ("encoding", "delimiter", "rest_to_metadata")
        return any(self.options[name] != self.job.options[name] for name in names)

    def clean(self) -> None:
        super().clean()
        chosen = {column: self.chosen(n) for column, n in self.columns.items()}
        self.refuse_twice(chosen)
        if options := checked(self, ImportOptions, self.cleaned_data):
            how = {name: options[name] for name in options.keys() - {"dry_run", "file_name"}}
            self.options = how | {"map": self.said(chosen, how["rest_to_metadata"])}

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

    def refuse_twice(self, chosen: dict[str, str]) -> None:
        """A person who changes one column easily forgets the other; a program says both on
        purpose: then the later one wins."""
        twice = {field for field, number in Counter(chosen.values()).items() if number > 1}
        for field in sorted(twice - {"", ANOTHER}):
            names = [f"“{column}”" for column, given in chosen.items() if given == field]
            self.add_error(
                None, f"{' and '.join(names)} are both {label(field)}: leave one of them out."
            )

    def said(self, chosen: dict[str, str], rest: bool) -> dict[str, str]:
        """All that the page showed; but where others become metadata from now on, or no longer, it
        is not said of those."""
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
    """What a column can be; `field`, which it is, among them."""
    keys = dict.fromkeys([f"metadata.{column}", *[field] * field.startswith("metadata.")])
    return [
        ("", "Left out"),
        ("Fields", [(name, label(name).capitalize()) for name in ALIASES]),
        ("Metadata", [*((key, label(key)) for key in keys), (ANOTHER, "metadata: another key…")]),
    ]
