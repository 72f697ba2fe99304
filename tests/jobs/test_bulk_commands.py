"""The commands for bulk fixes: what they change, that a dry run does not, that twice is once."""

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from contacts.models import Contact, ContactTag, Erasure, Import, ImportFailure, Tag
from contacts.values import phones
from contacts.writing import edit, merge
from tenants.models import Tenant
from tests.support.api import PHONE
from tests.support.commands import lines
from tests.support.factories import ContactFactory, TagFactory
from tests.support.imports import bring, counts, write
from tests.support.sql import assert_links_match_tags, statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def run(command: str, *options: str, tenant: str = "acme") -> list[str]:
    return lines(command, *["--tenant", tenant] if tenant else ["--all-tenants"], *options)


def snapshot() -> Any:
    return [list(model.objects.order_by("pk").values()) for model in (Contact, Tag, ContactTag)]


def old_phone(tenant: Any, **fields: Any) -> Contact:
    """As a rule of yesterday might have stored it: with the trunk prefix."""
    return ContactFactory.create(tenant=tenant, phone="+4402079460958", **fields)


def variants(tenant: Any) -> None:
    ContactFactory.create(tenant=tenant, phone="+541187654321", name="old", tags=["a"])
    ContactFactory.create(tenant=tenant, phone="+5491187654321", name="new", tags=["b"])


def tagged(tenant: Any) -> None:
    ContactFactory.create(tenant=tenant, phone=PHONE, tags=["x", "a", "b"])
    ContactFactory.create(tenant=tenant, phone="+33612345678", tags=["b"])
    TagFactory.create(tenant=tenant, name="unused")


FIXES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "normalize_phones": (old_phone, []),
    "merge_duplicates": (variants, ["--by", "phone-variant", "--yes"]),
    "retag": (tagged, ["--rename", "a=z"]),
    "prune_tags": (tagged, []),
    "delete_contacts": (tagged, ["--tag", "a", "--yes"]),
}
each_fix = pytest.mark.parametrize("command", FIXES)


# What they share


@each_fix
def test_a_dry_run_shows_what_the_real_run_does_and_changes_nothing(
    acme: SimpleNamespace, command: str
) -> None:
    prepare, options = FIXES[command]
    prepare(acme.tenant)
    before = snapshot()
    shown = run(command, *options, "--dry-run")
    assert snapshot() == before
    done = run(command, *options)
    assert snapshot() != before
    assert [*shown[:-1], shown[-1].removeprefix("dry run: ")] == done
    assert re.fullmatch(r"dry run: [a-z ]+: 1", shown[-1])
    assert_links_match_tags()


@each_fix
def test_a_second_run_changes_nothing(acme: SimpleNamespace, command: str) -> None:
    prepare, options = FIXES[command]
    prepare(acme.tenant)
    run(command, *options)
    before = snapshot()
    if any("a" in option.split("=") for option in options):  # a tag, which is gone by now
        with pytest.raises(CommandError, match="No contact has the tag “a”"):
            run(command, *options)
    else:
        assert run(command, *options)[-1].endswith(": 0")
    assert snapshot() == before


@each_fix
def test_a_tenant_is_named_never_implied_and_others_are_left_alone(
    acme: SimpleNamespace, globex: SimpleNamespace, command: str
) -> None:
    prepare, options = FIXES[command]
    for member in (acme, globex):
        prepare(member.tenant)
    before = snapshot()
    with pytest.raises(CommandError, match="one of the arguments --tenant --all-tenants"):
        call_command(command, *options)
    with pytest.raises(CommandError, match="There is no tenant “nobody”"):
        run(command, *options, tenant="nobody")
    assert snapshot() == before
    theirs = list(globex.tenant.contacts.order_by("pk").values())
    assert run(command, *options)[-1].endswith(": 1")
    assert list(globex.tenant.contacts.order_by("pk").values()) == theirs
    assert [line.split()[0] for line in run(command, *options, tenant="")[:-1]] == ["globex"]
    assert_links_match_tags()


@each_fix
@pytest.mark.parametrize("size", ["0", "50001"])
def test_a_batch_has_a_sensible_size(acme: SimpleNamespace, command: str, size: str) -> None:
    with pytest.raises(CommandError, match="--batch-size takes"):
        run(command, *FIXES[command][1], "--batch-size", size)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("normalize_phones", []),
        ("normalize_phones", ["--merge"]),
        ("merge_duplicates", ["--by", "email", "--yes"]),
        ("retag", ["--rename", "a=z"]),
        ("check_contacts", []),
        ("delete_contacts", ["--tag", "a", "--dry-run"]),
    ],
)
def test_there_is_no_statement_for_each_row(
    acme: SimpleNamespace, command: str, options: list[str]
) -> None:
    def cost(pairs: int) -> int:
        Contact.objects.all().delete()
        for n in range(pairs):
            for phone in (f"+44020794609{n:02}", f"+44020794608{n:02}", f"+4420794608{n:02}"):
                ContactFactory.create(
                    tenant=acme.tenant, phone=phone, tags=["a"], email=f"p{n}@example.com"
                )
        return len(statements(lambda: quiet(command, *options)))

    def quiet(command: str, *options: str) -> None:
        try:
            run(command, *options)
        except SystemExit:
            return

    cost(2)
    assert cost(4) == cost(12)


# normalize_phones


def test_a_phone_is_brought_to_todays_rule(acme: SimpleNamespace) -> None:
    contact = old_phone(acme.tenant, name="Ann", tags=["a"])
    assert run("normalize_phones") == [
        "acme +4402079460958 → +442079460958", "phones changed: 1",
    ]  # fmt: skip
    contact.refresh_from_db()
    assert (contact.phone, contact.name) == ("+442079460958", "Ann")


def test_a_phone_that_another_contact_has_is_reported_or_merged(acme: SimpleNamespace) -> None:
    old = old_phone(acme.tenant, name="old", tags=["a"], metadata={"a": 1, "n": 1})
    ContactFactory.create(
        tenant=acme.tenant, phone="+442079460958", name="new", tags=["b"], metadata={"n": 2}
    )
    [line, mended, left] = run("normalize_phones")
    assert (mended, left) == ("phones changed: 0", "not changed, see above: 1")
    assert line == "acme +4402079460958: another contact has +442079460958; see --merge"
    assert Contact.objects.count() == 2
    [line, _] = run("normalize_phones", "--merge")
    assert line == "acme +442079460958 merged into +4402079460958, now +442079460958"
    contact = Contact.objects.get()
    assert (contact.pk, contact.phone, contact.name) == (old.pk, "+442079460958", "new")
    assert (contact.tags, contact.metadata) == (["a", "b"], {"a": 1, "n": 2})
    assert_links_match_tags()


def test_a_phone_that_cannot_be_read_is_reported(acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, phone="+999")
    [line, *_] = run("normalize_phones")
    assert line.startswith("acme +999: ")


# merge_duplicates


@pytest.mark.parametrize(
    ("phone", "variant"),
    [
        ("+5511987654321", "+551187654321"),
        ("+5215512345678", "+525512345678"),
        ("+5491123456789", "+541123456789"),
    ],
)
def test_variants_of_a_phone_are_one(phone: str, variant: str) -> None:
    assert phones.variant_key(phone) == phones.variant_key(variant)


@pytest.mark.parametrize("phone", ["+551133334444", "+5511933334444", PHONE, "+525512345678"])
def test_other_phones_are_their_own_variant(phone: str) -> None:
    assert phones.variant_key(phone) == phone


@given(st.from_regex(r"\+5[245]\d{9,12}", fullmatch=True))
def test_the_key_of_a_key_is_itself(phone: str) -> None:
    key = phones.variant_key(phone)
    assert phones.variant_key(key) == key


def test_the_oldest_stays_and_takes_over_what_others_know(acme: SimpleNamespace) -> None:
    day = [datetime(2026, 5, n, tzinfo=UTC) for n in range(1, 5)]
    oldest = ContactFactory.create(
        tenant=acme.tenant, phone=PHONE, name="", email="a@b.example", tags=["x", "y"],
        metadata={"a": 1, "n": "old"}, opted_in_at=day[0], total_messages=2, created_at=day[1],
    )  # fmt: skip
    ContactFactory.create(
        tenant=acme.tenant, phone="+33612345678", name="Bob", email="A@B.example", tags=["z", "x"],
        metadata={"n": "new"}, opted_in_at=day[1], opted_out_at=day[2], last_message_at=day[3],
        total_messages=3, created_at=day[0],
    )  # fmt: skip
    stranger = ContactFactory.create(tenant=acme.tenant, email="", name="No e-mail")
    lines = run("merge_duplicates", "--by", "email", "--yes")
    taken = (
        "former phones +33612345678; name “Bob” from +33612345678;"
        " email “A@B.example” from +33612345678; tags x, y, z of all;"
        ' metadata {"a":1,"n":"new"} of all; opted_in_at emptied;'
        " opted_out_at 2026-05-03 00:00 from +33612345678"
    )
    assert lines == [f"acme +33612345678 merged into {PHONE}: {taken}", "groups merged: 1"]
    merged = Contact.objects.exclude(pk=stranger.pk).get()
    assert (merged.pk, merged.phone, merged.name) == (oldest.pk, PHONE, "Bob")
    assert (merged.email, merged.email_folded) == ("A@B.example", "a@b.example")
    assert merged.tags == ["x", "y", "z"]
    assert merged.metadata == {"a": 1, "n": "new"}
    assert (merged.opted_in_at, merged.opted_out_at) == (None, day[2])
    assert (merged.last_message_at, merged.total_messages) == (day[3], 5)
    assert merged.created_at == day[0]
    assert_links_match_tags()


def test_consent_of_all_is_kept_and_of_some_is_not(acme: SimpleNamespace) -> None:
    day = datetime(2026, 5, 1, tzinfo=UTC)
    for number, consent in enumerate([day, day, day, None]):
        ContactFactory.create(
            tenant=acme.tenant, opted_in_at=consent, metadata={"crm": f"id-{number // 2}"}
        )
    assert len(run("merge_duplicates", "--by", "metadata.crm", "--yes")) == 3
    assert [c.opted_in_at for c in Contact.objects.order_by("pk")] == [day, None]


def test_what_would_be_too_much_is_not_merged(acme: SimpleNamespace) -> None:
    for n in range(2):
        ContactFactory.create(
            tenant=acme.tenant, email="a@b.example", tags=[f"{n}-{k}" for k in range(60)]
        )
    before = snapshot()
    [line, *_] = run("merge_duplicates", "--by", "email", "--yes")
    assert "cannot be merged" in line
    assert "at most 100 tags" in line
    assert snapshot() == before
    with pytest.raises(CommandError, match="--by takes"):
        run("merge_duplicates", "--by", "name")


@pytest.mark.parametrize(("typed", "left"), [("1", 1), ("", 2), ("2", 2), (None, 2)])
def test_groups_are_shown_before_somebody_types_their_number(
    acme: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str | None,
    left: int,
) -> None:
    variants(acme.tenant)

    def answer(question: str) -> str:
        assert question == "1 groups will be merged. Type the number: "
        shown = capsys.readouterr().out
        assert "acme +5491187654321 merged into +541187654321: former phones +5491187" in shown
        assert Contact.objects.count() == 2, "a look"
        if typed is None:
            raise EOFError
        return typed

    monkeypatch.setattr("builtins.input", answer)
    command = ["merge_duplicates", "--by", "phone-variant", "--tenant", "acme"]
    if left == 2:
        with pytest.raises(CommandError, match=r"Nothing was merged|Add --yes"):
            call_command(*command)
    else:
        call_command(*command)
        assert capsys.readouterr().out == "groups merged: 1\n", "each group is shown once"
    assert Contact.objects.count() == left


def test_a_group_that_has_changed_since_it_was_shown_is_not_merged(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants(acme.tenant)
    for phone in ("+5511987654321", "+551187654321"):
        ContactFactory.create(tenant=acme.tenant, phone=phone)

    def meanwhile(question: str) -> str:
        edit.change(Contact.objects.get(phone="+541187654321"), name="somebody else")
        return "2"

    monkeypatch.setattr("builtins.input", meanwhile)
    *_, refused, total, untouched = run("merge_duplicates", "--by", "phone-variant")
    assert "+541187654321, +5491187654321: not merged: changed since" in refused
    assert (total, untouched) == ("groups merged: 1", "not changed, see above: 1")
    assert Contact.objects.filter(phone__startswith="+54").count() == 2


@pytest.mark.parametrize(
    ("key", "metadata", "left"),
    [
        ("crm", [{"crm": None}] * 3, 3),
        ("crm", [{"crm": []}, {"crm": []}, {"crm": {}}, {"crm": {}}], 4),
        ("crm", [{"crm": True}, {"crm": True}, {"crm": 1}, {"crm": "1"}], 4),
        ("crm", [{"crm": 12345678901234567890}, {"crm": 12345678901234567891}], 2),
        ("crm", [{"crm": 7}, {"crm": 7}, {"crm": ""}, {"crm": ""}, {}], 4),
        ("a__b", [{"a": {"b": 1}}, {"a": {"b": 1}}, {"a__b": 1}, {"a__b": 1}], 3),
        ("%\"'", [{"%\"'": "x"}] * 2, 1),
    ],
    ids=str,
)
def test_only_what_is_the_same_key_makes_one_person(
    acme: SimpleNamespace, key: str, metadata: list[Any], left: int
) -> None:
    for value in metadata:
        ContactFactory.create(tenant=acme.tenant, metadata=value)
    run("merge_duplicates", "--by", f"metadata.{key}", "--yes")
    assert Contact.objects.count() == left


def test_a_contact_that_has_changed_meanwhile_is_not_merged(acme: SimpleNamespace) -> None:
    group = [ContactFactory.create(tenant=acme.tenant, email="a@b.example") for _ in range(3)]
    edit.change_one(acme.tenant, {"phone": group[2].phone}, {"email": "other@b.example"})
    [(kept, others, problem)] = merge.merge([group], lambda c: c.email_folded)
    assert (kept.pk, [c.pk for c in others], problem) == (group[0].pk, [group[1].pk], "")
    assert Contact.objects.count() == 2


# retag, prune_tags


@pytest.mark.parametrize(
    ("option", "value", "first", "second"),
    [
        ("--rename", "b=c", ["x", "a", "c"], ["c"]),
        ("--rename", "b=a", ["x", "a"], ["a"]),
        ("--merge", "a,b=n", ["x", "n"], ["n"]),
        ("--merge", "a,b=b", ["x", "b"], ["b"]),
        ("--split", "b=p,q", ["x", "a", "p", "q"], ["p", "q"]),
        ("--split", "b=b,q", ["x", "a", "b", "q"], ["b", "q"]),
        ("--delete", "b", ["x", "a"], []),
    ],
)
def test_tags_are_renamed_merged_split_and_deleted(
    acme: SimpleNamespace, option: str, value: str, first: list[str], second: list[str]
) -> None:
    tagged(acme.tenant)
    run("retag", option, value)
    assert list(Contact.objects.order_by("pk").values_list("tags", flat=True)) == [first, second]
    left = {*first, *second, "unused"}
    assert {*Tag.objects.values_list("name", flat=True)} == left
    assert_links_match_tags()


@pytest.mark.parametrize("new", ["c", "a"])  # `a` is a tag already: the two are merged
def test_a_tag_that_the_command_renames_keeps_its_id(acme: SimpleNamespace, new: str) -> None:
    tagged(acme.tenant)
    renamed = acme.tenant.tags.get(name="b").pk
    before = snapshot()
    run("retag", "--rename", f"b={new}", "--dry-run")
    assert snapshot() == before
    run("retag", "--rename", f"b={new}", "--batch-size", "1")
    assert acme.tenant.tags.get(name=new).pk == renamed
    assert_links_match_tags()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--rename", "a"), ("--rename", "a,b=c"), ("--merge", "a=b"), ("--split", "a=b"),
     ("--delete", "a=b"), ("--delete", ""), ("--rename", f"a={'x' * 101}"), ("--split", "=a,b")],
)  # fmt: skip
def test_a_change_of_tags_that_means_nothing_is_refused(
    acme: SimpleNamespace, option: str, value: str
) -> None:
    tagged(acme.tenant)
    before = snapshot()
    with pytest.raises(CommandError, match=option):
        run("retag", option, value)
    assert snapshot() == before


def test_a_tag_that_could_not_be_taken_off_everybody_stays(acme: SimpleNamespace) -> None:
    tags = [f"t{n}" for n in range(100)]
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, tags=tags)
    ContactFactory.create(tenant=acme.tenant, tags=["t0"])
    refused, _, changed, left = run("retag", "--split", "t0=p,q")
    assert refused == f"acme {PHONE}: A contact has at most 100 tags; 101 were given."
    assert (changed, left) == ("contacts retagged: 1", "not changed, see above: 1")
    assert Contact.objects.get(phone=PHONE).tags == tags
    assert acme.tenant.tags.filter(name="t0").exists()
    assert_links_match_tags()


def test_tags_that_nobody_carries_are_pruned(acme: SimpleNamespace) -> None:
    tagged(acme.tenant)
    assert run("prune_tags") == ["acme unused", "tags deleted: 1"]
    assert {*Tag.objects.values_list("name", flat=True)} == {"x", "a", "b"}


UNKNOWN_TAG = "No contact has the tag “vpi”"
UNKNOWN_PHONE = "no contact has any of these phones"
OPT_OUT = ["--status", "opted_out"]


@pytest.mark.parametrize("tenant", ["acme", ""])
@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("retag", ["--rename", "vpi=gold"], UNKNOWN_TAG),
        ("retag", ["--rename", "unused=gold"], "No contact has the tag “unused”"),
        ("retag", ["--merge", "a,vpi=gold"], UNKNOWN_TAG),
        ("retag", ["--split", "vpi=a,b"], UNKNOWN_TAG),
        ("retag", ["--delete", "vpi"], UNKNOWN_TAG),
        ("delete_contacts", ["--tag", "vpi", "--yes"], UNKNOWN_TAG),
        ("delete_contacts", ["--phones", "phones", "--yes"], UNKNOWN_PHONE),
        ("record_consent", ["--tag", "vpi", *OPT_OUT], UNKNOWN_TAG),
        ("record_consent", ["--phones", "phones", *OPT_OUT], UNKNOWN_PHONE),
        ("merge_duplicates", ["--by", "metadata.crn", "--yes"], "No contact has “crn” in its"),
    ],
)  # fmt: skip
def test_what_no_contact_has_is_an_error(
    acme: SimpleNamespace, globex: SimpleNamespace, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, tenant: str, command: str, options: list[str], said: str
) -> None:  # fmt: skip
    """With --all-tenants, if no contact of any tenant has it."""
    for member in (acme, globex):
        tagged(member.tenant)
    if tenant:
        ContactFactory.create(
            tenant=globex.tenant, phone="+14155550199", tags=["vpi"], metadata={"crn": 1}
        )
    monkeypatch.chdir(tmp_path)
    Path("phones").write_text("+14155550199\n")
    before = snapshot()
    with pytest.raises(CommandError, match=said):
        run(command, *options, tenant=tenant)
    assert snapshot() == before


def test_with_all_tenants_one_that_has_it_is_enough(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    ContactFactory.create(tenant=globex.tenant, phone=PHONE, tags=["a"])
    ContactFactory.create(tenant=acme.tenant, phone="+33612345678", tags=["b"])
    assert run("retag", "--merge", "a,b=c", tenant="")[-1] == "contacts retagged: 2"
    assert run("record_consent", "--tag", "c", *OPT_OUT, tenant="")[-1].endswith(": 2")


def test_lines_with_a_phone_that_no_contact_has_are_named(
    acme: SimpleNamespace, globex: SimpleNamespace, tmp_path: Path
) -> None:
    """A phone without + is read in the region of each tenant; one contact that has it is enough."""
    Tenant.objects.filter(slug="acme").update(default_region="FR")
    Tenant.objects.filter(slug="globex").update(default_region="BE")
    ContactFactory.create(tenant=globex.tenant, phone="+32471123456")
    file, err = tmp_path / "phones", io.StringIO()
    file.write_text("+14155550199\n\n0471 12 34 56\n")
    command = ["record_consent", "--phones", str(file), *OPT_OUT, "--all-tenants", "--dry-run"]
    call_command(*command, stdout=io.StringIO(), stderr=err)
    assert err.getvalue() == "line 1: no contact has this phone\n"


# delete_contacts


def test_contacts_are_deleted_by_file_tag_or_age(acme: SimpleNamespace, tmp_path: Path) -> None:
    tagged(acme.tenant)
    quiet = ["delete_contacts", "--inactive-since", "2026-01-01", "--yes"]
    file = tmp_path / "phones"
    file.write_text("+1 (415) 555-0123\n\n+442079460958\n")
    assert run("delete_contacts", "--phones", str(file), "--yes")[:-1] == [f"acme {PHONE} deleted"]
    assert run("delete_contacts", "--inactive-since", "2026-01-01", "--yes") == [
        "contacts deleted: 0"
    ]
    old = datetime(2025, 12, 31, tzinfo=UTC)
    Contact.objects.update(updated_at=old, last_message_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert run("delete_contacts", "--inactive-since", "2026-01-01", "--yes") == [
        "contacts deleted: 0"
    ]
    Contact.objects.update(last_message_at=old)
    assert run(*quiet)[-1] == "contacts deleted: 1"
    assert Tag.objects.count() == 4
    file.write_text("call me\n")
    with pytest.raises(CommandError, match="line 1: A phone cannot contain"):
        run("delete_contacts", "--phones", str(file), "--yes")
    with pytest.raises(CommandError, match="takes a date"):
        run("delete_contacts", "--inactive-since", "yesterday", "--yes")


@pytest.mark.parametrize(("typed", "left"), [("1", 1), ("", 2), ("2", 2), ("yes", 2)])
def test_the_count_has_to_be_typed(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, typed: str, left: int
) -> None:
    tagged(acme.tenant)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return typed

    monkeypatch.setattr("builtins.input", answer)
    if left == 2:
        with pytest.raises(CommandError, match="Nothing was deleted"):
            run("delete_contacts", "--tag", "a")
    else:
        run("delete_contacts", "--tag", "a")
    assert asked == ["1 contacts will be deleted for good. Type the number: "]
    assert Contact.objects.count() == left


def test_no_more_are_deleted_than_were_counted(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagged(acme.tenant)

    def meanwhile(question: str) -> str:
        ContactFactory.create(tenant=acme.tenant, tags=["a"])
        return "1"

    monkeypatch.setattr("builtins.input", meanwhile)
    with pytest.raises(CommandError, match="More contacts match now than before"):
        run("delete_contacts", "--tag", "a")
    assert Contact.objects.count() == 3


def test_without_a_terminal_or_a_tag_nothing_is_deleted(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagged(acme.tenant)

    def nobody(question: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    with pytest.raises(CommandError, match="Add --yes"):
        run("delete_contacts", "--tag", "a")
    with pytest.raises(CommandError, match="No contact has the tag “”"):
        run("delete_contacts", "--tag", "", "--yes")
    assert Contact.objects.count() == 2


# erase_contact


def erase(phone: str, *options: str) -> str:
    out = io.StringIO()
    call_command("erase_contact", phone, "--tenant", "acme", *options, stdout=out)
    return out.getvalue()


def test_an_erased_person_is_nowhere_and_does_not_come_back(
    acme: SimpleNamespace, globex: SimpleNamespace, admin_client: Client, tmp_path: Path
) -> None:
    for member in (acme, globex):
        ContactFactory.create(tenant=member.tenant, phone=PHONE, name="Romain", email="r@x.example")
    contact = acme.tenant.contacts.get()
    page = reverse("admin:contacts_contact_change", args=[contact.pk])
    form = {"phone": PHONE, "name": "Romain R.", "metadata": "{}"}
    shown = {"initial-phone": PHONE, "initial-name": "Romain", "initial-metadata": "{}"}
    admin_client.post(page, form | shown)
    assert LogEntry.objects.get().object_repr == PHONE
    write(tmp_path / "x.csv", ["phone"], ["14155550123"])
    bring(tmp_path / "x.csv")
    assert erase("+1 (415) 555-0123").startswith("1 contact erased")
    assert not acme.tenant.contacts.exists()
    assert globex.tenant.contacts.get().name == "Romain"
    kept = str([list(model.objects.values()) for model in
                (LogEntry, Import, ImportFailure, Erasure)])  # fmt: skip
    assert "Romain" not in kept
    assert "4155550123" not in kept
    file = write(tmp_path / "y.csv", ["phone", "name"], [PHONE, "Romain"], ["+33612345678", "Ann"])
    status, printed = bring(file)
    assert (status, counts(printed)["created"], counts(printed)["failed"]) == (1, 1, 1)
    assert "Erased on 20" in ImportFailure.objects.get(job__file_name="y.csv").error
    assert counts(bring(file, "--allow-erased")[1])["created"] == 1
    assert counts(bring(file, tenant="globex")[1])["created"] == 1


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> list[str]:
    """The questions that a person at the terminal is asked, who gives this answer to each."""
    asked: list[str] = []

    def reply(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", reply)
    return asked


@pytest.mark.parametrize(("answer", "is_erased"), [("y", True), ("Yes ", True), ("", False)])
def test_a_phone_that_no_contact_has_is_erased_if_a_person_says_so(
    acme: SimpleNamespace,
    globex: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    is_erased: bool,
) -> None:
    ContactFactory.create(tenant=globex.tenant, phone=PHONE)
    asked = at_a_terminal(monkeypatch, answer)
    if is_erased:
        assert "No contact had this phone." in erase(PHONE)
        erase(PHONE)  # which asks no more: the phone is blocked already
    else:
        with pytest.raises(CommandError, match="Nothing was erased"):
            erase(PHONE)
    assert asked == ["Erase the phone from logs and imports, and block it in imports? [y/N] "]
    assert acme.tenant.erasures.exists() is is_erased
    assert globex.tenant.contacts.exists()


def test_without_a_terminal_a_phone_that_no_contact_has_is_erased_with_yes_only(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y"))
    with pytest.raises(CommandError, match=r"No contact of acme has \+14155550123.*add --yes"):
        erase(PHONE)
    assert not acme.tenant.erasures.exists()
    assert erase(PHONE, "--yes").startswith("No contact had this phone.")
    assert acme.tenant.erasures.exists()


def test_a_phone_that_a_contact_has_is_erased_without_a_question(acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE)
    assert erase(PHONE).startswith("1 contact erased")
    assert Erasure.objects.count() == 1
    erase(PHONE)
    assert Erasure.objects.count() == 1
    contact = ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="Romain")
    LogEntry.objects.create(
        user=acme.user, action_flag=DELETION, object_id=contact.pk, object_repr=str(contact),
        content_type=ContentType.objects.get_for_model(Contact),
    )  # fmt: skip
    contact.delete()
    erase(PHONE)
    assert LogEntry.objects.get().object_repr == "erased"
    with pytest.raises(CommandError, match="too short"):
        erase("+1415")


def test_an_interrupted_import_forgets_an_erased_person(
    acme: SimpleNamespace, tmp_path: Path, settings: Any
) -> None:
    from contacts.importing.engine import Importer
    from contacts.importing.record_file import RecordFile
    from contacts.importing.row import ReadOptions
    from contacts.importing.storage import spool_folder
    from contacts.jobs.lock import locked_folder

    settings.DATA_DIR = tmp_path / "data"
    file = write(tmp_path / "x.csv", ["phone", "name"], [PHONE, "Romain"], ["+33612345678", "Ann"])
    job = Import.objects.create(tenant=acme.tenant, file_name="x", options={"mode": "upsert"})
    importer = Importer(job, RecordFile(file), ReadOptions({"phone": "phone", "name": "name"}))
    spool_folder(job).mkdir(parents=True)
    importer.read(spool_folder(job))
    rows, half = spool_folder(job) / "rows", spool_folder(job) / "reading"
    half.write_text("2\tRomain")
    with locked_folder(spool_folder(job)):
        whole = rows.read_text()
        erase(PHONE, "--yes")
        assert rows.read_text() == whole, "it runs: it refuses the phone by itself"
    erase(PHONE)
    assert "Romain" not in rows.read_text()
    assert not half.exists()
    importer.run()
    assert [contact.name for contact in Contact.objects.all()] == ["Ann"]
    assert job.failures.get().error == "Erased."
    assert not spool_folder(job).exists()


# check_contacts


def test_links_that_hang_are_found(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    tagged(acme.tenant)
    [first, last] = Contact.objects.order_by("phone")
    tag = TagFactory.create(tenant=acme.tenant, name="gone")
    ContactTag.objects.create(tenant=acme.tenant, contact=first, tag=tag)
    Tag.objects.filter(pk=tag.pk)._raw_delete("default")
    Contact.objects.filter(pk=last.pk)._raw_delete("default")
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("check_contacts", "--all-tenants", stdout=out)
    told = out.getvalue()
    assert f"acme {first.pk} links: the contact or its tag {tag.pk} is missing" in told
    assert f"acme {last.pk} links: the contact or its tag" in told
    assert told.endswith("by rule: links 2\n")
    assert "globex" not in told


def test_contacts_that_break_a_rule_are_found_and_counted(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    good = ContactFactory.create(tenant=acme.tenant, tags=["a"], metadata={"n": 1})
    assert run("check_contacts") == ["rules broken: 0"]
    bad = {
        "phone": old_phone(acme.tenant),
        "email": ContactFactory.create(tenant=acme.tenant, email="no address"),
        "name": ContactFactory.create(tenant=acme.tenant, name=" untrimmed "),
        "metadata": ContactFactory.create(tenant=acme.tenant, metadata={"x": "y" * 66_000}),
        "tags": ContactFactory.create(tenant=acme.tenant, tags=["a"]),
        "name_folded": ContactFactory.create(tenant=acme.tenant, name="Ann"),
    }
    bad["tags"].links.all().delete()
    Contact.objects.filter(pk=bad["name_folded"].pk).update(name="Bob")
    before = snapshot()
    out = io.StringIO()
    with pytest.raises(SystemExit) as stop:
        call_command("check_contacts", "--tenant", "acme", stdout=out)
    assert stop.value.code == 1
    lines = out.getvalue().splitlines()
    for rule, contact in bad.items():
        assert any(line.startswith(f"acme {contact.pk} {rule}: ") for line in lines), rule
        assert f"{rule} 1" in lines[-1]
    assert good.pk not in out.getvalue()
    assert snapshot() == before
    assert run("check_contacts", tenant="globex") == ["rules broken: 0"]
