"""Each user has a language, in which the admin speaks; the API speaks English. No text of a page is
left in English."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django import conf
from django.contrib.admin.sites import site
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core import mail
from django.db.models import Model
from django.template.loader import render_to_string
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import formats, translation
from django_otp.oath import TOTP
from django_tasks_db.models import DBTaskResult
from oauth2_provider.models import Application

from contacts.models import Contact, Import, MetadataField, SavedView, Tag
from qyvo.overload import Line, Refusals, Request
from tenants import languages, passwords, roles
from tenants.admin.tokens import revoke_page
from tenants.models import ApiToken, Tenant, User
from tenants.two_factor import Authenticator
from tests.support.admin import (
    LIST,
    LOGIN,
    contact_form,
    errors,
    logged_in,
    password_page,
    staff_of,
    text_of,
    token_form,
    url,
)
from tests.support.admin_imports import drafted, page_of, press, upload, work
from tests.support.admin_pages import addresses
from tests.support.admin_rows import make_people, make_rows
from tests.support.api import CREATE, PHONE
from tests.support.factories import ContactFactory
from tests.support.marking import (
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
FRENCH = {
    "Choose all %s": "Choisir : %s",
    "Delete %(name)s": "ôter %(name)s",
    "Log in": "Se connecter",
    "Select record": "Choisir la ligne",
    "The language of the browser": "La langue du navigateur",
}
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
def test_the_rows_of_a_list_are_in_the_language_of_each_user(acme: SimpleNamespace) -> None:
    """They have a part that is made once and kept."""
    ContactFactory.create(tenant=acme.tenant)
    client = logged_in(staff_of(acme.tenant))
    for language, label in [("en", "Select record"), ("fr", "Choisir la ligne")]:
        assert label in page(client, LIST, accepted=language).text


@pytest.mark.usefixtures("french")
def test_scripts_of_django_have_our_translations(acme: SimpleNamespace) -> None:
    client = logged_in(staff_of(acme.tenant))
    for language, text in [("en", "Choose all %s"), ("fr", "Choisir : %s")]:
        assert f'"Choose all %s": "{text}"' in page(client, "/admin/jsi18n/", language).text


@pytest.mark.usefixtures("french")
def test_a_button_is_a_whole_order(acme: SimpleNamespace) -> None:
    tag = Tag.objects.create(tenant=acme.tenant, name="vip")
    client = logged_in(staff_of(acme.tenant))
    for language, text in [("en", "Delete tag"), ("fr", "Ôter tag")]:
        assert text in text_of(page(client, url(Tag, "change", tag.pk), language))


def test_labels_of_the_cells_are_capitalised_like_the_headers(acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant)
    shown = page(logged_in(staff_of(acme.tenant)), LIST).text
    assert 'data-label="Last activity"' in shown
    assert "&lt;input" not in shown, "the header of the checkboxes is HTML"


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
def test_a_server_with_too_much_to_do_speaks_the_language_of_the_browser() -> None:
    refusals = Refusals(Line(lambda protocol, scope: None, 1))
    for accepted, language in (("fr", "fr"), ("de", "en"), ("", "en")):
        page = refusals.page(Request(0, None, {"HTTP_ACCEPT_LANGUAGE": accepted}))
        assert f'<html lang="{language}">' in page.decode()


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
    assert {*activated} <= {"en"}, "the generator of the OpenAPI document asks for English"
    activated.clear()
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


@pytest.mark.parametrize(
    ("language", "number"),
    [("de", "1.234,5"), ("fr", "1\xa0234,5"), ("pt-br", "1.234,5"), ("en", "1,234.5")],
)
def test_days_are_written_alike_and_numbers_as_usual(language: str, number: str) -> None:
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


def rows_of(acme: SimpleNamespace) -> SimpleNamespace:
    acme.tenant.default_region = "US"
    acme.tenant.save()
    acme.user.is_staff, acme.user.language = True, "fr"
    acme.user.save()
    MetadataField.objects.create(tenant=acme.tenant, label="Town", key="city", kind="text")
    return make_rows(acme, make_people(acme.tenant))


def data_of() -> list[str]:
    """What people have typed, and what else is in no language."""
    texts = {
        "America", "Europe", "App", "Town", "Lyon", "Bob", "Mobile",
        "Invalid client_id parameter value.",  # to the developer of an app
        *roles.ROLES,
        *Contact.objects.values_list("name", flat=True),
        *Tag.objects.values_list("name", flat=True),
        *SavedView.objects.values_list("name", flat=True),
        *Tenant.objects.values_list("name", flat=True),
        *Tenant.objects.values_list("slug", flat=True),
        *ApiToken.objects.values_list("name", flat=True),
        *ApiToken.objects.values_list("prefix", flat=True),
        *Import.objects.values_list("file_name", flat=True),
        *DBTaskResult.objects.values_list("task_path", flat=True),
        *(name for job in Import.objects.all() for name in job.options.get("fields", {})),
        *(str(text) for row in Contact.objects.all() for it in row.metadata.items() for text in it),
    }  # fmt: skip
    return [text for text in texts if text]


def pages_of_models(client: Client) -> dict[str, Any]:
    """The list of each model, the pages of its first row, and its form, also when it is refused."""
    found = {}
    for model in site._registry:
        name = model._meta.label
        found[f"{name}, list"] = client.get(url(model, "changelist"))
        if add := address_of(model, "add"):
            found[f"{name}, new"] = client.get(add)
            found[f"{name}, refused"] = client.post(add, {})
        for kind in ("change", "delete"):
            row = model._default_manager.first()
            if row and (address := address_of(model, kind, row.pk)):
                found[f"{name}, {kind}"] = client.get(address)
    return found


def address_of(model: type[Model], kind: str, *arguments: Any) -> str:
    """Empty if the admin of this model has no such page."""
    try:
        return url(model, kind, *arguments)
    except NoReverseMatch:
        return ""


def pages_before_the_login(user: User, client: Client) -> dict[str, Any]:
    wrong = {"username": user.email, "password": "wrong"}
    link = passwords.link_path(user)
    asked = client.get(link, follow=True)
    typed = {"new_password1": "a", "new_password2": "b"}
    return {
        "login": client.get(LOGIN),
        "login, refused": client.post(LOGIN, wrong),
        "forgotten": client.get(reverse("admin:forgot_password")),
        "forgotten, sent": client.post(
            reverse("admin:forgot_password"), {"email": user.email}, follow=True
        ),
        "link": asked,
        "link, refused": client.post(asked.request["PATH_INFO"], typed),
        "link, used": client.get("/admin/password/MQ/abc-123/"),
        "400": client.get(LOGIN, headers={"host": "wrong.example"}),
        "403, form": Client(True, headers={"accept-language": "fr"}).post(LOGIN),
    }


def pages_of_an_account(user: User, client: Client) -> dict[str, Any]:
    two_factor, password = reverse("admin:two_factor"), reverse("admin:password_change")
    found = {
        "404": client.get("/admin/nowhere/"),
        "password": client.get(password),
        "password, refused": client.post(password, {}),
        "password, changed": client.get(reverse("admin:password_change_done")),
        "preferences, refused": client.post(PREFERENCES, {"time_zone": "x", "language": "x"}),
        "preferences, saved": client.post(PREFERENCES, {"language": "fr"}, follow=True),
        "two-factor": client.get(two_factor),
        "two-factor, refused": client.post(two_factor, {"code": "1"}),
    }
    key = Authenticator.objects.get(user=user).bin_key
    Authenticator.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    found["two-factor, on"] = client.post(two_factor, {"code": f"{TOTP(key).token():06}"})
    found["two-factor, change"] = client.get(two_factor)
    return found


def pages_of_people(user: User, client: Client) -> dict[str, Any]:
    """What managers do with other users and with tokens."""
    token = ApiToken.objects.create(user=user, name="shop", digest="0", prefix="qyvo_0")
    person = {"email": "new@acme.example", "role": "", "tenant": user.tenant_id}
    return {
        "user, password": client.get(password_page(user)),
        "user, password refused": client.post(password_page(user), {}),
        "user, link": client.get(url(User, "link", user.pk)),
        "user, link made": client.post(url(User, "link", user.pk)),
        "user, link sent": client.post(url(User, "link", user.pk), {"send": 1}, follow=True),
        "user, added": client.post(url(User, "add"), person, follow=True),
        "token, made": client.post(url(ApiToken, "add"), token_form(name="x", user=user.pk)),
        "token, rotate": client.get(url(ApiToken, "rotate", token.pk)),
        "token, rotated": client.post(url(ApiToken, "rotate", token.pk), {}),
        "token, revoke": client.get(revoke_page([token.pk])),
        "token, revoked": client.post(revoke_page([token.pk]), follow=True),
    }


def pages_of_contacts(contact: Contact, client: Client) -> dict[str, Any]:
    """Partial pages, actions, and what a form answers."""
    chosen = [*dict(Contact.objects.order_by("pk").values_list("source", "pk")).values()]
    form = client.get(LIST).context["action_form"]
    actions = [action for action, _ in form.fields["action"].choices if action]
    page_of = {
        kind: url(Contact, kind, contact.pk) for kind in ("change", "consent", "erase", "note")
    }
    return {
        **{
            f"action {action}": client.post(LIST, {"action": action, "_selected_action": chosen})
            for action in actions
        },
        "overview, numbers": client.get(url(Contact, "overview")),
        "finder": client.get(url(Contact, "find"), {"q": "ada"}),
        "finder, nothing": client.get(url(Contact, "find"), {"q": "nobody at all"}),
        "list, found": client.get(LIST, {"q": "ada"}),
        "list, filters": client.get(f"{LIST}?created_from=2026-01-01&country=FR&consent=out"),
        "list, wrong filter": client.get(
            LIST, {"created_from": "x", "meta": "x", "tag": "nothing"}
        ),
        "contact, refused": client.post(page_of["change"], {"phone": "1", "email": "x"}),
        "contact, saved": client.post(
            page_of["change"], contact_form(client, page_of["change"], name="Ada"), follow=True
        ),
        "consent, refused": client.post(page_of["consent"], {"status": "x"}),
        "consent, saved": client.post(page_of["consent"], {"status": "opted_out"}, follow=True),
        "note, refused": client.post(page_of["note"], {}),
        "erase phone": client.post(reverse("admin:contacts_contact_erase_phone"), {"phone": "1"}),
        "contact, history": client.get(url(Contact, "history", contact.pk)),
        "contact, erased": client.post(page_of["erase"], {"is_shown": "1"}, follow=True),
    }


def pages_of_imports(client: Client) -> dict[str, Any]:
    files = {
        "a PDF": b"%PDF-1.7", "nothing": b"", "no phones": b"a;b\nx;y\n",
        "a sheet": b"PK\3\4xx", "an image": b"\x89PNG\r\n\x1a\n",
    }  # fmt: skip
    found = {f"import of {name}": upload(client, raw) for name, raw in files.items()}
    job = drafted(client, "Mobile;Name;Town\n+33612345678;Zoé;Lyon\n12;Bob;\n", tag="vip")
    found["import, preview"] = client.get(page_of("preview", job))
    no_phone = {"Mobile": "", "Name": "", "delimiter": "xx"}
    found["import, refused"] = press(client, job, "run", **no_phone)
    press(client, job, "try", Mobile="phone")
    found["import, tried"] = client.get(page_of("preview", work(job)))
    press(client, job, "run")
    found["import, waiting"] = client.get(page_of("change", job))
    found["import, done"] = client.get(page_of("change", work(job)))
    return found


def pages_of_apps(user: User, client: Client) -> dict[str, Any]:
    app = Application.objects.create(
        name="Claude", redirect_uris="https://claude.ai/back", client_type="public",
        authorization_grant_type="authorization-code", hash_client_secret=False,
    )  # fmt: skip
    question = {
        "response_type": "code", "client_id": app.client_id, "redirect_uri": app.redirect_uris,
        "scope": " ".join(ApiToken.Scope.values), "code_challenge": "a" * 43, "state": "x",
        "code_challenge_method": "S256", "resource": "http://testserver/mcp",
    }  # fmt: skip
    return {
        "consent": client.get("/admin/oauth/authorize", question),
        "consent, refused": client.post("/admin/oauth/authorize", question | {"allow": "on"}),
        "consent, no app": client.get("/admin/oauth/authorize", {"client_id": "x"}),
        "connected apps": client.get(reverse("admin:connected_apps")),
    }


def letters(user: User) -> dict[str, str]:
    """The e-mails, as pages."""
    found = {}
    for letter in (passwords.INVITATION, passwords.FORGOTTEN, passwords.CHANGED):
        user.set_password("x")
        user.save()
        mail.outbox = []
        passwords.send_letter.call(user.pk, "http://testserver", letter)
        found[f"e-mail {letter}"] = f"{mail.outbox[0].subject}<p>{mail.outbox[0].body}"
    return found


def test_a_text_that_nobody_has_marked_is_found() -> None:
    page = """<p>⟦Merge <b>⟦two⟧</b> contacts⟧</p><p>⟦Open <p>Left</p>
<button title="Undo">⟦Undo⟧</button>
<input type="submit" value="Save"><input value="typed" placeholder="⟦Name⟧"><b>Ada Lovelace, FR</b>
<script>let it = "be";</script><select name="time_zone"><option>Paris</option></select> 12 API"""
    assert unmarked(page, ["Ada Lovelace"]) == [
        "Left", "title of button: Undo", "value of input: Save",
    ]  # fmt: skip


@pytest.mark.slow
def test_no_text_of_a_page_is_left_in_english(
    marks: Marking, acme: SimpleNamespace, globex: SimpleNamespace, settings: Any, data_dir: Path
) -> None:
    settings.EMAIL_URL, settings.HAS_EMAIL, settings.OAUTH = "smtp://localhost", True, True
    imports = pages_of_imports(logged_in(staff_in_french(globex.tenant)))  # no other job waits yet
    rows = rows_of(acme)
    client, data = logged_in(rows.user), data_of()
    pages = imports | {name: client.get(address) for name, address in addresses(rows).items()}
    del pages["landing"]  # in English for everybody
    pages |= pages_of_models(client)
    del pages["auth.Group, delete"]  # it names tables of Django
    pages |= pages_before_the_login(rows.user, Client(headers={"accept-language": "fr"}))
    pages |= pages_of_people(staff_of(rows.tenant), client)
    pages |= pages_of_contacts(rows.contact, client)
    pages |= pages_of_apps(rows.user, client)
    texts = letters(staff_in_french(rows.tenant))
    client = logged_in(rows.user)
    pages |= pages_of_an_account(rows.user, client)
    pages |= {"403": logged_in(staff_in_french(rows.tenant, "view_tag")).get(LIST)}
    pages |= {"log out": client.post(reverse("admin:logout"))}
    texts |= {name: text_of(answer) for name, answer in pages.items()}
    with translation.override("fr"):
        texts |= {name: render_to_string(f"{name}.html") for name in ("500", "503")}
    data += data_of()
    left = {f"{name}: {text}": None for name in texts for text in unmarked(texts[name], data)}
    assert not left, "\n".join(left)
    assert not (found := missing_in_catalogues(marks)), "\n".join(sorted(found))


def staff_in_french(tenant: Tenant, *codenames: str) -> User:
    user = staff_of(tenant, *codenames)
    user.language = "fr"
    user.save()
    return user


def missing_in_catalogues(marks: Marking) -> set[str]:
    """The texts that pages have asked for, and that neither our catalogues have nor the packages
    in each language. Texts of packages belong in `qyvo.package_texts`."""
    no_words = [
        *(str(name) for _, name in conf.settings.LANGUAGES),
        *Import.objects.values_list("problem", flat=True),  # of `make_rows`
    ]
    asked = {key for key in marks.asked - all_messages().keys() if unmarked(key[1], no_words)}
    found = set()
    for language in PLURALS:
        theirs = shipped(language)
        texts = {f"{context}\4{text}" if context else text for context, text in asked}
        found |= {f"{language}: {text}" for text in texts - theirs}
    return found
