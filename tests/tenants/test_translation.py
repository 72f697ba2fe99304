"""Names and sentences that are stored in English appear in the language of the reader."""

from types import SimpleNamespace

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.utils import translation

from tenants import roles
from tenants.admin import history
from tenants.admin.role_fields import GroupsField, PermissionsField, RoleField, titles_of_groups
from tenants.admin.two_factor import note
from tenants.logins import in_words
from tenants.models import User
from tests.support.admin import logged_in, staff_of, text_of, url
from tests.support.german import teach_german

GERMAN = {
    "default region": "übliches Land",
    "role\x04manager": "Verwalterin",
    "Can change %(model)s": "%(model)s ändern",
    "API token": "Zugangsschlüssel",
    "Made new recovery codes.": "Neue Codes erstellt.",
    "Rotated: replaced by %(token)s.": "Durch %(token)s ersetzt.",
    "Connected the app %(app)s: %(scopes)s.": "Mit %(scopes)s verbunden: %(app)s.",
}


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("groups")]


@pytest.fixture(autouse=True)
def only_these_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    teach_german(monkeypatch, GERMAN)


def test_forms_translate_the_roles_and_no_other_groups(acme: SimpleNamespace) -> None:
    manager, special = Group.objects.get(name=roles.MANAGER), Group.objects.create(name="manager 2")
    everybody = Group.objects.all()
    for field in (RoleField(everybody), GroupsField(everybody)):
        assert field.label_from_instance(manager) == "manager"
        with translation.override("de"):
            assert field.label_from_instance(manager) == "Verwalterin"
            assert field.label_from_instance(special) == "manager 2"
    with translation.override("de"):
        assert titles_of_groups("manager 2, manager, &lt;b&gt;") == (
            "manager 2, Verwalterin, &lt;b&gt;"
        )


@pytest.mark.parametrize("is_own", [True, False])
def test_the_page_of_a_user_translates_roles(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, is_own: bool
) -> None:
    manager = staff_of(acme.tenant)
    manager.groups.add(Group.objects.get(name=roles.MANAGER))
    monkeypatch.setitem(roles.TITLES, roles.MANAGER, "Verwalterin")
    person = manager if is_own else acme.user  # one's own roles are only shown
    page = text_of(logged_in(manager).get(url(User, "change", person.pk)))
    assert "Verwalterin" in page
    assert ">manager<" not in page


def test_forms_translate_permissions(acme: SimpleNamespace) -> None:
    field = PermissionsField(Permission.objects.all())
    permission = Permission.objects.get(codename="change_apitoken")
    english = "Tenants and access | API token | Can change API token"
    assert field.label_from_instance(permission) == english
    with translation.override("de"):
        german = "| Zugangsschlüssel | Zugangsschlüssel ändern"
        assert field.label_from_instance(permission).endswith(german)
    permission.codename = "change_all_apitokens"
    assert field.label_from_instance(permission) == str(permission)


@pytest.mark.parametrize(
    ("stored", "german"),
    [
        ("", ""),
        ("Made new recovery codes.", "Neue Codes erstellt."),
        ("Rotated: replaced by qyvo_a.", "Durch qyvo_a ersetzt."),
        ("Connected the app A: B\n: read, write.", "Mit read, write verbunden: A: B\n."),
        ("Of an older version.", "Of an older version."),
        ("[no JSON]", "[no JSON]"),
    ],
)
def test_the_log_of_the_admin_is_stored_in_english(stored: str, german: str) -> None:
    assert history.translated(stored) == stored
    with translation.override("de"):
        assert history.translated(stored) == german


def test_the_log_names_changed_fields_in_the_language_of_the_reader() -> None:
    stored = '[{"changed": {"fields": ["Default region", "Colour of eyes"]}}, {"added": {}}]'
    entry = LogEntry(change_message=history.translated(stored))
    assert entry.get_change_message() == "Changed Default region and Colour of eyes. Added."
    with translation.override("de"):
        entry = LogEntry(change_message=history.translated(stored))
        assert "Übliches Land" in entry.get_change_message()
        assert "Colour of eyes" in entry.get_change_message()


def test_the_history_page_translates_the_log(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(acme.user, history.CONNECTED, app="Claude", scopes="imports")
    monkeypatch.setattr(history, "_", lambda text: f"[{text}]")
    page = text_of(logged_in(staff_of(acme.tenant)).get(url(User, "history", acme.user.pk)))
    assert "[Connected the app Claude: imports.]" in page


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"),
        (2, "2 seconds"),
        (120, "120 seconds"),
        (121, "3 minutes"),
        (900, "15 minutes"),
    ],
)
def test_durations(seconds: int, text: str) -> None:
    assert in_words(seconds) == text
