"""Consent: the latest decision by its own time counts, and nobody is opted in by the way."""

import io
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from contacts.db.dialects import dialect_of
from contacts.db.rows import row_in_json
from contacts.management.commands import record_consent
from contacts.models import Change, Contact
from contacts.writing.consent import Decision, decide
from contacts.writing.upsert import upsert_rows
from tests.support.api import PHONE, Api, assert_error
from tests.support.cases import in_one_test
from tests.support.commands import lines
from tests.support.factories import ContactFactory
from tests.support.sql import statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
MAY, JUNE, JULY = (f"2026-0{n}-01T08:00:00+00:00" for n in (5, 6, 7))


@pytest.fixture
def contact(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(tenant=acme.tenant, phone=PHONE)


def record(api: Api, status: str, at: str = "", **fields: Any) -> list[str | None]:
    answer = api.act("record-consent", phone=PHONE, status=status, at=at, **fields)
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert list(body) == ["id", "phone", "opted_in_at", "opted_out_at"]
    return [body["opted_in_at"], body["opted_out_at"]]


def logged() -> list[tuple[str, dict[str, Any]]]:
    told = Change.objects.exclude(kind="created").order_by("pk")
    return list(told.values_list("kind", "fields"))


def test_opting_in_empties_the_opt_out_and_opting_out_keeps_the_opt_in(
    api: Api, contact: Contact
) -> None:
    assert record(api, "opted_in", MAY) == [MAY, None]
    assert record(api, "opted_out", JUNE) == [MAY, JUNE]
    assert record(api, "opted_in", JULY) == [JULY, None]


def test_without_a_time_it_is_now(api: Api, contact: Contact) -> None:
    before = timezone.now().replace(microsecond=0)
    [opted_in, _] = record(api, "opted_in")
    assert opted_in
    assert before <= datetime.fromisoformat(opted_in) <= timezone.now()


def test_a_decision_older_than_the_one_in_force_is_recorded_and_changes_nothing(
    api: Api, contact: Contact
) -> None:
    record(api, "opted_out", JUNE)
    before = Contact.objects.values().get()
    assert record(api, "opted_in", MAY, source="form", proof="order 7") == [None, JUNE]
    assert Contact.objects.values().get() == before
    assert logged()[-1] == (
        "opted_in", {"consent": {"at": MAY, "source": "form", "proof": "order 7"}}
    )  # fmt: skip


def test_a_decision_is_logged_with_its_source_and_proof(api: Api, contact: Contact) -> None:
    record(api, "opted_in", MAY, source="checkout", proof="box ticked")
    page = api.act("list-changes", phone=PHONE).json()
    assert page["data"][-1]["kind"] == "opted_in"
    assert page["data"][-1]["changes"] == {
        "opted_in_at": {"old": None, "new": MAY},
        "consent": {"at": MAY, "source": "checkout", "proof": "box ticked"},
    }


def test_the_same_decision_twice_is_recorded_once(api: Api, contact: Contact) -> None:
    for at in (MAY, JUNE, MAY):
        record(api, "opted_out", at, source="letter")
        record(api, "opted_out", at, source="letter")
    assert len(logged()) == 2
    record(api, "opted_out", MAY, source="phone call")
    assert len(logged()) == 3


DECISIONS = st.lists(
    st.tuples(st.sampled_from(["opted_in", "opted_out"]), st.integers(0, 4)), max_size=5
)


@given(DECISIONS)
def test_whatever_arrives_last_the_latest_decision_counts(decided: list[tuple[str, int]]) -> None:
    def status_after(order: Any) -> str:
        contact = Contact()
        for kind, day in order:
            at = datetime(2026, 5, 1 + day, tzinfo=UTC)
            decide(contact, Decision(Change.Kind(kind), at))
        if contact.opted_out_at:
            return f"out {contact.opted_out_at}"
        return f"in {contact.opted_in_at}"

    assert len({status_after(order) for order in permutations(decided)}) <= 1


@pytest.mark.parametrize("at", [MAY, JUNE, JULY])
@pytest.mark.parametrize(
    ("opted_in_at", "opted_out_at"),
    [(None, None), (JUNE, None), (None, JUNE), (MAY, JUNE), (JULY, JUNE)],
)
def test_the_statement_of_imports_puts_the_same_opt_out_in_force_as_a_recorded_decision(
    acme: SimpleNamespace, opted_in_at: str | None, opted_out_at: str | None, at: str
) -> None:
    stored = {"opted_in_at": moment(opted_in_at), "opted_out_at": moment(opted_out_at)}
    contact = ContactFactory.create(tenant=acme.tenant, phone=PHONE, **stored)
    decide(contact, Decision(Change.Kind.OPTED_OUT, datetime.fromisoformat(at)))
    fields = {"phone": PHONE, "opted_out_at": datetime.fromisoformat(at)}
    rows = {PHONE: row_in_json(f"{1:032x}", fields, dialect_of().moment)}
    upsert_rows(rows, ["opted_out_at"], ["opted_out_at"], Contact(tenant=acme.tenant))
    assert Contact.objects.get().opted_out_at == contact.opted_out_at


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@in_one_test(
    ("field", "value"),
    [("status", "maybe"), ("status", None), ("status", ["opted_in"]), ("at", "yesterday"),
     ("at", "2026-05-01T08:00:00"), ("at", "0001-01-01T00:00:00Z"), ("at", "1969-12-31T23:59:59Z"),
     ("at", 1), ("source", "x" * 101), ("proof", "x" * 1001),
     ("source", "\0"), ("proof", {})],
)  # fmt: skip
def test_a_bad_field_is_named(api: Api, contact: Contact, field: str, value: Any) -> None:
    body = {"phone": PHONE, "status": "opted_in", field: value}
    assert_error(api.act("record-consent", **body), 422, "validation_failed", field)
    assert logged() == []


def test_a_decision_cannot_lie_in_the_future(api: Api, contact: Contact) -> None:
    at = (timezone.now() + timedelta(minutes=1)).isoformat()
    response = api.act("record-consent", phone=PHONE, status="opted_in", at=at)
    assert_error(response, 422, "validation_failed", "at")


def test_no_upsert_and_no_update_touches_consent(api: Api, contact: Contact) -> None:
    record(api, "opted_out", JUNE)
    for action in ("create-contact", "update-contact"):
        api.act(action, phone=PHONE, name="x", opted_in_at=JULY, opted_out_at=None)
    api.act("create-contacts", contacts=[{"phone": PHONE, "opted_in_at": JULY}])
    assert Contact.objects.get().opted_out_at == datetime.fromisoformat(JUNE)
    assert Contact.objects.get().opted_in_at is None


# Import


def bring(path: Path, opted_in: str, opted_out: str, *options: str) -> None:
    path.write_text(f"phone,in,out\n{PHONE},{opted_in},{opted_out}\n")
    mapped = ["--map", "in=opted_in_at", "--map", "out=opted_out_at"]
    command = ["import_contacts", str(path), "--tenant", "acme", *mapped, *options]
    call_command(*command, stdout=io.StringIO(), stderr=io.StringIO())


@pytest.mark.parametrize(
    ("in_force", "given", "after"),
    [
        ((None, None), (MAY, ""), (MAY, None)),
        ((None, None), ("", MAY), (None, MAY)),
        ((JUNE, None), (MAY, ""), (JUNE, None)),  # an older decision
        ((JUNE, None), (JULY, ""), (JULY, None)),
        ((JUNE, None), ("", MAY), (JUNE, None)),  # an older decision
        ((JUNE, None), ("", JUNE), (JUNE, JUNE)),
        ((JUNE, None), ("", JULY), (JUNE, JULY)),
        ((None, JUNE), (JULY, ""), (None, JUNE)),  # an import opts nobody in again
        ((None, JUNE), ("", MAY), (None, JUNE)),
        ((MAY, JUNE), ("--", ""), (MAY, JUNE)),
    ],
)
def test_an_import_follows_the_same_rule_and_opts_nobody_in_again(
    acme: SimpleNamespace, tmp_path: Path, in_force: Any, given: Any, after: Any
) -> None:
    old_in, old_out = (at and datetime.fromisoformat(at) for at in in_force)
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, opted_in_at=old_in, opted_out_at=old_out)
    for _ in range(2):
        bring(tmp_path / "file.csv", *given)
        contact = Contact.objects.get()
        held = (contact.opted_in_at, contact.opted_out_at)
        assert tuple(at and at.isoformat() for at in held) == after
    changed = [name for name, old, new in zip(("in", "out"), in_force, after, strict=True)
               if old != new]  # fmt: skip
    assert [kind for kind, _ in logged()] == [f"opted_{name}" for name in changed]


@pytest.mark.parametrize("mode", ["upsert", "create-only"])
def test_consent_that_an_import_brings_is_logged_as_a_decision(
    acme: SimpleNamespace, tmp_path: Path, mode: str
) -> None:
    bring(tmp_path / "file.csv", MAY, JUNE, "--mode", mode)
    told = list(Change.objects.order_by("pk").values_list("kind", "fields"))
    assert told == [
        ("created", {}),
        ("opted_in", {"opted_in_at": {"old": None, "new": MAY},
                      "consent": {"at": MAY, "source": "csv_import", "proof": ""}}),
        ("opted_out", {"opted_out_at": {"old": None, "new": JUNE},
                       "consent": {"at": JUNE, "source": "csv_import", "proof": ""}}),
    ]  # fmt: skip


# Why may I write to this person?


def test_one_query_tells_why_a_person_may_be_written_to(
    acme: SimpleNamespace, globex: SimpleNamespace, contact: Contact
) -> None:
    theirs = ContactFactory.create(tenant=globex.tenant, phone=PHONE)
    for member in (acme, globex):
        member.api.act("update-contact", phone=PHONE, name="x")
        record(member.api, "opted_in", MAY, source=member.tenant.name)
    record(acme.api, "opted_out", JUNE)
    found: list[Change] = []
    reason = acme.tenant.changes.decisions(contact.pk)
    assert len(statements(lambda: found.extend(reason))) == 1
    assert [change.kind for change in found] == ["opted_in", "opted_out"]
    assert found[0].fields["consent"]["source"] == "Acme Co."
    assert not acme.tenant.changes.decisions(theirs.pk).exists()


def test_the_proof_is_kept_as_long_as_the_contact_is_or_the_one_it_was_merged_into(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    merged = [PHONE, "+14155550125", "+14155550126"]
    for member, phone in ((acme, "+14155550124"), (globex, PHONE), *((acme, p) for p in merged)):
        api = member.api
        api.create(phone)
        api.act("record-consent", phone=phone, status="opted_in", at=MAY, proof=f"form of {phone}")
    for kept, other in ((merged[1], merged[2]), (merged[0], merged[1])):  # the last one twice
        ids = [acme.tenant.contacts.get(phone=phone).pk for phone in (kept, other)]
        answer = acme.api.act("merge-contacts", contact_id=ids[0], merge_ids=ids[1:])
        assert answer.status_code == 200, answer.json()
    gone, theirs = Contact.objects.get(phone="+14155550124"), globex.tenant.contacts.get()
    gone.delete()
    Contact.objects.filter(pk=theirs.pk)._raw_delete("default")

    def proofs() -> list[str]:
        decisions = Change.objects.filter(kind="opted_in").order_by("pk")
        return [decision.fields["consent"]["proof"] for decision in decisions]

    Change.objects.update(at=timezone.now() - timedelta(days=500))
    lines("prune_changes", "--older-than", "400d")
    assert proofs() == [f"form of {phone}" for phone in merged]
    [end] = Change.objects.filter(contact_id=gone.pk)
    assert (end.kind, end.fields) == ("deleted", {})
    acme.tenant.contacts.get().delete()
    lines("prune_changes", "--older-than", "400d")
    assert proofs() == []


# The command


def test_the_command_records_for_all_who_carry_a_tag(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for n, at in enumerate([None, datetime.fromisoformat(JULY)]):
        ContactFactory.create(
            tenant=acme.tenant, phone=f"+1415555000{n}", tags=["vip"], opted_in_at=at
        )
    ContactFactory.create(tenant=globex.tenant, phone="+14155550000", tags=["vip"])
    command = ["record_consent", "--tenant", "acme", "--tag", "vip", "--status", "opted_out",
               "--at", JUNE, "--source", "campaign", "--proof", "letter of 3 June"]  # fmt: skip
    expected = ["acme +14155550000: opted_out, now out", "acme +14155550001: opted_out, now in"]
    assert lines(*command, "--dry-run") == [*expected, "dry run: decisions recorded: 2"]
    assert logged() == []
    assert lines(*command) == [*expected, "decisions recorded: 2"]
    assert lines(*command) == ["decisions recorded: 0"]
    assert [kind for kind, _ in logged()] == ["opted_out"] * 2
    assert {*Change.objects.filter(kind="opted_out").values_list("actor", flat=True)} == {
        "command:record_consent"
    }
    assert Contact.objects.filter(opted_out_at=None, tenant=globex.tenant).exists()


@in_one_test("at", [["--at", JUNE], []])
def test_the_command_does_only_the_rest_after_it_was_interrupted(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, at: list[str]
) -> None:
    for n in range(5):
        ContactFactory.create(tenant=acme.tenant, phone=f"+1415555000{n}", tags=["vip"])
    command = ["record_consent", "--tenant", "acme", "--tag", "vip", "--status", "opted_out", *at,
               "--source", "letter", "--batch-size", "2"]  # fmt: skip
    fix = record_consent.Command.fix

    def fails_at_the_third_batch(command: Any, tenant: Any, batch: list[Contact]) -> Any:
        if batch[0].phone == "+14155550004":
            raise KeyboardInterrupt
        return fix(command, tenant, batch)

    with monkeypatch.context() as patch:
        patch.setattr(record_consent.Command, "fix", fails_at_the_third_batch)
        with pytest.raises(KeyboardInterrupt):
            lines(*command)
    before = [*Contact.objects.order_by("phone").values_list("opted_out_at", flat=True)][:4]
    assert len(logged()) == 4
    assert lines(*command) == ["acme +14155550004: opted_out, now out", "decisions recorded: 1"]
    assert [*Contact.objects.order_by("phone").values_list("opted_out_at", flat=True)][:4] == before
    assert len(logged()) == 5
    other = ["another letter" if word == "letter" else word for word in command]
    assert lines(*other)[-1] == "decisions recorded: 5"


def test_the_command_refuses_a_moment_in_the_future(acme: SimpleNamespace) -> None:
    with pytest.raises(CommandError, match="--at: The time is in the future"):
        call_command("record_consent", "--tenant", "acme", "--tag", "vip",
                     "--status", "opted_out", "--at", "2999-01-01T00:00:00Z")  # fmt: skip


def test_the_statements_do_not_grow_with_the_decisions(acme: SimpleNamespace) -> None:
    def cost(number: int) -> int:
        tag = f"t{number}"
        for n in range(number):
            ContactFactory.create(tenant=acme.tenant, phone=f"+1415{number:03}{n:04}", tags=[tag])
        command = ["record_consent", "--tenant", "acme", "--tag", tag, "--status", "opted_in"]
        return len(statements(lambda: lines(*command)))

    assert cost(2) == cost(30)
