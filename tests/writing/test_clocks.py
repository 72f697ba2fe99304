"""Clocks that step back, and clocks of servers that differ: no change gets lost for a reader."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from contacts.change_log.cause import caused_by
from contacts.db.connections import text_updated_after
from contacts.db.sqlite import SQLite
from contacts.jobs import bulk_actions
from contacts.models import BY_CHANGE, BulkAction, Change, Contact
from contacts.writing.merge import merge as merge_contacts
from tenants.models import Tenant
from tests.support.admin import contact_form, logged_in, url
from tests.support.api import PHONE, Api
from tests.support.clock import Clock
from tests.support.commands import lines
from tests.support.factories import ContactFactory
from tests.support.undo import bring, last_set

pytestmark = [pytest.mark.both, pytest.mark.django_db]
HOUR = timedelta(hours=1)
OTHER = "+14155550124"


def places(tenant: Tenant) -> dict[str, datetime]:
    """Where list-contacts shows each contact that is there, or was."""
    entries: list[Any] = tenant.changes.tombstones(None, 500, None)
    return {
        entry.pk: entry.updated_at
        for entry in [*entries, *tenant.contacts.listed(BY_CHANGE, None, 500).rows]
    }


# Every way to change the contact with the phone PHONE: the name Ada, the tags vip and x


def act(action: str, **body: Any) -> Callable[..., None]:
    def run(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
        answer = acme.api.act(action, phone=PHONE, **body)
        assert answer.status_code in (200, 201), answer.content

    return run


def create_contacts(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    answer = acme.api.act("create-contacts", contacts=[{"phone": PHONE}, {"phone": OTHER}])
    assert answer.json()["updated"] >= 1


def command(name: str, *options: str) -> Callable[..., None]:
    def run(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
        lines(name, "--tenant", "acme", *options)

    return run


def undo(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    lines("undo", "--change-set", last_set())


def import_file(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    bring(path / "file.csv", f"phone,name\n{PHONE},Grace\n")


def erase(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    lines("erase_contact", PHONE, "--tenant", "acme")


def bulk(kind: str, value: str = "") -> Callable[..., None]:
    def run(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
        action = bulk_actions.plan(acme.tenant, "user:1", kind, value, [ada.pk])
        bulk_actions.run(action)
        assert BulkAction.objects.get(pk=action.pk).changed == 1

    return run


def page_of_a_contact(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    client, page = client_of(acme), url(Contact, "change", ada.pk)
    assert client.post(page, contact_form(client, page, name="Grace")).status_code == 302


def client_of(acme: SimpleNamespace) -> Client:
    acme.user.is_staff = acme.user.is_superuser = True
    acme.user.save()
    return logged_in(acme.user)


def rename_tag(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    tag = acme.tenant.tags.get(name="vip")
    tag.name = "gold"
    tag.save()


def delete_tag(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    acme.tenant.tags.get(name="vip").delete()


def nothing(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    pass


def with_an_old_phone(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    Contact.objects.filter(pk=ada.pk).update(phone="+4402079460958")


def merge(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    other = ContactFactory.create(tenant=acme.tenant, phone=OTHER, metadata={"a": 1})
    [(_, _, problem)] = merge_contacts([[ada, other]])
    assert not problem


def merge_into_another(acme: SimpleNamespace, ada: Contact, path: Path) -> None:
    first = ContactFactory.create(tenant=acme.tenant, phone=OTHER, pk="0" * 26)
    with caused_by("command:test"):
        merge_contacts([[ada, first]])
    assert not Contact.objects.filter(pk=ada.pk).exists()


WAYS: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "create-contact": (nothing, act("create-contact", name="Grace")),
    "create-contacts": (nothing, create_contacts),
    "update-contact": (nothing, act("update-contact", name="Grace")),
    "add-tag": (nothing, act("add-tag", tag="new")),
    "remove-tag": (nothing, act("remove-tag", tag="vip")),
    "record-consent": (nothing, act("record-consent", status="opted_out")),
    "delete-contact": (nothing, act("delete-contact")),
    "import_contacts": (nothing, import_file),
    "retag": (nothing, command("retag", "--rename", "vip=gold")),
    "normalize_phones": (with_an_old_phone, command("normalize_phones")),
    "record_consent": (
        nothing, command("record_consent", "--tag", "vip", "--status", "opted_out"),
    ),
    "delete_contacts": (nothing, command("delete_contacts", "--tag", "vip", "--yes")),
    "erase_contact": (nothing, erase),
    "merge": (nothing, merge),
    "merge into another": (nothing, merge_into_another),
    "undo of a change": (act("update-contact", name="Grace"), undo),
    "undo of a deletion": (act("delete-contact"), undo),
    "undo of a merge": (merge_into_another, undo),
    "admin, page of a contact": (nothing, page_of_a_contact),
    "admin, add a tag": (nothing, bulk(BulkAction.Kind.ADD_TAG, "new")),
    "admin, set the locale": (nothing, bulk(BulkAction.Kind.SET_LOCALE, "fr")),
    "admin, opt out": (nothing, bulk(BulkAction.Kind.OPT_OUT)),
    "admin, delete": (nothing, bulk(BulkAction.Kind.DELETE)),
    "a tag is renamed": (nothing, rename_tag),
    "a tag is deleted": (nothing, delete_tag),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("back", [-HOUR, timedelta()], ids=["stepped back", "stands still"])
def test_a_change_moves_a_contact_on_whatever_the_clock_says(
    acme: SimpleNamespace, clock: Clock, tmp_path: Path, way: str, back: timedelta
) -> None:
    prepare, change = WAYS[way]
    ada = ContactFactory.create(
        tenant=acme.tenant, phone=PHONE, name="Ada", tags=["vip", "x"], metadata={"a": 0}
    )
    prepare(acme, ada, tmp_path)
    before, number = places(acme.tenant)[ada.pk], Change.objects.count()
    clock.offset = back
    change(acme, ada, tmp_path)
    assert Change.objects.count() > number
    assert before < places(acme.tenant)[ada.pk]
    if back:
        assert places(acme.tenant)[ada.pk] < before + timedelta(seconds=1), "no more than needed"


@pytest.mark.parametrize("seed", range(3))
def test_a_sync_that_overlaps_by_a_minute_misses_nothing_within_a_minute_of_clocks(
    acme: SimpleNamespace, clock: Clock, seed: int
) -> None:
    """As docs/api.md describes it. The reader never takes an older state for a newer one."""
    chance = random.Random(seed)
    pks = [ContactFactory.create(tenant=acme.tenant, name=str(n)).pk for n in range(6)]
    known: dict[str, dict[str, Any]] = {}
    end: datetime | None = None
    for turn in range(6):
        since = end and (end - timedelta(minutes=1)).isoformat()
        cursor = None
        while True:
            page = acme.api.act("list-contacts", limit=2, cursor=cursor, updated_since=since).json()
            for row in page["data"]:
                if row["updated_at"] >= known.get(row["id"], row)["updated_at"]:
                    known[row["id"]] = row
            clock.offset = timedelta(seconds=chance.uniform(-25, 25))
            for _ in range(2 if turn < 5 else 0):
                name = f"{turn} {chance.random()}"
                acme.api.act("update-contact", contact_id=chance.choice(pks), name=name)
            cursor = page["next_cursor"]
            if cursor is None:
                break
        end = datetime.now(UTC)
    stored = dict(Contact.objects.values_list("pk", "name"))
    assert {pk: row["name"] for pk, row in known.items()} == stored


def test_a_reader_at_a_contact_gets_its_next_change_however_far_the_clock_steps(
    acme: SimpleNamespace, clock: Clock
) -> None:
    api: Api = acme.api
    ada = ContactFactory.create(tenant=acme.tenant, name="Ada")
    ContactFactory.create(tenant=acme.tenant, name="Last")
    follow: Any = partial(api.act, "list-contacts", limit=1, include_deleted=True)
    page = follow().json()
    changes: list[tuple[str, dict[str, Any]]] = [
        ("update-contact", {"name": "Grace"}),
        ("add-tag", {"tag": "vip"}),
        ("record-consent", {"status": "opted_in"}),
        ("delete-contact", {}),
    ]
    for action, body in changes:
        clock.offset -= HOUR
        assert api.act(action, contact_id=ada.pk, **body).status_code == 200
        page = follow(cursor=page["next_cursor"]).json()
        assert [row["id"] for row in page["data"]] == [ada.pk], action
    assert "deleted_at" in page["data"][0]


def test_who_restores_an_old_deletion_of_a_contact_that_was_deleted_again_is_seen(
    acme: SimpleNamespace, clock: Clock
) -> None:
    """The later deletion is what readers know."""
    ada = ContactFactory.create(tenant=acme.tenant, phone=PHONE)
    sets = []
    for _ in range(2):
        acme.api.act("delete-contact", contact_id=ada.pk)
        sets.append(last_set())
        lines("undo", "--change-set", sets[0])
    acme.api.act("delete-contact", contact_id=ada.pk)
    before = places(acme.tenant)[ada.pk]
    clock.offset = -HOUR
    lines("undo", "--change-set", sets[0])
    assert before < places(acme.tenant)[ada.pk]


@pytest.mark.parametrize("microsecond", [0, 1, 500_000, 999_999])
def test_timestamps_as_text_follow_the_rule_with_and_without_a_fraction(microsecond: int) -> None:
    stored = datetime(2026, 12, 31, 23, 59, 59, microsecond, tzinfo=UTC)
    for now in (stored, stored - HOUR, stored + timedelta(microseconds=1), stored + HOUR):
        text = text_updated_after(SQLite.moment(stored), SQLite.moment(now))
        assert text == SQLite.moment(max(now, stored + timedelta(microseconds=1)))
