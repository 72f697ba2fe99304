from django.urls import path

from . import views

actions = [
    path("actions/create-contact", views.CreateContact.as_view(), name="create-contact"),
    path("actions/create-contacts", views.CreateContacts.as_view(), name="create-contacts"),
    path("actions/update-contact", views.UpdateContact.as_view(), name="update-contact"),
    path("actions/get-contact", views.GetContact.as_view(), name="get-contact"),
    path("actions/search-contacts", views.SearchContacts.as_view(), name="search-contacts"),
    path("actions/list-contacts", views.ListContacts.as_view(), name="list-contacts"),
    path("actions/list-changes", views.ListChanges.as_view(), name="list-changes"),
    path("actions/add-tag", views.AddTag.as_view(), name="add-tag"),
    path("actions/remove-tag", views.RemoveTag.as_view(), name="remove-tag"),
    path("actions/list-tags", views.ListTags.as_view(), name="list-tags"),
    path("actions/record-consent", views.RecordConsent.as_view(), name="record-consent"),
    path("actions/delete-contact", views.DeleteContact.as_view(), name="delete-contact"),
]

imports = [
    path("imports", views.CreateImport.as_view(), name="create-import"),
    path("imports/<str:id>", views.GetImport.as_view(), name="get-import"),
    path("imports/<str:id>/errors", views.GetImportErrors.as_view(), name="get-import-errors"),
]

webhooks = [
    path("webhooks", views.Webhooks.as_view(), name="webhooks"),
    path("webhooks/<str:id>", views.OneWebhook.as_view(), name="webhook"),
]

urlpatterns = [*actions, *imports, *webhooks]
