"""Writes, merges, changes of phone, releases and undos in any order: a phone, current or former,
belongs to one contact at each moment, and undoing everything leads back."""

from contextlib import suppress
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from contacts.change_log.cause import caused_by
from contacts.change_log.difference import LOGGED_FIELDS
from contacts.models import Contact
from contacts.writing import change_phone, former_phones, merge, upsert
from contacts.writing.change_phone import PhoneTaken
from contacts.writing.undo import ChangeSet, Kept, Reason
from tenants.fields import new_ulid
from tenants.models import Tenant
from tests.support.examples import NUMBER, PROFILE
from tests.support.factories import TenantFactory
from tests.support.sql import assert_links_match_tags

pytestmark = [pytest.mark.both, pytest.mark.django_db]
PHONES = ["+14155550111", "+14155550222", "+525512345678", "+5511987654321"]
phones, names = st.sampled_from(PHONES), st.sampled_from(["", "Ann", "Bob"])
some_phones = st.lists(phones, min_size=1, unique=True)


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tenant = TenantFactory.create()
        for phone in PHONES[:3]:
            self.tenant.contacts.update_or_create(phone=phone, defaults={"tags": ["old"]})
        self.done: list[tuple[str, Any]] = []  # change sets, and what was stored before each

    def held(self) -> Any:
        """What each phone stands for: a contact with its values, or the contact that had it."""
        rows = Contact.all_phones.filter(tenant=self.tenant).order_by("phone")
        return [(row.phone, row.former_of_id or (row.pk, row.logged_values(LOGGED_FIELDS)))
                for row in rows]  # fmt: skip

    def change(self, verb: Any) -> None:
        self.done.append((new_ulid(), self.held()))
        refused = (Contact.DoesNotExist, PhoneTaken)
        with caused_by("command:test", self.done[-1][0]), suppress(*refused):
            verb()

    @rule(phone=phones, name=names)
    def create(self, phone: str, name: str) -> None:
        values = {"name": name, "tags": [name] if name else []}
        self.change(lambda: self.tenant.contacts.update_or_create(phone=phone, defaults=values))

    @rule(several=some_phones, name=names, had=phones)
    def bring(self, several: list[str], name: str, had: str) -> None:
        """Writes as an import does if its first row has a former phone that nobody has."""
        rows = {phone: f'{{"id": "{int(new_ulid(), 36) % 16**32:032x}", "phone": "{phone}",'
                       f' "metadata": {{"{name}": 1}}}}' for phone in several}  # fmt: skip
        new = Contact(tenant=self.tenant)

        def verb() -> None:
            with transaction.atomic():
                upsert.upsert_rows(rows, ["metadata"], ["metadata"], new)
                if not Contact.all_phones.filter(tenant=self.tenant, phone=had).exists():
                    former_phones.add_many(self.tenant, {several[0]: [had]})

        self.change(verb)

    @rule(one=phones, other=phones, chosen=st.sampled_from(["phone", "name", None]))
    def merge(self, one: str, other: str, chosen: str | None) -> None:
        def verb() -> None:
            stays, goes = (self.tenant.contacts.find(phone=phone).pk for phone in (one, other))
            if stays != goes:
                choose = {chosen: goes} if chosen else {}
                merge.merge_into(self.tenant, stays, [goes], choose)

        self.change(verb)

    @rule(phone=phones, new=phones, keep=st.booleans())
    def new_phone(self, phone: str, new: str, keep: bool) -> None:
        key = {"phone": phone}
        self.change(lambda: change_phone.change_one(self.tenant, key, new, {}, keep_former=keep))

    @rule(phone=phones, former=phones)
    def release(self, phone: str, former: str) -> None:
        self.change(lambda: former_phones.release(self.tenant, {"phone": phone}, former))

    @rule(phone=phones)
    def delete(self, phone: str) -> None:
        self.change(lambda: self.tenant.contacts.find(phone=phone).delete())

    @rule(which=st.integers(0, 9))
    def undo_one(self, which: int) -> None:
        """Of any change set, also one that others have followed."""
        if which < len(self.done):
            change_set, _ = self.done[-1 - which]
            self.change(lambda: self.undo(change_set))

    def undo(self, change_set: str) -> list[Kept]:
        """What was not taken back."""
        found = ChangeSet(change_set, Tenant.objects.filter(pk=self.tenant.pk)).take_back()
        return [kept for _, undone in found for kept in undone.kept]

    @invariant()
    def each_phone_finds_one_contact(self) -> None:
        rows = [*Contact.all_phones.filter(tenant=self.tenant)]
        current = {row.pk for row in rows if row.former_of_id is None}
        assert len({row.phone for row in rows}) == len(rows)
        assert all(row.former_of_id in current for row in rows if row.former_of_id)
        assert_links_match_tags()

    def teardown(self) -> None:
        for change_set, before in reversed(self.done):
            with caused_by("command:undo", new_ulid()):
                kept = self.undo(change_set)
            self.each_phone_finds_one_contact()
            # A contact that was created and changed stays, also if the change was undone; then it
            # has its phone, and contacts from before cannot get that phone back.
            if Kept("", Reason.CHANGED) in kept:
                break
            assert not kept
            assert self.held() == before
        self.tenant.delete()


@pytest.mark.slow
@pytest.mark.usefixtures("db")
def test_undoing_a_history_of_phones_in_reverse_leads_back_and_no_phone_has_two_contacts() -> None:
    # Each takes a quarter of a second; both databases together try fifty.
    examples = 2 if PROFILE == "quick" else NUMBER // 8
    few = settings(
        max_examples=examples, stateful_step_count=8, suppress_health_check=[*HealthCheck]
    )
    run_state_machine_as_test(Histories, settings=few)
