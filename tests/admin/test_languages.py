"""Each user has a language, in which the admin speaks; the API speaks English. No text of a page is
left in English."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from contacts.models import Change, Contact, Export, Import, SavedView, Tag, Webhook
from tenants import languages
from tenants.models import ApiToken, Tenant, User
from tests.support.admin import LOGIN, errors, logged_in, staff_of, text_of, url
from tests.support.admin_pages import addresses
from tests.support.admin_rows import make_people, make_rows
from tests.support.api import CREATE, PHONE
from tests.support.languages import (
    Marking,
    catalogues_in,
    marking,
    shipped,
    unmarked,
    write_catalogue,
)
from tests.support.messages import PLURALS, all_messages

pytestmark = pytest.mark.django_db
PREFERENCES = reverse("admin:preferences")
FRENCH = {"Log in": "Se connecter", "The language of the browser": "La langue du navigateur"}
NOT_REVIEWED = "(not yet reviewed by a native speaker)"


@pytest.fixture
def french(tmp_path: Path) -> Iterator[None]:
    """Some texts in French, and in no other language than English."""
    write_catalogue(tmp_path, "fr", FRENCH)
    with catalogues_in(tmp_path):
        yield


def page(client: Client, address: str, accepted: str = "") -> Any:
    return client.get(address, headers={"accept-language": accepted})


# The choice


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("de, fr;q=0.5", "fr"),  # German has no catalogue here
        ("en-GB, fr;q=0.9", "en"),
        ("fr;q=0", "en"),
        ("*", "en"),
        ("x" * 5000, "en"),
        ("\0,;q=", "en"),
        ("", "en"),
    ],
)
@pytest.mark.usefixtures("french")
def test_the_login_is_in_the_language_of_the_browser(accepted: str, language: str) -> None:
    answer = page(Client(), LOGIN, accepted)
    assert f'<html lang="{language}"' in text_of(answer)
    assert answer["Content-Language"] == language
    assert "Accept-Language" in answer["Vary"]
    assert ("Se connecter" in text_of(answer)) == (language == "fr")
    assert translation.get_language() == "en", "the page is over"


@pytest.mark.usefixtures("french")
def test_users_choose_their_own_language(acme: SimpleNamespace) -> None:
    user = staff_of(acme.tenant, "view_contact")
    client = logged_in(user)
    assert f"Français {NOT_REVIEWED}" in text_of(client.get(PREFERENCES))
    assert "Deutsch" not in text_of(client.get(PREFERENCES)), "it has no catalogue"
    for wrong in ("de", "xx", "../fr"):
        assert client.post(PREFERENCES, {"language": wrong}).status_code == 200
    assert client.post(PREFERENCES, {"language": "fr"}).status_code == 302
    answer = page(client, PREFERENCES, "en")
    assert FRENCH["The language of the browser"] in text_of(answer)
    assert '<html lang="fr"' in text_of(answer)
    client.post(PREFERENCES, {"language": ""})
    assert '<html lang="en"' in text_of(page(client, PREFERENCES, "en"))
    assert '<html lang="fr"' in text_of(page(client, PREFERENCES, "fr"))
    User.objects.filter(pk=user.pk).update(language="de")
    assert '<html lang="en"' in text_of(page(client, PREFERENCES, "en")), "no longer offered"


@pytest.mark.usefixtures("french")
def test_managers_choose_the_language_of_people(acme: SimpleNamespace) -> None:
    manager, user = logged_in(staff_of(acme.tenant)), staff_of(acme.tenant, "view_contact")
    data = {"email": user.email, "name": "", "is_active": "on", "is_staff": "on"}
    assert manager.post(url(User, "change", user.pk), data | {"language": "fr"}).status_code == 302
    user.refresh_from_db()
    assert user.language == "fr"
    assert "language" in errors(
        manager.post(url(User, "change", user.pk), data | {"language": "x"})
    )


@pytest.mark.usefixtures("french")
def test_an_error_page_is_in_the_language_of_whoever_reads_it(acme: SimpleNamespace) -> None:
    user = staff_of(acme.tenant, "view_contact")
    User.objects.filter(pk=user.pk).update(language="fr")
    missing = page(logged_in(user), "/admin/nowhere/", "en")
    assert (missing.status_code, missing["Content-Language"]) == (404, "fr")
    old = Client(enforce_csrf_checks=True).post(LOGIN, headers={"accept-language": "fr"})
    wrong = Client().get(LOGIN, headers={"accept-language": "fr", "host": "wrong.example"})
    for answer, status in ((missing, 404), (old, 403), (wrong, 400)):
        assert answer.status_code == status
        assert '<html lang="fr">' in answer.content.decode()


@pytest.mark.usefixtures("french")
def test_programs_are_answered_in_english(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    User.objects.update(language="fr")
    settings.OAUTH = True
    activated: list[str] = []
    monkeypatch.setattr(translation, "activate", activated.append)
    headers = {"accept-language": "fr", "authorization": f"Bearer {acme.plaintext}"}
    client = Client(headers=headers)
    posted = [CREATE, "/mcp", "/oauth/token", "/oauth/register", "/oauth/revoke"]
    seen = ["/", "/docs", "/healthz", "/readyz", "/metrics", "/api/v1/me", "/nowhere",
            "/.well-known/oauth-authorization-server", "/api/v1/openapi.json"]  # fmt: skip
    answers = [client.post(path, {"phone": PHONE}, "application/json") for path in posted]
    answers += [client.get(path) for path in seen]
    assert activated == []
    for answer in answers:
        assert "Content-Language" not in answer
        assert "Accept-Language" not in answer.get("Vary", "")
    page(client, LOGIN, "fr")
    assert activated == ["fr"]


@pytest.mark.usefixtures("french")
def test_an_e_mail_speaks_the_language_of_its_reader() -> None:
    for language, text in (("fr", "Se connecter"), ("", "Log in"), ("de", "Log in")):
        with translation.override("fr"), languages.speaking_to(User(language=language)):
            assert translation.gettext("Log in") == text
    assert translation.get_language() == "en"


@pytest.mark.parametrize(("language", "number"), [("de", "1.234,5"), ("fr", "1\xa0234,5"),
                                                  ("pt-br", "1.234,5"), ("en", "1,234.5")])  # fmt: skip
def test_days_are_written_alike_and_numbers_as_usual(language: str, number: str) -> None:
    from django.contrib.humanize.templatetags.humanize import intcomma
    from django.utils import formats

    with translation.override(language):
        assert intcomma(1234.5) == number
        assert formats.get_format("DATETIME_FORMAT") == "Y-m-d H:i:s T"
        assert formats.get_format("SHORT_DATE_FORMAT") == "Y-m-d"
        assert formats.get_format("DATE_INPUT_FORMATS")[0] == "%Y-%m-%d"
        assert formats.get_format("TIME_INPUT_FORMATS")[0] == "%H:%M:%S"


# Every page in a language that marks what it has translated


@pytest.fixture
def marks(tmp_path: Path) -> Iterator[Marking]:
    with marking(tmp_path, "fr") as double:
        yield double


@pytest.fixture
def rows(acme: SimpleNamespace, data_dir: Path) -> SimpleNamespace:
    acme.tenant.default_region = "US"
    acme.tenant.save()
    acme.user.is_staff, acme.user.language = True, "fr"
    acme.user.save()
    return make_rows(acme, make_people(acme.tenant))


def data_of() -> list[str]:
    """What people have typed, and what else is not in any language."""
    texts = {
        "UTC", "America", "Europe",
        *Contact.objects.values_list("name", flat=True),
        *Contact.objects.values_list("email", flat=True),
        *Tag.objects.values_list("name", flat=True),
        *SavedView.objects.values_list("name", flat=True),
        *Tenant.objects.values_list("name", flat=True),
        *Tenant.objects.values_list("slug", flat=True),
        *User.objects.values_list("email", flat=True),
        *ApiToken.objects.values_list("name", flat=True),
        *ApiToken.objects.values_list("prefix", flat=True),
        *Webhook.objects.values_list("url", flat=True),
        *Import.objects.values_list("file_name", flat=True),
        *(str(row.pk) for model in (Contact, Change, Import, Export) for row in model.objects.all()),
    }  # fmt: skip
    return [text for text in texts if text]


def test_no_text_of_a_page_is_left_in_english(
    marks: Marking, rows: SimpleNamespace, settings: Any
) -> None:
    client = logged_in(rows.user)
    settings.EMAIL_URL, settings.HAS_EMAIL, settings.OAUTH = "smtp://localhost", True, True
    pages = {name: page(client, address) for name, address in addresses(rows).items()}
    pages.pop("landing")
    pages |= other_pages(rows)
    data, left = data_of(), list[str]()
    for name, answer in pages.items():
        for text in dict.fromkeys(unmarked(text_of(answer), data)):
            left.append(f"{name}: {text}")
    assert not left, "\n".join(left)


def other_pages(rows: SimpleNamespace) -> dict[str, Any]:
    """Pages before the login, pages about errors, and refused forms."""
    client, anonymous = logged_in(rows.user), Client(headers={"accept-language": "fr"})
    return {
        "login": anonymous.get(LOGIN),
    }


def test_packages_speak_each_language_on_our_pages(marks: Marking, rows: SimpleNamespace) -> None:
    """Django translates its own texts. Texts of the theme and of other packages that translate
    nothing are in our catalogues (`qyvo.package_texts`)."""
    client = logged_in(rows.user)
    for address in addresses(rows).values():
        page(client, address)
    ours = all_messages().keys()
    for language in PLURALS:
        theirs = shipped(language)
        left = {
            text for context, text in marks.asked - ours
            if (f"{context}\4{text}" if context else text) not in theirs
        }  # fmt: skip
        assert not left, "\n".join([language, *sorted(left)])
