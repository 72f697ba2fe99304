"""Contacts and tags for the staff, by the same rules as the API."""

import json
from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.db import DatabaseError, models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django_tasks_db.admin import DBTaskResultAdmin
from django_tasks_db.models import DBTaskResult

from tenants.admin import TenantForm, TenantOwnedAdmin, superusers_only, user_of
from tenants.models import Tenant

from . import rules, strict_json, uploads, webhooks
from .columns import UnknownColumn
from .exports import export
from .history import consent_of
from .history_admin import HistoryAdmin
from .models import Contact, ContactQuerySet, Import, Tag, TagQuerySet
from .serializers import ImportForm as ImportRules
from .tabular import UnreadableFile
from .views import error_file
from .webhooks import Delivery, DeliveryQuerySet, Webhook


class RuleFormField(forms.Field):
    """A form field that one of `rules` cleans.

    Its page carries the value it showed, so that saving writes only what the user changed,
    not what a program has changed meanwhile.
    """

    widget: type[forms.Widget] = AdminTextInputWidget

    def __init__(self, rule: Callable[[Any], Any], **options: Any) -> None:
        self.rule = rule
        super().__init__(required=False, show_hidden_initial=True, **options)

    def to_python(self, value: Any) -> Any:
        try:
            return self.rule(value)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


class TagNamesFormField(RuleFormField):
    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


class MetadataFormField(RuleFormField):
    widget = AdminTextareaWidget

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compares spellings: to Python, true and 1 are equal."""
        try:
            given = self.to_python(data)
        except forms.ValidationError:
            return True
        return rules.spelled(given) != rules.spelled(initial)

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value


def metadata_from_text(text: str | None) -> dict[str, Any]:
    return rules.metadata(strict_json.loads(text) if text and text.strip() else None)


class ContactForm(TenantForm):
    phone = forms.CharField(
        widget=AdminTextInputWidget,
        show_hidden_initial=True,
        help_text="With + and the country code, in any spelling.",
    )
    name = RuleFormField(rules.name)
    email = RuleFormField(rules.email)
    tags = TagNamesFormField(rules.tags, help_text="Separated by commas, in this order.")
    locale = RuleFormField(rules.locale)
    metadata = MetadataFormField(metadata_from_text, help_text="A JSON object.")

    class Meta:
        model = Contact
        fields = ["tenant", "phone", "name", "email", "tags", "locale", "metadata"]

    def clean_phone(self) -> str:
        tenant = self.row_tenant()
        region = tenant.default_region if tenant else ""
        try:
            phone = rules.phone(self.cleaned_data["phone"], region)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        return self.refuse_duplicate("phone", phone, f"There is a contact with {phone} already.")


class TagFilter(admin.SimpleListFilter):
    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        tags = model_admin.visible(request, Tag.objects.order_by("name"))
        return list(tags.values_list("pk", "name"))

    def queryset(self, request: HttpRequest, contacts: models.QuerySet) -> models.QuerySet:
        if self.value() not in {key for key, _ in self.lookup_choices}:
            return contacts
        return contacts.filter(links__tag=self.value())


class RacingFormAdmin(TenantOwnedAdmin):
    """Where a program writes or deletes the row between a form's check and its save, the form is
    checked again."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except DatabaseError:
            return super().changeform_view(request, *args, **kwargs)


@admin.register(Contact)
class ContactAdmin(HistoryAdmin, RacingFormAdmin):
    form = ContactForm
    list_display = ["phone", "name", "email", "tag_list", "source", "created_at"]
    list_filter = [TagFilter, "source"]
    actions = ["export_csv", "export_ndjson"]
    ordering = ["-pk"]  # ULIDs order by time
    search_fields = ["name", "email", "phone"]  # shows the box; `matching` does the search
    search_help_text = "Parts of the name or e-mail, or a phone in any spelling"
    fields = ["tenant", "phone", "name", "email", "tags", "locale", "metadata", "consent", "id",
              "source", "opted_in_at", "opted_out_at", "last_message_at", "total_messages",
              "created_at", "updated_at"]  # fmt: skip
    readonly_fields = [
        "consent", *(field.name for field in Contact._meta.concrete_fields if not field.editable),
    ]  # fmt: skip

    @admin.display
    def consent(self, contact: Contact) -> str:
        return self.get_empty_value_display() if contact._state.adding else consent_of(contact)

    @admin.display(description="tags")
    def tag_list(self, contact: Contact) -> str:
        return ", ".join(contact.tags)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet, search_term: str
    ) -> tuple[models.QuerySet, bool]:
        tenant = user_of(request).tenant
        region = tenant.default_region if tenant else ""
        contacts = words_found = cast("ContactQuerySet", queryset)
        for word in search_term.split():
            words_found = words_found.matching(word, region)
        return words_found | contacts.matching(search_term.strip(), region), False

    @admin.action(description="Export selected contacts as CSV", permissions=["view"])
    def export_csv(self, request: HttpRequest, contacts: ContactQuerySet) -> HttpResponseBase:
        return download(contacts, "csv", "text/csv; charset=utf-8")

    @admin.action(description="Export selected contacts as NDJSON", permissions=["view"])
    def export_ndjson(self, request: HttpRequest, contacts: ContactQuerySet) -> HttpResponseBase:
        return download(contacts, "ndjson", "application/x-ndjson")

    def save_model(self, request: HttpRequest, obj: Contact, form: Any, change: bool) -> None:
        if not change:
            obj.source = Contact.Source.MANUAL
            obj.save()
        elif form.changed_data:
            obj.save(update_fields=form.changed_data)


def download(contacts: ContactQuerySet, form: str, content_type: str) -> HttpResponseBase:
    name = f"contacts-{timezone.now():%Y-%m-%d}.{form}"
    return StreamingHttpResponse(
        export(contacts, form),
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


class TagForm(TenantForm):
    name = RuleFormField(rules.tag)

    class Meta:
        model = Tag
        fields = ["tenant", "name"]

    def clean_name(self) -> str:
        name = self.cleaned_data["name"]
        if not name:
            raise forms.ValidationError("The name is required.")
        return self.refuse_duplicate("name", name, f"There is a tag “{name}” already.")


@admin.register(Tag)
class TagAdmin(RacingFormAdmin):
    form = TagForm
    list_display = ["name", "contacts_count", "created_at"]
    search_fields = ["name"]
    fields = ["tenant", "name", "id", "created_at"]
    readonly_fields = ["id", "created_at"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        tags = cast("TagQuerySet", super().get_queryset(request))
        return tags.with_contact_counts()

    @admin.display(description="contacts", ordering="contacts_count")
    def contacts_count(self, tag: Any) -> int:
        return tag.contacts_count

    def get_deleted_objects(self, tags: Any, request: HttpRequest) -> Any:
        """What the confirmation page says: not a line for each of maybe a million links."""
        names = [str(tag) for tag in tags]
        links = sum(tag.links.count() for tag in tags)
        return names, {"tags": len(names), "contacts that lose a tag": links}, set(), []


class ImportForm(TenantForm):
    """What an import is asked for; the rules are those of the API."""

    file = forms.FileField(help_text="CSV or NDJSON, or one of them gzipped.")
    mode = forms.ChoiceField(choices=Import.Mode.choices)
    map = forms.CharField(
        required=False,
        widget=AdminTextareaWidget(attrs={"rows": 4}),
        help_text="For columns not known by their names, each on a line: Cell=phone or "
        "Town=metadata.city.",
    )
    rest_to_metadata = forms.BooleanField(
        required=False, label="Other columns to metadata", help_text="Else they are left out."
    )
    region = forms.CharField(
        required=False, help_text="The country of phones without +, such as FR; else the tenant's."
    )
    clear_marker = forms.CharField(
        required=False, initial="--", help_text="A cell that empties its field; blank ones do not."
    )
    encoding = forms.CharField(required=False, help_text="Where it is not found out rightly.")
    delimiter = forms.CharField(required=False, help_text="Likewise.")

    class Meta:
        model = Import
        fields = ["tenant", "dry_run"]

    def clean(self) -> None:
        super().clean()
        tenant, given = self.row_tenant(), dict(self.cleaned_data)
        if self.errors or tenant is None:
            return
        given["map"] = [line for line in given["map"].splitlines() if line.strip()]
        options = ImportRules(data=given)
        if not options.is_valid():
            for field, sentences in options.errors.items():
                self.add_error(field, [str(sentence) for sentence in sentences])
            return
        self.keep(tenant, options.validated_data)

    def keep(self, tenant: Tenant, options: dict[str, Any]) -> None:
        file = options.pop("file")
        job = self.instance
        job.tenant, job.file_name = tenant, options.pop("file_name") or file.name
        job.dry_run, job.options = options.pop("dry_run"), options
        try:
            uploads.store(job, file)
        except UnknownColumn as error:
            self.add_error("map", str(error))
        except UnreadableFile as error:
            self.add_error("file", str(error))


@admin.register(Import)
class ImportAdmin(TenantOwnedAdmin):
    """A file goes in, and what became of it is shown; nothing of that can be changed."""

    form = ImportForm
    list_display = ["file_name", "state", "dry_run", "rows", *Import.COUNTS, "started_at"]
    list_filter = ["state", "dry_run"]
    ordering = ["-pk"]
    given = ["tenant", "file", "mode", "map", "rest_to_metadata", "region", "clear_marker",
             "encoding", "delimiter", "dry_run"]  # fmt: skip
    shown = ["tenant", "file_name", "state", "problem", "dry_run", "mode", "columns", "rows",
             *Import.COUNTS, "errors", "actor", "started_at", "finished_at"]  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fields = self.shown if obj else self.given
        return [name for name in fields if name != "tenant" or request.user.is_superuser]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.shown if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_over = obj is None or not isinstance(obj, Import) or obj.is_over
        return is_over and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, jobs: Any, request: HttpRequest) -> Any:
        """What the confirmation page says: not a line for each of maybe a million failures."""
        running = [str(job) for job in jobs if not job.is_over]
        failures = sum(job.failures.count() for job in jobs)
        lacking = {"import"} if running else set()
        return [str(job) for job in jobs], {"imports": len(jobs), "failures": failures}, lacking, []

    def delete_model(self, request: HttpRequest, obj: Import) -> None:
        uploads.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet) -> None:
        for job in queryset:
            uploads.delete(job)

    def save_model(self, request: HttpRequest, obj: Import, form: Any, change: bool) -> None:
        obj.actor = f"user:{user_of(request).pk}"
        uploads.queue(obj)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        may_undo = self.admin_site.get_model_admin(Contact).may_undo(request)  # type: ignore[attr-defined]
        context = {"may_undo": may_undo} | (extra_context or {})
        return super().change_view(request, object_id, form_url, context)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.errors_view)
        name = "contacts_import_errors"
        return [path("<str:pk>/errors/", view, name=name), *super().get_urls()]

    def errors_view(self, request: HttpRequest, pk: str) -> HttpResponseBase:
        job = self.get_object(request, pk)
        if job is None or not self.has_view_permission(request, job):
            raise Http404
        try:
            return error_file(job)
        except FileNotFoundError:
            raise Http404 from None

    @admin.display
    def mode(self, job: Import) -> str:
        return job.options["mode"]

    @admin.display
    def columns(self, job: Import) -> str:
        return ", ".join(f"{a} → {b}" for a, b in job.options.get("fields", {}).items())

    @admin.display(description="failed records")
    def errors(self, job: Import) -> str:
        if not job.is_over or not uploads.errors_of(job).exists():
            return "-"
        return format_html(
            '<a href="{}">Download</a>', reverse("admin:contacts_import_errors", args=[job.pk])
        )


class WebhookForm(TenantForm):
    """The rules are those of the API."""

    url = RuleFormField(webhooks.endpoint, help_text="HTTPS, at a public address.")
    events = forms.MultipleChoiceField(
        choices=[(name, name) for name in webhooks.EVENTS],
        initial=webhooks.EVENTS,
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = Webhook
        fields = ["tenant", "url", "events", "import_rows"]

    def clean(self) -> None:
        super().clean()
        tenant = self.row_tenant()
        try:
            if self.instance._state.adding and tenant:
                webhooks.refuse_too_many(tenant)
        except ValueError as error:
            self.add_error(None, str(error))


@admin.register(Webhook)
class WebhookAdmin(RacingFormAdmin):
    """Its secret is shown in the answer that makes or changes it, and nowhere else."""

    form = WebhookForm
    list_display = ["url", "events_told", "state", "last_success_at", "created_at"]
    ordering = ["-pk"]
    fields = ["tenant", "url", "events", "import_rows"]
    shown = ["id", "state", "waiting", "last_success_at", "rotated_at", "created_at"]
    readonly_fields = shown
    actions = ["rotate", "test", "resume", "replay"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fields = super().get_fields(request, obj)
        return [*fields, *self.shown] if obj else fields

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=form.changed_data or ["url"])
        else:
            obj.establish()

    def response_add(
        self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self.show_secret(request, obj)

    def show_secret(self, request: HttpRequest, webhook: Webhook) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": "Secret of the webhook", "webhook": webhook, "secret": webhook.secret,
            "opts": self.opts,
        }  # fmt: skip
        return TemplateResponse(request, "admin/contacts/webhook/secret.html", context)

    @admin.display(description="events")
    def events_told(self, webhook: Webhook) -> str:
        return "all" if webhook.events == webhooks.EVENTS else ", ".join(webhook.events)

    @admin.display
    def state(self, webhook: Webhook) -> str:
        if webhook.paused_at:
            return f"paused since {formats.localize(timezone.localtime(webhook.paused_at))}"
        if webhook.failing_since:
            return f"failing since {formats.localize(timezone.localtime(webhook.failing_since))}"
        return "active"

    @admin.display(description="deliveries")
    def waiting(self, webhook: Webhook) -> str:
        """Counted no further than a person would."""
        address = f"{reverse('admin:contacts_delivery_changelist')}?q={webhook.pk}"
        counts = ", ".join(
            f"{webhook.mine().filter(state=state)[:1001].count()} {state}"
            for state in (Delivery.State.PENDING, Delivery.State.DEAD)
        )
        return format_html('<a href="{}">{}</a>', address, counts.replace("1001", "over 1,000"))

    @admin.action(description="Give the selected webhook a new secret", permissions=["change"])
    def rotate(self, request: HttpRequest, found: models.QuerySet) -> HttpResponse | None:
        if len(found) != 1:
            self.message_user(request, "Select one webhook.", messages.ERROR)
            return None
        found[0].rotate()
        self.log_change(request, found[0], "New secret.")
        return self.show_secret(request, found[0])

    @admin.action(description="Send a test", permissions=["change"])
    def test(self, request: HttpRequest, found: models.QuerySet) -> None:
        for webhook in found:
            webhook.test()
        self.message_user(request, "They are told within a few seconds.")

    @admin.action(description="Go on with paused webhooks", permissions=["change"])
    def resume(self, request: HttpRequest, found: models.QuerySet) -> None:
        for webhook in found:
            webhook.resume()
        self.message_user(request, "What has waited is sent now.")

    @admin.action(description="Send again what is dead", permissions=["change"])
    def replay(self, request: HttpRequest, found: models.QuerySet) -> None:
        dead = Delivery.objects.filter(webhook__in=found, state=Delivery.State.DEAD)
        self.message_user(request, f"Deliveries to be sent again: {dead.replay()}.")


@admin.register(Delivery)
class DeliveryAdmin(TenantOwnedAdmin):
    """What webhooks were told, and what waits."""

    list_display = ["id", "event", "webhook", "state", "attempts", "last_status", "problem",
                    "due_at", "finished_at"]  # fmt: skip
    list_filter = ["state", "event"]
    ordering = ["-pk"]
    search_fields = ["webhook"]  # shows the box
    search_help_text = "The id of a webhook, or of a delivery"
    actions = ["replay"]
    shown = ["webhook", "event", "change_id", "state", "attempts", "last_status", "problem",
             "created_at", "due_at", "finished_at"]  # fmt: skip
    fields = ["tenant", *shown]
    readonly_fields = shown

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        return ["tenant", "webhook"]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet, search_term: str
    ) -> tuple[models.QuerySet, bool]:
        if not (text := search_term.strip()):
            return queryset, False
        try:
            pk = rules.contact_id(text)
        except ValueError:
            return queryset.none(), False
        return queryset.filter(models.Q(webhook=pk) | models.Q(pk=pk)), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Send the selected deliveries again", permissions=["change"])
    def replay(self, request: HttpRequest, found: DeliveryQuerySet) -> None:
        over = found.exclude(state=Delivery.State.PENDING)
        self.message_user(request, f"Deliveries to be sent again: {over.replay()}.")


admin.site.unregister(DBTaskResult)


@admin.register(DBTaskResult)
class TaskAdmin(DBTaskResultAdmin):
    has_module_permission = superusers_only
    has_view_permission = superusers_only
