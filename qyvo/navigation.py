"""What stands in the admin's sidebar: for each user what that user may see."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

# Of each group its title, and of each model the icon (Material Symbols, which the theme brings).
GROUPS = [
    (
        "Contacts",
        {
            "contacts.contact": "person",
            "contacts.tag": "sell",
            "contacts.import": "upload_file",
            "contacts.bulkaction": "checklist",
        },
    ),
    (
        "Connections",
        {
            "tenants.apitoken": "key",
            "contacts.webhook": "webhook",
            "contacts.delivery": "outbox",
        },
    ),
    (
        "Administration",
        {
            "tenants.user": "group",
            "tenants.tenant": "domain",
            "auth.group": "shield_person",
            "django_tasks_database.dbtaskresult": "pending_actions",
        },
    ),
]


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    overview = {"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")}
    icons = {label: icon for _, models in GROUPS for label, icon in models.items()}
    seen = {model["model"]._meta.label_lower: model for app in apps(request) for model in app}
    groups = [
        {"title": title, "items": [item(seen[m], icons[m]) for m in models if m in seen]}
        for title, models in GROUPS
    ]
    return [{"items": [overview]}, *groups]


def account(request: HttpRequest) -> list[dict[str, str]]:
    """What stands in the menu of whoever is logged in, above the logout."""
    pages = {"Change password": "admin:password_change", "Two-factor login": "admin:two_factor"}
    return [{"title": title, "link": reverse(name)} for title, name in pages.items()]


def apps(request: HttpRequest) -> list[list[dict[str, Any]]]:
    return [app["models"] for app in admin.site.get_app_list(request)]


def item(model: dict[str, Any], icon: str) -> dict[str, Any]:
    return {"title": model["name"], "icon": icon, "link": model["admin_url"]}
