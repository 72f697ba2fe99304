"""The menus of the admin. Each user gets the entries that this user may see."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

# For each group: its title, and its models with their icons (Material Symbols, part of the theme).
GROUPS = [
    (
        gettext_noop("Contacts"),
        {
            "contacts.contact": "person",
            "contacts.change": "history",
            "contacts.duplicate": "join_inner",
            "contacts.savedview": "bookmarks",
            "contacts.tag": "sell",
            "contacts.import": "upload_file",
            "contacts.export": "download",
            "contacts.bulkaction": "checklist",
            "contacts.metadatafield": "view_list",
        },
    ),
    (
        gettext_noop("Connections"),
        {
            "tenants.apitoken": "key",
            "contacts.webhook": "webhook",
            "contacts.delivery": "outbox",
        },
    ),
    (
        gettext_noop("Administration"),
        {
            "tenants.user": "group",
            "tenants.tenant": "domain",
            "auth.group": "shield_person",
            "django_tasks_database.dbtaskresult": "pending_actions",
        },
    ),
]
JOBS = {"contacts.import", "contacts.export", "contacts.bulkaction"}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu at the side, in the format of django-unfold."""
    overview = {"title": _("Overview"), "icon": "dashboard", "link": reverse("admin:index")}
    icons = {label: icon for __, models in GROUPS for label, icon in models.items()}
    visible = {model["model"]._meta.label_lower: model for app in apps(request) for model in app}
    groups: list[dict[str, Any]] = [
        {
            "title": _(title),
            "items": [item(request, visible[m], icons[m]) for m in models if m in visible],
        }
        for title, models in GROUPS
    ]
    if JOBS & visible.keys():
        link = reverse("admin:failed_jobs")
        failed = {"title": _("Failed jobs"), "icon": "error", "link": link}
        groups[0]["items"].append(failed)
    own = (group(request, model) for model in visible.values())
    return [{"items": [overview]}, groups[0], *filter(None, own), *groups[1:]]


def group(request: HttpRequest, model: dict[str, Any]) -> dict[str, Any] | None:
    """The group that an admin class with a method `group` adds to the menu; None without one."""
    own = getattr(admin.site.get_model_admin(model["model"]), "group", None)
    return own(request) if own else None


def account(request: HttpRequest) -> list[dict[str, str]]:
    """The entries of the account menu, above the logout."""
    pages = [
        (_("Preferences"), "admin:preferences"),
        (_("Change password"), "admin:password_change"),
        (_("Two-factor login"), "admin:two_factor"),
    ]
    if settings.OAUTH:
        pages.append((_("Connected apps"), "admin:connected_apps"))
    return [{"title": title, "link": reverse(name)} for title, name in pages]


def apps(request: HttpRequest) -> list[list[dict[str, Any]]]:
    """The models that the user may see, per app."""
    return [app["models"] for app in admin.site.get_app_list(request)]


def item(request: HttpRequest, model: dict[str, Any], icon: str) -> dict[str, Any]:
    """An entry of the menu. An admin class with a method `badge` says what stands beside it."""
    entry = {"title": model["name"], "icon": icon, "link": model["admin_url"]}
    badge = getattr(admin.site.get_model_admin(model["model"]), "badge", None)
    return entry | {"badge": badge(request), "badge_variant": "info"} if badge else entry
