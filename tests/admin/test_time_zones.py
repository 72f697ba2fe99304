"""Each user has a time zone: times in the admin are in it, and days begin at its midnight."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.change_log.cause import caused_by
from contacts.models import Change, Contact, SavedView
from tenants.fields import first_ulid, new_ulid
from tenants.models import User
from tests.support.admin import LIST, context_of, errors, logged_in, staff_of, text_of, url
from tests.support.admin_imports import drafted, looked_at, press, work
from tests.support.factories import ContactFactory

pytestmark = pytest.mark.django_db
PREFERENCES = reverse("admin:preferences")
CHANGES = reverse("admin:contacts_change_changelist")
NOW = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)  # 00:30 on Tuesday in Berlin, 18:30 in New York
SEEN = datetime(2026, 11, 30, 22, 30, tzinfo=UTC)  # 23:30 on Monday in Berlin


@pytest.fixture
def berlin(acme: SimpleNamespace) -> Client:
    return somebody_in(acme, "Europe/Berlin")


@pytest.fixture
def new_york(acme: SimpleNamespace) -> Client:
    return somebody_in(acme, "America/New_York")


def somebody_in(member: SimpleNamespace, zone: str) -> Client:
    user = staff_of(member.tenant)
    User.objects.filter(pk=user.pk).update(time_zone=zone)
    return logged_in(user)


@pytest.fixture
def ada(acme: SimpleNamespace) -> Contact:
    """A contact that somebody made an hour before `NOW`."""
    with caused_by("", change_set := new_ulid()):
        pk = first_ulid(SEEN)[:10] + new_ulid()[10:]
        made = ContactFactory.create(tenant=acme.tenant, pk=pk, name="Ada", created_at=SEEN)
    Change.objects.filter(change_set=change_set).update(at=SEEN)
    return made


@pytest.mark.both
def test_days_begin_at_the_midnight_of_the_user(
    berlin: Client, new_york: Client, acme: SimpleNamespace, ada: Contact,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    User.objects.filter(pk=acme.user.pk).update(time_zone="Europe/Berlin")
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    for client, day, today, at, offset in (
        (berlin, "yesterday", "12-01", "2026-11-30 23:30:00 CET", "UTC+1"),
        (new_york, "today", "11-30", "2026-11-30 17:30:00 EST", "UTC-5"),
    ):
        for when in ("today", "yesterday"):
            answer = client.get(CHANGES, {"when": when})
            assert (at in text_of(answer)) == (when == day)
        new = context_of(client, reverse("admin:contacts_contact_overview"))["new"]
        assert new["parts"][-1] == (today, int(day == "today"), 0)
        for query, found in (
            ({"created_to": "2026-11-30"}, 1),
            ({"created_from": "2026-12-01"}, 0),
        ):
            assert len(context_of(client, LIST, query)["cl"].result_list) == found
        assert timezone.get_current_timezone_name() == "UTC", "the page is over"
        assert f"{offset}<span" in text_of(answer)
    found = acme.api.act("get-contact", contact_id=ada.pk).json()
    assert found["created_at"] == "2026-11-30T22:30:00+00:00", "the API always uses UTC"


@pytest.mark.both
def test_a_shared_view_finds_the_same_contacts_in_every_time_zone(
    berlin: Client, new_york: Client, ada: Contact
) -> None:
    days = "created_from=2026-12-01&created_to=2026-12-31"
    page = f"{url(SavedView, 'add')}?{urlencode({'list': days})}"
    berlin.post(page, {"name": "December", "is_shared": "on"})
    view = SavedView.objects.get()
    assert view.filter["created_since"] == "2026-12-01T00:00:00+01:00"
    for client, texts in (
        (berlin, ["Created from: 2026-12-01", "Created until: 2026-12-31"]),
        (new_york, ["Created from: 2026-11-30 18:00:00 EST",
                    "Created until: 2026-12-31 18:00:00 EST"]),
    ):  # fmt: skip
        address = context_of(client, url(SavedView, "change", view.pk))["address"]
        answer = client.get(address)
        for text in (*texts, "Edit the view “<bdi>December</bdi>”"):
            assert text in text_of(answer)
        assert answer.context["cl"].result_list == []
        Contact.objects.update(created_at=datetime(2026, 11, 30, 23, tzinfo=UTC))
        assert len(context_of(client, address)["cl"].result_list) == 1
        Contact.objects.update(created_at=SEEN)
    assert 'type="text" name="created_from"' in text_of(new_york.get(address))


def test_dates_of_consent_begin_at_the_midnight_of_the_user(
    berlin: Client, ada: Contact, data_dir: Any
) -> None:
    page = reverse("admin:contacts_contact_consent", args=[ada.pk])
    berlin.post(page, {"status": "opted_in", "at_0": "2026-05-02", "at_1": "00:30"})
    ada.refresh_from_db()
    assert ada.opted_in_at == datetime(2026, 5, 1, 22, 30, tzinfo=UTC)
    job = drafted(berlin, "phone,agreed\n+33612345678,yes\n")
    press(berlin, job, "update", agreed="consent", consent_since="2026-05-07")
    assert looked_at(berlin, job)["form"]["consent_since"].value() == "2026-05-07"
    press(berlin, job, "run")
    assert work(job).created == 1
    [zoe] = Contact.objects.filter(phone="+33612345678")
    assert zoe.opted_in_at == datetime(2026, 5, 6, 22, tzinfo=UTC)
    job = drafted(berlin, "phone,agreed\n+33612345678,no\n")
    press(berlin, job, "run", agreed="consent", consent_since="2026-05-08", timezone="Asia/Tokyo")
    work(job)
    zoe.refresh_from_db()
    assert zoe.opted_out_at == datetime(2026, 5, 7, 15, tzinfo=UTC), "the zone of the file's dates"


def test_users_choose_their_own_time_zone(acme: SimpleNamespace, settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    user, other = staff_of(acme.tenant, "view_contact"), staff_of(acme.tenant)
    client = logged_in(user)
    assert "As this installation: Paris (Europe)" in text_of(client.get(PREFERENCES))
    assert "time zone Europe/Paris" in text_of(client.get(PREFERENCES))
    for name, problem in (("Atlantis/City", "not one of"), ("../etc/passwd", "not one of")):
        answer = client.post(PREFERENCES, {"time_zone": name})
        assert problem in str(answer.context["form"].errors)
    data = {"time_zone": "America/Indiana/Knox", "is_superuser": "on", "email": "x@example.com"}
    assert client.post(PREFERENCES, data).status_code == 302
    assert "Knox, Indiana (America)" in text_of(client.get(PREFERENCES))
    assert "time zone America/Indiana/Knox" in text_of(client.get(PREFERENCES))
    stored = User.objects.in_bulk()
    assert (stored[user.pk].time_zone, stored[user.pk].is_superuser) == (data["time_zone"], False)
    assert (stored[user.pk].email, stored[other.pk].time_zone) == (user.email, "")
    User.objects.filter(pk=user.pk).update(time_zone="Nowhere/Now")
    assert "time zone Europe/Paris" in text_of(client.get(PREFERENCES)), "data of another machine"
    assert Client().get(PREFERENCES).status_code == 302


def test_managers_choose_the_time_zone_of_people_of_their_tenant(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    manager = logged_in(staff_of(acme.tenant))
    for user, is_theirs in ((staff_of(acme.tenant, "view_contact"), True), (globex.user, False)):
        page = url(User, "change", user.pk)
        data = {"email": user.email, "name": "", "is_active": "on", "is_staff": "on"}
        answer = manager.post(page, data | {"time_zone": "Asia/Tokyo"})
        user.refresh_from_db()
        assert (answer.status_code, user.time_zone) == (302, "Asia/Tokyo" if is_theirs else "")
    user = User.objects.get(time_zone="Asia/Tokyo")
    page = url(User, "change", user.pk)
    wrong = manager.post(page, {"email": user.email, "time_zone": "Mars"})
    assert "time_zone" in errors(wrong)
