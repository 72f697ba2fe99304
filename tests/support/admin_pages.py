"""The addresses of all pages of the admin."""

from types import SimpleNamespace
from typing import Any

from django.urls import reverse

# The pages that the documentation shows: docs/pictures/NAME.webp. `make pictures` renews them.
PICTURES = {"overview", "contacts", "filters", "contact", "changes", "import-preview"}


def addresses(rows: SimpleNamespace) -> dict[str, str]:
    def page(name: str, *arguments: Any) -> str:
        return reverse(f"admin:{name}", args=arguments)

    contact, tag, action = rows.contact.pk, rows.tag.pk, rows.action.pk
    return {
        "overview": page("index"),
        "contacts": page("contacts_contact_changelist"),
        "contacts-filtered": f"{page('contacts_contact_changelist')}?tag={tag}&consent=in",
        "contacts-nobody": f"{page('contacts_contact_changelist')}?q=nobody",
        "contact": page("contacts_contact_change", contact),
        "contact-alike": page("contacts_contact_change", rows.alike.pk),
        "contact-new": page("contacts_contact_add"),
        "changes": page("contacts_change_changelist"),
        "contact-history": page("contacts_contact_history", contact),
        "contact-consent": page("contacts_contact_consent", contact),
        "contact-proof": page("contacts_contact_proof", contact),
        "contact-erase": page("contacts_contact_erase", contact),
        "erase-phone": page("contacts_contact_erase_phone"),
        "undo": page("contacts_contact_undo", action),
        "bulk-action": page("contacts_bulkaction_change", action),
        "failed-jobs": page("failed_jobs"),
        "failed-job": page("retry_job", "bulk", rows.stopped.pk),
        "bulk-actions": page("contacts_bulkaction_changelist"),
        "duplicates": page("contacts_duplicate_changelist"),
        "duplicates-dismissed": f"{page('contacts_duplicate_changelist')}?state=dismissed",
        "duplicates-merge-all": f"{page('contacts_duplicate_all')}?reason=email&do=merge",
        "saved-views": page("contacts_savedview_changelist"),
        "saved-view": page("contacts_savedview_change", rows.view.pk),
        "tags": page("contacts_tag_changelist"),
        "tag": page("contacts_tag_change", tag),
        "tag-merge": page("contacts_tag_merge", tag),
        "tag-delete": page("contacts_tag_delete", tag),
        "imports": page("contacts_import_changelist"),
        "import": page("contacts_import_change", rows.job.pk),
        "import-new": page("contacts_import_add"),
        "exports": page("contacts_export_changelist"),
        "export": page("contacts_export_change", rows.export.pk),
        "export-running": page("contacts_export_change", rows.running.pk),
        "fields": page("contacts_metadatafield_changelist"),
        "field-new": page("contacts_metadatafield_add"),
        "tokens": page("tenants_apitoken_changelist"),
        "token": page("tenants_apitoken_change", rows.token.pk),
        "token-new": page("tenants_apitoken_add"),
        "token-rotate": page("tenants_apitoken_rotate", rows.token.pk),
        "users": page("tenants_user_changelist"),
        "user": page("tenants_user_change", rows.user.pk),
        "two-factor": page("two_factor"),
        "preferences": page("preferences"),
        "tenants": page("tenants_tenant_changelist"),
        "tenant-new": page("tenants_tenant_add"),
        "webhooks": page("contacts_webhook_changelist"),
        "landing": reverse("landing"),
    }
