"""The addresses of the API below `/api/v1/`. The OpenAPI document uses the names."""

from django.urls import path

from . import (
    bulk,
    bulk_actions,
    changes,
    contacts,
    exports,
    finding,
    imports,
    lookup,
    merging,
    saved_views,
    webhooks,
)

actions = [
    path("actions/create-contact", contacts.CreateContact.as_view(), name="create-contact"),
    path("actions/create-contacts", bulk.CreateContacts.as_view(), name="create-contacts"),
    path("actions/update-contact", contacts.UpdateContact.as_view(), name="update-contact"),
    path("actions/get-contact", contacts.GetContact.as_view(), name="get-contact"),
    path("actions/get-contacts", lookup.GetContacts.as_view(), name="get-contacts"),
    path("actions/search-contacts", finding.SearchContacts.as_view(), name="search-contacts"),
    path("actions/list-contacts", finding.ListContacts.as_view(), name="list-contacts"),
    path("actions/list-changes", changes.ListChanges.as_view(), name="list-changes"),
    path("actions/list-fields", lookup.ListFields.as_view(), name="list-fields"),
    path("actions/list-views", saved_views.ListViews.as_view(), name="list-views"),
    path("actions/record-message", contacts.RecordMessage.as_view(), name="record-message"),
    path("actions/add-tag", contacts.AddTag.as_view(), name="add-tag"),
    path("actions/remove-tag", contacts.RemoveTag.as_view(), name="remove-tag"),
    path("actions/list-tags", finding.ListTags.as_view(), name="list-tags"),
    path("actions/rename-tag", bulk_actions.RenameTag.as_view(), name="rename-tag"),
    path("actions/merge-tags", bulk_actions.MergeTags.as_view(), name="merge-tags"),
    path("actions/delete-tag", bulk_actions.DeleteTag.as_view(), name="delete-tag"),
    path("actions/record-consent", contacts.RecordConsent.as_view(), name="record-consent"),
    path("actions/merge-contacts", merging.MergeContacts.as_view(), name="merge-contacts"),
    path("actions/undo", merging.Undo.as_view(), name="undo"),
    path(
        "actions/remove-former-phone",
        contacts.RemoveFormerPhone.as_view(),
        name="remove-former-phone",
    ),
    path("actions/bulk-update", bulk_actions.BulkUpdate.as_view(), name="bulk-update"),
    path("actions/bulk-delete", bulk_actions.BulkDelete.as_view(), name="bulk-delete"),
    path("actions/delete-contact", contacts.DeleteContact.as_view(), name="delete-contact"),
    path("actions/erase-contact", bulk_actions.EraseContact.as_view(), name="erase-contact"),
]

import_paths = [
    path("imports", imports.CreateImport.as_view(), name="create-import"),
    path("imports/<str:id>", imports.GetImport.as_view(), name="get-import"),
    path("imports/<str:id>/errors", imports.GetImportErrors.as_view(), name="get-import-errors"),
]

bulk_paths = [path("bulk/<str:id>", bulk_actions.GetBulk.as_view(), name="get-bulk")]

export_paths = [
    path("exports", exports.CreateExport.as_view(), name="create-export"),
    path("exports/<str:id>", exports.GetExport.as_view(), name="get-export"),
    path("exports/<str:id>/file", exports.GetExportFile.as_view(), name="get-export-file"),
]

webhook_paths = [
    path("webhooks", webhooks.Webhooks.as_view(), name="webhooks"),
    path("webhooks/<str:id>", webhooks.OneWebhook.as_view(), name="webhook"),
    path("webhooks/<str:id>/rotate", webhooks.RotateWebhook.as_view(), name="rotate-webhook"),
    path("webhooks/<str:id>/test", webhooks.TestWebhook.as_view(), name="test-webhook"),
    path("webhooks/<str:id>/deliveries", webhooks.ListDeliveries.as_view(), name="list-deliveries"),
    path("webhooks/<str:id>/replay", webhooks.ReplayWebhook.as_view(), name="replay-webhook"),
]

urlpatterns = [*actions, *import_paths, *export_paths, *bulk_paths, *webhook_paths]
