"""The history of a contact, its consent, and undo in the admin."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import IntegrityError
from django.db.models import Q
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation
from django_tasks_db.models import DBTaskResult

from contacts.admin import describe
from contacts.admin.describe import consent_of
from contacts.change_log.cause import caused_by
from contacts.change_log.difference import LOGGED_FIELDS
from contacts.jobs import bulk_actions
from contacts.models import EARLIER_OPT_OUT, BulkAction, Change, Contact, Import
from contacts.writing import change_phone, consent, tags, undo
from contacts.writing.consent import Decision
from tenants.fields import new_ulid
from tenants.models import User
from tests.support.admin import logged_in, staff_of, url
from tests.support.api import PHONE
from tests.support.cases import in_one_test
from tests.support.commands import lines
from tests.support.factories import ContactFactory, UserFactory
from tests.support.german import teach_german
from tests.support.sql import assert_links_match_tags, statements
from tests.support.undo import OTHER, bring, held, last_set

pytestmark = pytest.mark.django_db
ATTACK = "<img src=x onerror=alert(1)>"
MAY, JUNE = (datetime(2026, month, 1, 8, tzinfo=UTC) for month in (5, 6))
OPTED_IN, OPTED_OUT = Change.Kind.OPTED_IN, Change.Kind.OPTED_OUT


@pytest.fixture
def colleague(acme: SimpleNamespace) -> User:
    return staff_of(acme.tenant)


@pytest.fixture
def staff(colleague: User) -> Client:
    return logged_in(colleague)


@pytest.fixture
def superuser(db: None) -> Client:
    return logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))


@pytest.fixture
def contact(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="Ann")


def undo_page(change_set: str) -> str:
    return reverse("admin:contacts_contact_undo", args=[change_set])


def consent_page(contact: Contact) -> str:
    return url(Contact, "consent", contact.pk)


def text(response: Any) -> str:
    """The visible text of the page as one line."""
    assert response.status_code == 200, response
    page = re.sub(r"<[^>]+>", " ", response.content.decode())
    return " ".join(unescape(page).split())


def told(client: Client, contact: Contact, **query: Any) -> list[str]:
    """The visible text of each row of the history."""
    page = client.get(url(Contact, "history", contact.pk), query).content.decode()
    rows = re.findall(r"<tr>(.*?)</tr>", page.partition("<tbody>")[2], re.DOTALL)
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in rows]


def change(contact: Contact, actor: str = "command:test", **defaults: Any) -> str:
    with caused_by(actor, change_set := new_ulid()):
        contact.tenant.contacts.update_or_create(phone=contact.phone, defaults=defaults)
    return change_set


# History


def test_the_history_shows_changes_newest_first(
    staff: Client, acme: SimpleNamespace, contact: Contact
) -> None:
    change(contact, name="Bob", tags=["a", "b"], metadata={"city": "Rome", "n": None})
    change(contact, name="", tags=["b", "c", "d"], metadata={"n": ""})
    rows = told(staff, contact)
    assert len(rows) == 3
    assert "name: Bob → -" in rows[0]
    assert "tags removed: a" in rows[0]
    assert "tags added: c, d" in rows[0]
    assert 'metadata.city: "Rome" → -' in rows[0]
    assert 'metadata.n: null → ""' in rows[0]
    assert 'Updated name: Ann → Bob tags added: a, b metadata.city: - → "Rome"' in rows[1]
    assert "metadata.n: - → null" in rows[1]
    assert "Created" in rows[2]


def test_the_history_shows_the_order_of_tags_if_only_the_order_changed(
    staff: Client, contact: Contact
) -> None:
    change(contact, tags=["a", "b"])
    change(contact, tags=["b", "a"])
    assert "order of tags: a, b → b, a" in told(staff, contact)[0]


def test_each_logged_field_has_a_name_for_people() -> None:
    assert {*LOGGED_FIELDS} <= {*describe.LABELS, *describe.OTHER_FIELDS}


def test_the_history_shows_consent_with_its_source_and_proof(
    staff: Client, acme: SimpleNamespace, contact: Contact
) -> None:
    decision = Decision(OPTED_IN, MAY, "checkout", "box ticked")
    consent.decide_one(acme.tenant, {"phone": PHONE}, decision)
    row = told(staff, contact)[0]
    assert "Opted In" in row
    assert "opted in at" not in row.lower(), "the next line says it"
    assert "decided: 2026-05-01 08:00:00 UTC source: checkout proof: box ticked" in row


def test_a_source_that_this_program_has_written_is_translated(
    acme: SimpleNamespace, contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent.decide_one(acme.tenant, {"phone": PHONE}, Decision(OPTED_OUT, MAY, EARLIER_OPT_OUT))
    teach_german(monkeypatch, {EARLIER_OPT_OUT: "ein früherer Widerspruch"})
    change = acme.tenant.changes.latest("pk")
    contact.refresh_from_db()
    with translation.override("de"):
        assert ("source", "ein früherer Widerspruch") in [*describe.lines_of(change)]
        assert "“ein früherer Widerspruch”" in consent_of(contact)


def test_times_are_shown_in_the_time_zone_of_the_admin(
    staff: Client, acme: SimpleNamespace, contact: Contact, settings: Any
) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    timezone.deactivate()
    consent.decide_one(acme.tenant, {"phone": PHONE}, Decision(OPTED_IN, MAY))
    assert "decided: 2026-05-01 10:00:00 CEST" in told(staff, contact)[0]


def test_the_history_shows_the_actor(
    staff: Client, colleague: User, acme: SimpleNamespace, contact: Contact, tmp_path: Path
) -> None:
    acme.api.act("update-contact", phone=PHONE, name="by token")
    job = bring(tmp_path / "shop.csv", f"phone,name\n{PHONE},by import\n")
    change(contact, "command:retag", name="by command")
    change(contact, f"user:{colleague.pk}", name="by user")
    change(contact, "", name="by nobody")
    rows = told(staff, contact)
    for row, who in zip(
        rows,
        [" - ", colleague.email, "command:retag", "import of shop.csv",
         f"{acme.token.actor} (tests)"],
        strict=False,
    ):  # fmt: skip
        assert who in row
    page = staff.get(url(Contact, "history", contact.pk)).content.decode()
    assert f'<a href="{url(Import, "change", job)}">import of shop.csv</a>' in page
    assert staff.get(url(Import, "change", job)).status_code == 200


def test_the_history_shows_the_request_id(acme: SimpleNamespace, staff: Client) -> None:
    answer = acme.api.create(PHONE)
    assert answer.headers["X-Request-Id"] in told(staff, Contact.objects.get())[0]


def test_users_of_another_tenant_are_not_named(
    staff: Client, contact: Contact, globex: SimpleNamespace, superuser: Client
) -> None:
    theirs = Import.objects.create(tenant=globex.tenant, file_name="theirs.csv")
    for actor in (f"user:{globex.user.pk}", globex.token.actor, f"import:{theirs.pk}"):
        change(contact, actor, name=actor)
        [row, *_] = told(staff, contact)
        assert row.count(actor) == 2, "as its name, and as it is"
        assert "(tests)" not in row
    boss = User.objects.get(is_superuser=True)
    change(contact, f"user:{boss.pk}", name="")
    assert boss.email in told(staff, contact)[0]


@in_one_test(
    "actor", ["user:x", "user:" + "9" * 90, "user:", "import:x", "import:", ":", "x", "token:"]
)
def test_an_unknown_actor_is_shown_unchanged(staff: Client, contact: Contact, actor: str) -> None:
    change(contact, actor, name="x")
    assert actor in told(staff, contact)[0]


def test_the_history_has_pages(staff: Client, contact: Contact) -> None:
    for number in range(describe.PAGE_SIZE + 9):
        change(contact, name=f"n{number}")
    seen, older = [], [""]
    while older:
        page = staff.get(f"{url(Contact, 'history', contact.pk)}{older[0]}").content.decode()
        seen += re.findall(r"name: \S+ → (\w+)", re.sub(r"</?bdi>", "", unescape(page)))
        older = re.findall(r'href="(\?before=\d+)"', page)
    assert seen == [f"n{number}" for number in reversed(range(describe.PAGE_SIZE + 9))]


@in_one_test("before", ["x", "-1", "9" * 40, "%00", "1.5", ""])
def test_an_invalid_page_of_the_history_is_the_first_page(
    staff: Client, contact: Contact, before: str
) -> None:
    assert len(told(staff, contact, before=before)) == 1
    assert told(staff, contact, before="0") == []


def test_the_history_costs_a_constant_number_of_statements(
    staff: Client, colleague: User, acme: SimpleNamespace, contact: Contact
) -> None:
    def cost() -> int:
        sql = statements(lambda: staff.get(url(Contact, "history", contact.pk)))
        assert not [line for line in sql if "OFFSET" in line or "COUNT(" in line]
        return len(sql)

    def changes(number: int) -> None:
        job = Import.objects.create(tenant=acme.tenant, file_name=f"f{number}")
        for actor in (f"user:{colleague.pk}", acme.token.actor, f"import:{job.pk}", "command:x"):
            change(contact, actor, name=f"{actor}{number}", tags=[f"{number}"])
        consent.decide_one(acme.tenant, {"phone": PHONE}, Decision(OPTED_IN, MAY, proof=f"{job}"))

    changes(0)
    first = cost()
    for number in range(1, 12):
        colleague = staff_of(acme.tenant)
        changes(number)
    assert cost() == first <= 15


def test_long_values_and_thousands_of_keys_are_cut(staff: Client, contact: Contact) -> None:
    change(contact, metadata={"k": "x" * 60_000})
    change(contact, metadata={f"{number}": number for number in range(3000)})
    rows = told(staff, contact)
    assert "and 2901 more" in rows[0]
    assert "… (60,002 characters)" in rows[1]
    assert len(rows[0] + rows[1]) < 10_000


def test_the_history_shows_a_merge_and_a_deletion(staff: Client, acme: SimpleNamespace) -> None:
    for phone in ("+541187654321", "+5491187654321"):
        ContactFactory.create(tenant=acme.tenant, phone=phone, name=phone)
    lines("merge_duplicates", "--by", "phone-variant", "--tenant", "acme", "--yes")
    kept = Contact.objects.get()
    lines("undo", "--change-set", last_set())
    other = Contact.objects.exclude(pk=kept.pk).get()
    rows = told(staff, other)
    assert "Merged" in rows[1]
    assert f"merged into: {kept.pk}" in rows[1]
    assert "phone: +5491187654321 → -" in rows[1]


def test_the_history_shows_a_change_of_phone_with_the_phone_that_was_kept(
    staff: Client, acme: SimpleNamespace
) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, phone="+14155550101")
    key = {"contact_id": contact.pk}
    change_phone.change_one(acme.tenant, key, "+14155550102", {}, keep_former=True)
    change_phone.change_one(acme.tenant, key, "+14155550101", {})
    back, kept, _ = told(staff, contact)
    assert "phone: +14155550101 → +14155550102" in kept
    assert "former phones added: +14155550101" in kept
    assert "former phones removed: +14155550101" in back


# Permissions


def pages_of(contact: Contact) -> list[str]:
    return [url(Contact, "history", contact.pk), consent_page(contact)]


def test_a_contact_of_another_tenant_is_answered_like_a_missing_contact(
    staff: Client, superuser: Client, globex: SimpleNamespace, contact: Contact
) -> None:
    change_set = change(ContactFactory.create(tenant=globex.tenant, name="secret"), name="x")
    theirs = globex.tenant.contacts.get()

    def answer(address: str, known: str) -> Any:
        """The responses to GET and POST with their messages, without the id in the URL."""
        found = []
        for ask in (staff.get, staff.post):
            response = ask(address, {"status": "opted_out"})
            assert response.status_code == 302
            page = text(staff.get(response.headers["Location"]))
            assert known in page
            found.append((response.headers["Location"], page.replace(known, "ID")))
        return found

    nobody = Contact(pk=new_ulid())
    for there, unknown in zip(pages_of(theirs), pages_of(nobody), strict=True):
        assert answer(there, theirs.pk) == answer(unknown, nobody.pk)
        assert superuser.get(there).status_code == 200
    unknown = new_ulid()
    assert answer(undo_page(change_set), change_set) == answer(undo_page(unknown), unknown)
    assert superuser.get(undo_page(change_set)).status_code == 200
    theirs.refresh_from_db()
    assert (theirs.name, theirs.opted_out_at) == ("x", None)


def test_staff_without_a_tenant_and_outsiders_see_nothing(
    contact: Contact, outsider: SimpleNamespace
) -> None:
    change_set = change(contact, name="Annabel Lee")
    for address in [*pages_of(contact), undo_page(change_set)]:
        for user in (staff_of(None), outsider.user):
            assert "Annabel" not in logged_in(user).get(address, follow=True).content.decode()
        assert reverse("admin:login") in Client().get(address).headers["Location"]
        assert reverse("admin:login") in logged_in(outsider.user).get(address)["Location"]


@pytest.mark.parametrize(
    ("codenames", "may"),
    [
        (["view_tag"], ""),
        (["view_contact"], "history"),
        (["view_contact", "change_contact"], "history consent"),
        (["view_contact", "change_contact", "delete_contact"], "history consent"),
        (["view_contact", "change_contact", "add_contact"], "history consent"),
        (["view_contact", "add_contact", "delete_contact"], "history"),
        (["change_contact", "delete_contact", "add_contact"], "history consent undo"),
    ],
)
def test_each_page_needs_its_permissions(
    acme: SimpleNamespace, contact: Contact, codenames: list[str], may: str
) -> None:
    change_set = change(contact, name="Bob")
    client = logged_in(staff_of(acme.tenant, *codenames))
    pages = [*pages_of(contact), undo_page(change_set)]
    for name, address in zip(["history", "consent", "undo"], pages, strict=True):
        assert client.get(address).status_code == (200 if name in may else 403)
        if name not in may:
            assert client.post(address, {"status": "opted_out"}).status_code == 403
    contact.refresh_from_db()
    assert (contact.name, contact.opted_out_at) == ("Bob", None)
    if may:
        links = client.get(url(Contact, "change", contact.pk)).content.decode()
        assert (consent_page(contact) in links) == ("consent" in may)
        rows = client.get(url(Contact, "history", contact.pk)).content.decode()
        assert (undo_page(change_set) in rows) == ("undo" in may)


def test_values_from_outside_are_escaped_on_every_page(
    staff: Client, acme: SimpleNamespace, contact: Contact
) -> None:
    acme.token.name = ATTACK
    acme.token.save()
    job = Import.objects.create(
        tenant=acme.tenant, file_name=ATTACK, state=Import.State.DONE, updated=1,
        options={"mode": "upsert"},
    )  # fmt: skip
    sets = [
        change(contact, actor, name=ATTACK + actor, tags=[ATTACK, actor], metadata={ATTACK: ATTACK})
        for actor in (ATTACK, f"import:{job.pk}", acme.token.actor)
    ]
    for decision in (Decision(OPTED_IN, MAY, ATTACK, ATTACK), Decision(OPTED_OUT, JUNE, ATTACK)):
        consent.decide_one(acme.tenant, {"phone": PHONE}, decision)
    Change.objects.update(request_id=ATTACK)
    form = {"status": "opted_out", "source": ATTACK, "proof": ATTACK, "at_0": ATTACK, "at_1": "x"}
    answers = [
        *(staff.get(address) for address in [*pages_of(contact), *map(undo_page, sets)]),
        staff.get(url(Contact, "change", contact.pk)),
        staff.get(url(Import, "change", job.pk)),
        staff.post(consent_page(contact), form),
        staff.post(consent_page(contact), form | {"at_0": "", "at_1": ""}, follow=True),
        staff.get(undo_page(ATTACK), follow=True),
        staff.get(reverse("admin:contacts_contact_history", args=[ATTACK]), follow=True),
        *(staff.post(undo_page(change_set)) for change_set in sets),
    ]
    for answer in answers:
        assert ATTACK not in answer.content.decode(), answer.request
    assert sum(ATTACK in text(answer) for answer in answers) >= 8


# Consent


def consent_on_page(client: Client, contact: Contact) -> str:
    page = client.get(url(Contact, "change", contact.pk)).content.decode()
    return unescape(page.partition('<span class="consent">')[2].partition("</span>")[0])


def test_the_page_of_a_contact_shows_whether_it_may_be_contacted_and_why(
    staff: Client, acme: SimpleNamespace, contact: Contact
) -> None:
    assert consent_on_page(staff, contact) == "No consent recorded."
    key, tenant = {"phone": PHONE}, acme.tenant
    consent.decide_one(tenant, key, Decision(OPTED_IN, MAY, "checkout", "box ticked"))
    assert consent_on_page(staff, contact) == (
        "May be contacted: opted in on 2026-05-01 08:00:00 UTC, "
        "source “checkout”, proof “box ticked”."
    )
    consent.decide_one(tenant, key, Decision(OPTED_OUT, JUNE, "letter"))
    consent.decide_one(tenant, key, Decision(OPTED_IN, MAY + timedelta(days=1), "late"))
    assert consent_on_page(staff, contact) == (
        "Do not contact: opted out on 2026-06-01 08:00:00 UTC, source “letter”."
    )


def test_consent_from_a_merge_names_the_merge(acme: SimpleNamespace) -> None:
    for phone in ("+541187654321", "+5491187654321"):
        ContactFactory.create(tenant=acme.tenant, phone=phone)
    decision = Decision(OPTED_OUT, MAY, "letter")
    consent.decide_one(acme.tenant, {"phone": "+5491187654321"}, decision)
    lines("merge_duplicates", "--by", "phone-variant", "--tenant", "acme", "--yes")
    sentence = consent_of(Contact.objects.get())
    assert "Do not contact: opted out on 2026-05-01 08:00:00 UTC, set by" in sentence
    assert "command:merge_duplicates" in sentence


def test_consent_whose_history_was_pruned_says_so(acme: SimpleNamespace, contact: Contact) -> None:
    consent.decide_one(acme.tenant, {"phone": PHONE}, Decision(OPTED_IN, MAY))
    acme.tenant.changes.old(timezone.now(), keep=Q(pk__in=[])).prune()
    assert consent_of(Contact.objects.get()) == (
        "May be contacted: opted in on 2026-05-01 08:00:00 UTC (no details in the history)."
    )


def test_the_consent_sentence_costs_one_statement(acme: SimpleNamespace, contact: Contact) -> None:
    for day in range(5):
        decision = Decision([OPTED_IN, OPTED_OUT][day % 2], MAY + timedelta(days=day))
        consent.decide_one(acme.tenant, {"phone": PHONE}, decision)
    found = Contact.objects.get()
    assert len(statements(lambda: consent_of(found))) == 1


def test_the_form_for_a_new_contact_shows_no_consent(staff: Client) -> None:
    form = staff.get(url(Contact, "add"))
    assert form.status_code == 200
    assert "No consent recorded" not in text(form)


def test_staff_record_consent(staff: Client, colleague: User, contact: Contact) -> None:
    page = staff.get(consent_page(contact)).content.decode()
    assert all(f'name="{name}"' in page for name in ("status", "at_0", "at_1", "source", "proof"))
    form = {"status": "opted_in", "at_0": "2026-05-01", "at_1": "08:00:00", "source": " phone ",
            "proof": "call 7"}  # fmt: skip
    answer = staff.post(consent_page(contact), form)
    assert answer.headers["Location"] == url(Contact, "change", contact.pk)
    assert "Recorded: opted in. May be contacted" in text(staff.get(answer.headers["Location"]))
    contact.refresh_from_db()
    assert (contact.opted_in_at, contact.opted_out_at) == (MAY, None)
    entry = Change.objects.latest("pk")
    assert (entry.kind, entry.actor) == (OPTED_IN, f"user:{colleague.pk}")
    assert entry.fields["consent"] == {
        "at": MAY.isoformat(), "source": "phone", "proof": "call 7"
    }  # fmt: skip


def test_a_decision_without_a_time_gets_the_current_time(staff: Client, contact: Contact) -> None:
    before = timezone.now()
    staff.post(consent_page(contact), {"status": "opted_out"})
    contact.refresh_from_db()
    assert contact.opted_out_at
    assert before <= contact.opted_out_at <= timezone.now()


def test_an_older_decision_is_recorded_and_the_message_shows_the_one_that_counts(
    staff: Client, acme: SimpleNamespace, contact: Contact
) -> None:
    consent.decide_one(acme.tenant, {"phone": PHONE}, Decision(OPTED_OUT, JUNE))
    form = {"status": "opted_in", "at_0": "2026-05-01", "at_1": "08:00"}
    page = text(staff.post(consent_page(contact), form, follow=True))
    assert "Recorded: opted in. Do not contact" in page
    assert Change.objects.latest("pk").kind == OPTED_IN


@in_one_test(
    ("fields", "field", "reason"),
    [
        ({"status": ""}, "status", "required"),
        ({"status": "maybe"}, "status", "valid choice"),
        ({"at_0": "2999-01-01", "at_1": "00:00"}, "at", "is in the future"),
        ({"at_0": "yesterday", "at_1": "00:00"}, "at", "valid date"),
        ({"at_0": "2026-05-01"}, "at", "valid time"),
        ({"source": "x" * 101}, "source", "100 characters"),
        ({"proof": "x" * 1001}, "proof", "1000 characters"),
        ({"proof": "\0"}, "proof", "Null characters"),
        ({"source": "\ud800"}, "source", "U+D800"),
    ],
)
def test_a_bad_field_of_consent_is_a_form_error(
    acme: SimpleNamespace, contact: Contact, fields: dict[str, str], field: str, reason: str
) -> None:
    from contacts.admin.history import ConsentForm

    form = ConsentForm({"status": "opted_in"} | fields)
    assert list(form.errors) == [field]
    assert reason in form.errors[field][0]
    if "\ud800" not in "".join(fields.values()):  # no browser sends it
        page = text(logged_in(staff_of(acme.tenant)).post(consent_page(contact), form.data))
        assert reason in page
    assert Change.objects.latest("pk").kind == Change.Kind.CREATED


@pytest.mark.usefixtures("without_guard")
def test_a_contact_deleted_during_the_request_is_no_server_error(
    staff: Client, contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contacts.admin.history import HistoryAdmin

    record = HistoryAdmin.record

    def raced(self: Any, *args: Any) -> Any:
        Contact.objects.all().delete()
        return record(self, *args)

    monkeypatch.setattr(HistoryAdmin, "record", raced)
    page = text(staff.post(consent_page(contact), {"status": "opted_in"}, follow=True))
    assert "There is no contact" in page


# Undo


@pytest.fixture
def people(acme: SimpleNamespace) -> list[Contact]:
    return [
        ContactFactory.create(tenant=acme.tenant, phone=f"+141555500{n:02}", tags=["vip"])
        for n in range(25)
    ]


def test_the_undo_page_shows_the_change_set_and_a_preview(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    lines("retag", "--rename", "vip=gold", "--tenant", "acme")
    undone, before = last_set(), held(acme.tenant)
    changes = Change.objects.count()
    page = text(staff.get(undo_page(undone.lower())))
    assert "command:retag changed 25 contacts at" in page
    assert ": updated 25." in page
    shown = [f"acme {contact.phone}: tags" for contact in people]
    assert [line in page for line in shown] == [False] * 5 + [True] * 20, "the newest 20"
    assert "And 5 more contacts." in page
    assert held(acme.tenant) == before, "nothing is done yet"
    assert Change.objects.count() == changes


def test_confirming_undoes_the_change_set_in_the_name_of_the_user(
    staff: Client, colleague: User, acme: SimpleNamespace, people: list[Contact]
) -> None:
    before = held(acme.tenant)
    lines("retag", "--rename", "vip=gold", "--tenant", "acme")
    undone = last_set()
    acme.api.act("update-contact", phone=people[3].phone, tags="own")
    answer = staff.post(undo_page(undone))
    page = text(answer)
    assert "Undone" in page
    assert all(f"acme {contact.phone}: tags" in page for contact in people)
    after = held(acme.tenant)
    assert {pk for pk in before if before[pk] != after[pk]} == {people[3].pk}
    assert_links_match_tags()
    assert last_set() != undone
    assert Change.objects.latest("pk").actor == f"user:{colleague.pk}"
    assert undo_page(last_set()) in answer.content.decode()
    logged = LogEntry.objects.get()
    assert (logged.user, logged.object_repr) == (colleague, f"Undo: {undone}: 25 contacts")
    staff.post(undo_page(last_set()))
    tags = {tuple(contact.tags) for contact in Contact.objects.exclude(pk=people[3].pk)}
    assert tags == {("gold",)}, "the undo is undone"


def test_later_edits_are_listed_before_and_after_the_undo(staff: Client, contact: Contact) -> None:
    undone = change(contact, name="Bob", email="b@x.example")
    change(contact, name="Cleo")
    for page, heading in (
        (text(staff.get(undo_page(undone))), "Cannot be undone"),
        (text(staff.post(undo_page(undone))), "Not undone"),
    ):
        assert f"acme {PHONE}: email" in page
        assert f"acme {PHONE}: name has changed since" in page.partition(heading)[2]
    contact.refresh_from_db()
    assert (contact.name, contact.email) == ("Cleo", "")


def test_the_page_and_the_command_print_the_same_lines(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    lines("delete_contacts", "--tag", "vip", "--tenant", "acme", "--yes")
    acme.tenant.contacts.update_or_create(phone=people[-1].phone)
    undone = last_deletion()
    said = lines("undo", "--change-set", undone, "--dry-run", "--verbosity", "2")
    page = text(staff.get(undo_page(undone)))
    newest = [line for line in said if any(contact.phone in line for contact in people[5:])]
    assert len(newest) == 20
    assert all(line in page for line in newest)
    assert "another contact has the phone" in newest[0]
    assert newest[1] == f"acme {people[5].phone}: its end"


def last_deletion() -> str:
    found = Change.objects.filter(kind=Change.Kind.DELETED).latest("pk").change_set
    assert found is not None
    return found


def spread(acme: SimpleNamespace, globex: SimpleNamespace) -> str:
    """Makes a change set with changes of both tenants."""
    for member in (acme, globex):
        member.api.create(PHONE, tags="vip")
    lines("retag", "--rename", "vip=gold", "--all-tenants")
    return last_set()


def tags_of(*members: SimpleNamespace) -> list[list[str]]:
    return [member.tenant.contacts.get().tags for member in members]


def test_staff_see_and_undo_only_changes_of_their_own_tenant(
    staff: Client, superuser: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    undone = spread(acme, globex)
    page = text(staff.get(undo_page(undone)))
    assert "changed 1 contact at" in page
    assert ": updated 1." in page
    assert "globex" not in page
    assert "globex" not in text(staff.post(undo_page(undone)))
    assert tags_of(acme, globex) == [["vip"], ["gold"]]
    page = text(superuser.get(undo_page(undone)))
    assert "changed 2 contacts at" in page
    assert ": updated 2." in page
    assert f"globex {PHONE}: tags" in page
    superuser.post(undo_page(undone))
    assert tags_of(acme, globex) == [["vip"], ["vip"]]


@pytest.mark.parametrize("change_set", ["x", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "%00", "é"])
def test_a_missing_change_set_gets_a_message(staff: Client, change_set: str) -> None:
    answer = staff.get(undo_page(change_set), follow=True)
    assert "There are no changes with the id" in text(answer)


def test_undo_is_tried_again_if_a_phone_was_taken_in_between(
    staff: Client, contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone, attempts = change(contact, name="Bob"), []
    run = undo.Batch.run

    def raced(self: Any) -> Any:
        attempts.append(1)
        if len(attempts) == 1:
            raise IntegrityError
        return run(self)

    monkeypatch.setattr(undo.Batch, "run", raced)
    assert staff.post(undo_page(undone)).status_code == 200
    assert Contact.objects.get().name == "Ann"


def test_the_statements_of_the_page_do_not_grow_with_the_contacts(
    staff: Client, acme: SimpleNamespace
) -> None:
    def cost(number: int) -> int:
        for n in range(number):
            ContactFactory.create(tenant=acme.tenant, phone=f"+1415{number:03}{n:04}", tags=["vip"])
        lines("retag", "--rename", "vip=gold", "--tenant", "acme")
        found = len(statements(lambda: staff.get(undo_page(last_set()))))
        Contact.objects.all().delete()
        return found

    assert cost(20) == cost(60)


# Undo in the background


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (undo, bulk_actions):
        monkeypatch.setattr(module, "AT_ONCE", 10)
        monkeypatch.setattr(module, "BATCH", 10)


def test_up_to_a_thousand_contacts_are_undone_in_the_request() -> None:
    assert undo.AT_ONCE == bulk_actions.AT_ONCE == 1000


def test_a_worker_undoes_more_contacts_than_a_request_may(
    staff: Client, colleague: User, acme: SimpleNamespace, people: list[Contact], many: None,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    before = held(acme.tenant)
    lines("retag", "--rename", "vip=gold", "--tenant", "acme")
    undone = last_set()
    assert "This runs in the background" in text(staff.get(undo_page(undone)))
    with django_capture_on_commit_callbacks(execute=True):
        assert "0 of 25 contacts" in text(staff.post(undo_page(undone), follow=True))
    assert held(acme.tenant) != before
    task = DBTaskResult.objects.get()
    task.task.call(*task.args_kwargs["args"], **task.args_kwargs["kwargs"])
    assert held(acme.tenant) == before
    assert_links_match_tags()
    action, entry = BulkAction.objects.get(), Change.objects.latest("pk")
    assert (entry.actor, entry.change_set) == (f"user:{colleague.pk}", action.pk)
    assert colleague.email in told(staff, people[0])[0]
    done = text(staff.get(url(BulkAction, "change", action.pk)))
    assert "25 of 25 contacts: done" in done
    assert "Changed: 25" in done


def test_a_running_bulk_action_cannot_be_undone(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    pks = [contact.pk for contact in people]
    action = bulk_actions.plan(acme.tenant, "user:1", "add_tag", "gold", pks)
    caused = Change.objects.filter(change_set=action.pk)
    with caused_by("user:1", action.pk):
        tags.add_tags(acme.tenant, {"contact_id": pks[0]}, "gold")
    before = held(acme.tenant)
    for answer in (staff.get(undo_page(action.pk)), staff.post(undo_page(action.pk))):
        assert "This is still running." in text(answer)
    assert held(acme.tenant) == before
    bulk_actions.run(action)
    assert caused.count() == len(people)
    assert "This is still running." not in text(staff.post(undo_page(action.pk)))
    assert not acme.tenant.tags.get(name="gold").links.exists()


def test_changes_that_a_worker_could_not_undo_are_listed(
    staff: Client, acme: SimpleNamespace, people: list[Contact], many: None
) -> None:
    lines("retag", "--rename", "vip=gold", "--tenant", "acme")
    undone = last_set()
    acme.tenant.contacts.filter(pk=people[3].pk).delete()
    staff.post(undo_page(undone))
    action = BulkAction.objects.get()
    bulk_actions.run(action)
    done = text(staff.get(url(BulkAction, "change", action.pk)))
    assert "Changed: 24" in done
    assert f"{people[3].pk}: is gone by now" in done


def test_an_interrupted_undo_continues(
    staff: Client, acme: SimpleNamespace, people: list[Contact], many: None, monkeypatch: Any
) -> None:
    before = held(acme.tenant)
    lines("retag", "--rename", "vip=gold", "--tenant", "acme")
    staff.post(undo_page(last_set()))
    action = BulkAction.objects.get()
    with monkeypatch.context() as patched:
        stopped_after(patched, 1)
        with pytest.raises(KeyboardInterrupt):
            bulk_actions.run(action)
    changed = sum(before[pk] != now for pk, now in held(acme.tenant).items())
    assert 0 < changed < 25
    bulk_actions.run(action)
    assert held(acme.tenant) == before


def stopped_after(monkeypatch: Any, number: int) -> None:
    batches: list[Any] = []
    run: Callable[..., Any] = undo.Batch.run

    def stopping(self: Any) -> Any:
        if len(batches) == number:
            raise KeyboardInterrupt
        batches.append(self)
        return run(self)

    monkeypatch.setattr(undo.Batch, "run", stopping)


def test_an_undo_by_staff_does_not_change_other_tenants(
    staff: Client, superuser: Client, acme: SimpleNamespace, globex: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for module in (undo, bulk_actions):
        monkeypatch.setattr(module, "AT_ONCE", 0)
    undone = spread(acme, globex)
    answer = staff.post(undo_page(undone))
    [mine] = BulkAction.objects.all()
    assert answer.headers["Location"] == url(BulkAction, "change", mine.pk)
    answer = superuser.post(undo_page(undone))
    assert answer.headers["Location"] == url(BulkAction, "changelist"), "it shows both"
    everyones = BulkAction.objects.exclude(pk=mine.pk)
    assert {action.tenant for action in everyones} == {acme.tenant, globex.tenant}
    bulk_actions.run(mine)
    assert tags_of(acme, globex) == [["vip"], ["gold"]]
    for action in everyones:
        bulk_actions.run(action)
    assert tags_of(acme, globex) == [["vip"], ["vip"]]


# Imports


def test_an_import_is_undone_from_its_page(
    staff: Client, acme: SimpleNamespace, tmp_path: Path
) -> None:
    acme.api.create(PHONE, name="Ann")
    before = held(acme.tenant)
    job = bring(tmp_path / "f.csv", f"phone,name\n{PHONE},Bob\n{OTHER},Zoe\n")
    assert undo_page(job) in staff.get(url(Import, "change", job)).content.decode()
    page = text(staff.get(undo_page(job)))
    assert "import of f.csv changed 2 contacts at" in page
    assert "created 1, updated 1" in page
    assert f"acme {OTHER}: its creation" in page
    staff.post(undo_page(job))
    assert held(acme.tenant) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"state": Import.State.WRITING, "created": 1},
        {"state": Import.State.REFUSED},
        {"state": Import.State.DONE, "created": 1, "dry_run": True},
        {"state": Import.State.DONE, "unchanged": 1, "failed": 1},
    ],
)
def test_an_import_that_wrote_nothing_or_still_runs_offers_no_undo(
    staff: Client, acme: SimpleNamespace, fields: dict[str, Any]
) -> None:
    options = {"mode": "upsert"}
    job = Import.objects.create(tenant=acme.tenant, file_name="f", options=options, **fields)
    page = staff.get(url(Import, "change", job.pk))
    assert page.status_code == 200
    assert undo_page(job.pk) not in page.content.decode()


def test_staff_without_permission_to_undo_get_no_undo_link_on_an_import(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    job = bring(tmp_path / "f.csv", f"phone,name\n{PHONE},Bob\n")
    viewer = logged_in(staff_of(acme.tenant, "view_import", "change_contact"))
    page = viewer.get(url(Import, "change", job))
    assert page.status_code == 200
    assert undo_page(job) not in page.content.decode()
