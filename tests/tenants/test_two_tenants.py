"""A tenant drives every address with what belongs to another: nothing leaks, nothing changes.

Each answer is also the one that things give which do not exist at all.
"""

import json
import re
from collections import ChainMap
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from itertools import permutations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin import ModelAdmin
from django.contrib.admin.sites import site
from django.contrib.contenttypes.models import ContentType
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import transaction
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from contacts.api import urls as contacts_urls
from contacts.change_log.cause import caused_by
from contacts.exporting import background
from contacts.importing import uploads
from contacts.jobs import files
from contacts.models import BulkAction, Change, Contact, Delivery, Export, Import, Tag, Webhook
from contacts.writing import merge
from tenants import urls as tenants_urls
from tenants.fields import new_ulid
from tenants.models import ApiToken, Tenant, User
from tests.support.admin import logged_in, staff_of
from tests.support.examples import FEW

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.slow,
    pytest.mark.usefixtures("data_dir"),
]
SECRET = "Ann Acmesecret"  # is in all that Acme has, and never sent by the other
PHONE, MERGED, GONE = "+14155550123", "+14155550124", "+14155550125"


# What Acme has


@pytest.fixture
def of_acme(acme: SimpleNamespace) -> dict[str, list[str]]:
    """What Acme's rows are called, by the names that requests have for them."""
    tenant, api = acme.tenant, acme.api
    acme.user.name = SECRET
    acme.user.save()
    ApiToken.objects.filter(user=acme.user).update(name=SECRET)
    api.act("create-contact", phone=PHONE, name=SECRET, email="ann@acme.example", tags="gold")
    api.act("create-contact", phone=MERGED, name=SECRET, metadata={"note": SECRET})
    api.act("create-contact", phone=GONE, name=SECRET, tags=f"gold, {SECRET}")
    kept, merged, gone = tenant.contacts.order_by("pk")
    with caused_by("command:test"):
        merge.merge([[kept, merged]])
    api.act("delete-contact", contact_id=gone.pk)
    api.send(json.dumps({"url": f"https://shop.example/{SECRET.split()[1]}"}), "/api/v1/webhooks")
    file = SimpleUploadedFile("shop.csv", f"phone,name\n{PHONE},{SECRET}\n12,{SECRET}\n".encode())
    made = api.client.post("/api/v1/imports", {"file": file}, headers=api.headers).json()
    uploads.run_import.call(made["id"])
    Import.objects.filter(pk=made["id"]).update(file_name=f"{SECRET}.csv")
    exported = api.send(json.dumps({"tag": "gold"}), "/api/v1/exports").json()
    background.run_export.call(exported["id"])
    action = BulkAction.objects.create(
        tenant=tenant, actor="", kind=BulkAction.Kind.ADD_TAG, value=SECRET, total=1,
        finished_at=timezone.now(),
    )  # fmt: skip
    api.act("create-contact", phone=GONE, name=SECRET)
    pages = [
        api.act("list-contacts", limit=1).json()["next_cursor"],
        api.act("list-changes", limit=1).json()["next_cursor"],
        api.act("search-contacts", limit=1).headers["Qyvo-Next-Cursor"],
    ]
    return {
        "contact_id": [kept.pk, merged.pk, gone.pk],
        "phone": [PHONE, MERGED, GONE],
        "email": ["ann@acme.example"],
        "tag": ["gold"],
        "query": ["ann@acme", PHONE[-7:]],
        "cursor": pages,
        "import": [made["id"]],
        "export": [exported["id"]],
        "webhook": [Webhook.objects.get().pk],
        "bulkaction": [action.pk],
        "change_set": [*{*tenant.changes.values_list("change_set", flat=True)}],
    }


def unheard(of_acme: dict[str, list[str]]) -> dict[str, list[str]]:
    """As many names of things that nobody has."""
    invented = {
        "phone": "+1415555019{}", "email": "no{}@nowhere.example", "tag": "unheard-of-{}",
        "query": "nobody{}@nowhere", "cursor": "cursor-{}",
    }  # fmt: skip
    return {
        name: [
            invented[name].format(number) if name in invented else new_ulid()
            for number in range(len(values))
        ]
        for name, values in of_acme.items()
    }


def everything_of(tenant: Tenant) -> dict[str, Any]:
    """Each row of the tenant, of every table."""
    owned = [model for model in apps.get_models() if has_tenant(model)]
    rows: dict[str, Any] = {
        model._meta.label: sorted(map(str, model._default_manager.filter(tenant=tenant).values()))
        for model in owned
    }
    rows["tokens"] = [*ApiToken.objects.filter(user__tenant=tenant).order_by("pk").values()]
    rows["groups"] = [*User.groups.through.objects.filter(user__tenant=tenant).values()]
    rows["tenant"] = Tenant.objects.filter(pk=tenant.pk).values().get()
    assert len(owned) > 12
    return rows


def has_tenant(model: type[Model]) -> bool:
    return any(field.name == "tenant" for field in model._meta.get_fields())


def stored_files() -> set[Path]:
    folders = [files.data_folder(name) for name in ("imports", "exports")]
    return {path for folder in folders for path in folder.iterdir()}


@pytest.fixture
def undone(acme: SimpleNamespace, of_acme: dict[str, list[str]]) -> Any:
    """Blocks that change nothing of Acme's. What they change of the other tenant is undone, because
    what Acme has takes longer to make than most addresses take to be driven."""
    before, before_files = everything_of(acme.tenant), stored_files()

    @contextmanager
    def block(name: str = "") -> Iterator[None]:
        with transaction.atomic():
            yield
            assert everything_of(acme.tenant) == before, name
            assert before_files <= stored_files(), name
            transaction.set_rollback(True)

    return block


@pytest.fixture
def untouched(undone: Any) -> Iterator[None]:
    with undone():
        yield


def tells_nothing(answer: Any) -> str:
    """What the answer says, which is nothing of Acme's."""
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    text = content.decode() + str(dict(answer.headers))
    assert answer.status_code < 500, text
    assert SECRET not in text
    assert SECRET.split()[1] not in text
    return text


# The API


def names(patterns: list[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names(pattern.url_patterns)
        else:
            yield pattern.name


ADDRESSES = [*names(tenants_urls.urlpatterns), *names(contacts_urls.urlpatterns)]
OF_ID = {"get-import": "import", "get-import-errors": "import", "webhook": "webhook",
         **dict.fromkeys(["rotate-webhook", "test-webhook", "list-deliveries", "replay-webhook"],
                         "webhook"),
         "get-export": "export", "get-export-file": "export", "get-bulk": "bulkaction"}  # fmt: skip
# What no action takes amiss: the fields of all of them.
FIELDS = {
    "name": "Mallory", "status": "opted_out", "at": "2026-05-01T08:00:00Z", "source": "letter",
    "new_phone": "+14155550177", "merge_ids": [new_ulid()],
    "metadata": {"mine": 1}, "include_deleted": True, "url": "https://mallory.example/hook",
    "since": "2026-05-01T08:00:00Z",
}  # fmt: skip
KEYS = ("contact_id", "phone", "email", "cursor", "change_set")


def bodies(of_whom: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """One for each key that a row can be asked for by, and each tag."""
    keys = [(name, value) for name in KEYS for value in of_whom[name]]
    for (name, value), tag in product(keys, of_whom["tag"]):
        yield FIELDS | {name: value, "tag": tag, "tags": tag, "query": ""}
    for stays, goes in permutations(of_whom["contact_id"], 2):
        yield {"contact_id": stays, "merge_ids": [goes], "choose": {"name": goes}}
    for query, tag in product(["", *of_whom["query"]], ["", *of_whom["tag"]]):
        yield {"query": query, "tag": tag, "name": query}
    yield {"contacts": [FIELDS | {"phone": phone, "tags": tag} for phone in of_whom["phone"]
                        for tag in of_whom["tag"]]}  # fmt: skip


def outcome(answer: Any) -> Any:
    """What of an answer must not depend on whether somebody else has such a thing."""
    text = tells_nothing(answer)
    if answer.headers.get("Content-Type") != "application/json":
        return answer.status_code
    body = json.loads(text[: text.rindex("{'")])
    rows = body.get("data", body) if isinstance(body, dict) else body
    size = len(rows) if isinstance(rows, list) else sorted(rows)
    return answer.status_code, size, answer.headers.get("Qyvo-Result")


def every(number: int, of: list[str]) -> list[list[str]]:
    """Parts of a list for as many tests. The order of the parts is the same in each process."""
    return [of[first::number] for first in range(number)]


@pytest.mark.parametrize("part", every(12, ADDRESSES), ids=lambda part: part[0])
def test_no_address_of_the_api_knows_anything_of_another_tenant(
    part: list[str], of_acme: dict[str, list[str]], undone: Any, globex: SimpleNamespace
) -> None:
    for name in part:
        with undone(name):
            unknown, real = (drive(name, ids, globex) for ids in (unheard(of_acme), of_acme))
            assert unknown == real, name


def drive(name: str, of_whom: dict[str, list[str]], globex: SimpleNamespace) -> list[Any]:
    """What each request of Globex to the address comes to."""
    args = of_whom[OF_ID[name]] if name in OF_ID else []
    address, found = reverse(name, args=args), []
    found.append(outcome(globex.api.get(address)))
    mine = json.dumps(FIELDS)
    for ask, data in ((globex.api.client.patch, mine), (globex.api.client.delete, "")):
        kind = "application/json"
        found.append(outcome(ask(address, data, content_type=kind, headers=globex.api.headers)))
    for body in bodies(of_whom):
        answer = globex.api.send(json.dumps(body), address)
        found.append(outcome(answer))
        clear(globex.tenant)
        if answer.status_code == 405:
            break  # no body is read here
    return found


def clear(tenant: Tenant) -> None:
    """What the last request has made is not what the next one is about. Most make nothing, and to
    find out is faster than to delete nothing."""
    for rows in (tenant.contacts, tenant.tags, tenant.webhooks, tenant.exports):
        if rows.exists():
            rows.all().delete()


@given(data=st.data())
@FEW
def test_no_mixture_of_keys_does_either(
    data: st.DataObject, of_acme: dict[str, list[str]], untouched: None, globex: SimpleNamespace
) -> None:
    action = data.draw(st.sampled_from([*names(contacts_urls.actions)]))
    some = {name: st.sampled_from(of_acme[name]) for name in (*KEYS, "tag", "query")}
    fields = {name: st.just(value) for name, value in FIELDS.items()}
    body = data.draw(st.fixed_dictionaries({}, optional=some | fields))
    tells_nothing(globex.api.act(action, **body))


def test_an_import_and_an_export_stay_at_home(
    of_acme: dict[str, list[str]],
    untouched: None,
    acme: SimpleNamespace,
    globex: SimpleNamespace,
    tmp_path: Path,
) -> None:
    lines = [f"{phone},Mallory,gold,{acme.tenant.pk}" for phone in of_acme["phone"]]
    text = "\n".join(["phone,name,tags,tenant_id", *lines])
    for content, kind in [
        (text, "text/csv"),
        (json.dumps({"phone": PHONE, "id": of_acme["contact_id"][0]}), "application/x-ndjson"),
    ]:
        for mode in ("upsert", "create-only", "update-only"):
            address = f"/api/v1/imports?mode={mode}&rest_to_metadata=true"
            made = globex.api.send(content, address, content_type=kind)
            assert made.status_code == 202
            uploads.run_import.call(made.json()["id"])
            job = globex.api.get(f"/api/v1/imports/{made.json()['id']}")
            tells_nothing(job)
            tells_nothing(globex.api.get(f"/api/v1/imports/{made.json()['id']}/errors"))
    assert globex.tenant.contacts.count() == len(of_acme["phone"])
    for options in ([], ["--tag", "gold"], ["--query", PHONE], ["--format", "ndjson"]):
        out = StringIO()
        call_command("export_contacts", "--tenant", "globex", *options, stdout=out)
        assert "Mallory" in out.getvalue()
        assert SECRET not in out.getvalue()


# The admin


@pytest.fixture
def mallory(globex: SimpleNamespace) -> User:
    """Globex's staff, with every permission but being a superuser."""
    return staff_of(globex.tenant)


@pytest.fixture
def web(mallory: User) -> Client:
    return logged_in(mallory)


def admin_patterns(patterns: list[Any]) -> Iterator[tuple[str, list[str]]]:
    """The name of each page, and its parameters."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from admin_patterns(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name, [*pattern.pattern.regex.groupindex]


def pages() -> dict[str, list[str]]:
    """The names of the pages of each model, and those that belong to none under ``."""
    models = [f"{model._meta.app_label}_{model._meta.model_name}" for model in site._registry]
    found: dict[str, list[str]] = {model: [] for model in ["", *models]}
    for name, _ in admin_patterns(site.get_urls()):
        found[next((model for model in models if name.startswith(f"{model}_")), "")].append(name)
    return found


PAGES = pages()


def ids_of(acme: SimpleNamespace, model: str, of_acme: dict[str, list[str]]) -> list[Any]:
    rows: dict[str, Any] = {
        "tenants_tenant": [acme.tenant.pk],
        "tenants_user": [acme.user.pk],
        "tenants_apitoken": [*ApiToken.objects.filter(user=acme.user).values_list("pk", flat=True)],
        "contacts_bulkaction": of_acme["bulkaction"],
        "contacts_contact": [*of_acme["contact_id"], *of_acme["change_set"]],
        "contacts_import": of_acme["import"],
        "contacts_export": of_acme["export"],
        "contacts_tag": [*acme.tenant.tags.values_list("pk", flat=True)],
        "contacts_webhook": of_acme["webhook"],
        "contacts_delivery": [*Delivery.objects.values_list("pk", flat=True)],
    }
    return rows.get(model, [acme.user.pk])


def addresses(name: str, ids: list[Any]) -> list[str]:
    """Those of the page for each of the rows. A page of no row has one address."""
    parameters = dict(admin_patterns(site.get_urls()))[name]
    values = (
        [["contacts"]] if parameters == ["app_label"] else [[pk] * len(parameters) for pk in ids]
    )
    return [*dict.fromkeys(reverse(f"admin:{name}", args=args) for args in values)]


def queries(acme: SimpleNamespace, of_acme: dict[str, list[str]], ids: list[Any]) -> list[dict]:
    """What lists, look-ups and searches can be asked."""
    tenant = acme.tenant.pk
    return [
        {},
        {"q": SECRET[:3]},
        *({"q": value} for name in ("phone", "email", "query") for value in of_acme[name][:1]),
        *({"tag": value, "term": value} for value in of_acme["tag"]),
        {"tenant__id__exact": tenant},
        {"tenant": tenant, "tenant__slug__startswith": "a"},
        {"user__tenant__slug": "acme"},
        *({"id__exact": pk} for pk in ids[:2]),
        *({"before": value, "after": value, "cursor": value} for value in of_acme["cursor"][:1]),
        *(
            {"app_label": app, "model_name": model, "field_name": field, "term": ""}
            for app, model, field in [
                ("tenants", "apitoken", "user"), ("contacts", "contact", "tenant"),
                ("tenants", "user", "tenant"),
            ]
        ),
    ]  # fmt: skip


def forms(acme: SimpleNamespace, of_acme: dict[str, list[str]], ids: list[Any]) -> list[dict]:
    """What pages can be sent: fields of all of them, with Acme's values."""
    tags = [str(pk) for pk in acme.tenant.tags.values_list("pk", flat=True)]
    known = {
        "tenant": acme.tenant.pk, "user": acme.user.pk, "phone": PHONE, "tags": "gold",
        "tag": "gold", "name": "gold", "email": "mallory@globex.example", "metadata": "{}",
        "status": "opted_out", "at_0": "2026-05-01", "at_1": "08:00:00", "source": "letter",
        "into": tags[0], "url": "https://mallory.example/hook", "events": ["contact.created"],
        "overlap": "0", "usable_password": "false", "agreed": "1", "post": "yes", "run": "1",
        "slug": "mallory", "locale": "fr", "password1": "x", "password2": "x", "_save": "1",
    }  # fmt: skip
    return [known | {"action": "delete_selected", "_selected_action": ids}, {}, known]


LISTS = ("changelist", "autocomplete")  # pages with filters


@pytest.mark.parametrize(
    "part", every(9, [name for name in PAGES if PAGES[name]]), ids=lambda part: part[0]
)
def test_no_page_of_the_admin_knows_anything_of_another_tenant(
    part: list[str],
    of_acme: dict[str, list[str]],
    undone: Any,
    acme: SimpleNamespace,
    mallory: User,
) -> None:
    for model in part:
        with undone(model):
            drive_pages(model, acme, of_acme, logged_in(mallory))


def drive_pages(
    model: str, acme: SimpleNamespace, of_acme: dict[str, list[str]], web: Client
) -> None:
    ids = ids_of(acme, model, of_acme)
    for name in PAGES[model]:
        if name in ("logout", "login", "view_on_site"):  # the last one has a test of its own
            continue
        first, *others = addresses(name, ids)
        asked = queries(acme, of_acme, ids)
        if not name.endswith(LISTS):
            # Elsewhere no parameter changes what another one means: one request has all of them.
            asked = [*(query for query in asked if query.keys() <= {"q"}), dict(ChainMap(*asked))]
        for query in asked:
            tells_nothing(web.get(first, query))
        to_send = forms(acme, of_acme, ids)
        if not name.endswith(LISTS):
            to_send.pop()  # the first form, but for the action, which lists alone read
        for form in to_send:
            tells_nothing(web.post(first, form))
        for address in others:  # of another row: nothing there depends on the query
            tells_nothing(web.get(address))
            tells_nothing(web.post(address, forms(acme, of_acme, ids)[0]))


def actions_of(admin: ModelAdmin, user: User) -> list[str]:
    request = RequestFactory().get("/")
    request.user = user
    return [*admin.get_actions(request)]


@pytest.mark.parametrize(
    "model", [Contact, Tag, Import, Export, BulkAction, Webhook, Delivery, ApiToken, User, Tenant],
    ids=lambda model: model.__name__,
)  # fmt: skip
def test_no_action_of_the_admin_reaches_another_tenant(
    model: type[Model],
    of_acme: dict[str, list[str]],
    untouched: None,
    acme: SimpleNamespace,
    mallory: User,
    web: Client,
) -> None:
    label = f"{model._meta.app_label}_{model._meta.model_name}"
    ids = ids_of(acme, label, of_acme)
    for action in actions_of(site._registry[model], mallory):
        # Not the first form: `chosen` would make it equal to the last one.
        for across, form in product("01", forms(acme, of_acme, ids)[1:]):
            chosen = {"action": action, "_selected_action": ids, "select_across": across}
            address = reverse(f"admin:{label}_changelist")
            tells_nothing(web.post(address, form | chosen, follow=True))


@pytest.mark.usefixtures("without_guard")  # Django's view finds a row by its id
def test_links_to_rows_of_others_lead_nowhere(
    of_acme: dict[str, list[str]], untouched: None, acme: SimpleNamespace, web: Client
) -> None:
    contact_type = ContentType.objects.get_for_model(Contact)
    for pk in [*of_acme["contact_id"], *of_acme["change_set"]]:
        tells_nothing(web.get(reverse("admin:view_on_site", args=[contact_type.pk, pk])))


def test_what_is_looked_for_is_there(of_acme: dict[str, list[str]], acme: SimpleNamespace) -> None:
    """Else the tests above would show nothing: its owner finds it."""
    web = logged_in(staff_of(acme.tenant))
    pages = ["contact", "tag", "import", "bulkaction", "webhook"]
    for page in pages:
        content = web.get(reverse(f"admin:contacts_{page}_changelist")).content.decode()
        assert SECRET.split()[1] in content, page
    for action in ("get-contact", "list-contacts", "search-contacts", "list-tags", "list-changes"):
        answer = acme.api.act(action, contact_id=of_acme["contact_id"][0])
        assert re.search("Acmesecret", answer.content.decode()), action
    assert Change.objects.filter(tenant=acme.tenant).exists()
