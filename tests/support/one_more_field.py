"""Declares a field `nickname` of a contact, and nothing else, then puts the field through all that
handles fields: `python -m tests.support.one_more_field TOKEN`. Its column is there already.

`FIELDS` has to be longer before any other module reads it, so this is a process of its own.
"""

import io
import os
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import django
from django.db import models
from django.db.models.signals import class_prepared
from django.utils.translation import gettext_lazy

from contacts import schema
from contacts.values import rules

NICKNAME = schema.Field(
    "nickname", gettext_lazy("nickname"), schema.Kind.TEXT,
    partial(rules.limited, "nickname", most=100), 100, schema.Merge.NEWEST,
    schema.Shape.BODIES | schema.Shape.FULL,
    is_exported=True, is_edited=True, aliases=("nickname", "calledby"),
)  # fmt: skip


def add_column(sender: Any, **_: Any) -> None:
    if sender.__name__ == "Contact":
        models.CharField(max_length=100, blank=True, default="").contribute_to_class(
            sender, NICKNAME.name
        )


schema.FIELDS += (NICKNAME,)
class_prepared.connect(add_column)
os.environ["DJANGO_SETTINGS_MODULE"] = "qyvo.settings"
django.setup()

from django.contrib.auth.models import Permission  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402
from django.urls import reverse  # noqa: E402

from contacts.change_log.cause import caused_by  # noqa: E402
from contacts.models import Change, Contact  # noqa: E402
from contacts.writing import edit, merge  # noqa: E402
from tenants.isolation import allow_all_tenants_outside_requests  # noqa: E402
from tenants.models import Tenant, User  # noqa: E402
from tests.support.api import PHONE, Api, assert_error  # noqa: E402

OTHER = "+14155550124"


def run(*words: str) -> str:
    output = io.StringIO()
    call_command(*words, stdout=output, stderr=io.StringIO())
    return output.getvalue()


def undo() -> None:
    """What was done last."""
    change_set = Change.objects.latest("pk").change_set
    assert change_set
    run("undo", "--change-set", change_set)


def nickname(phone: str = PHONE) -> str:
    return Contact.objects.get(phone=phone).nickname  # type: ignore[attr-defined]


def created(api: Api) -> None:
    answer = api.create(nickname=" Annie ", name="Ann")
    assert answer.status_code == 201, answer.json()
    assert "nickname" not in answer.json(), "this answer has exactly six keys"
    assert api.create(nickname="Annie", name="Ann")["Qyvo-Result"] == "unchanged"
    assert nickname() == "Annie"
    assert api.act("get-contact", phone=PHONE).json()["nickname"] == "Annie"
    [listed] = api.act("list-contacts").json()["data"]
    assert listed["nickname"] == "Annie"
    assert_error(api.create(nickname="x" * 101), 422, "validation_failed", "nickname")
    rows = [{"phone": PHONE, "name": "Ann", "nickname": "Annie"}, {"phone": OTHER}]
    counts = api.act("create-contacts", contacts=rows).json()
    assert (counts["created"], counts["unchanged"]) == (1, 1)
    assert api.act("get-contact", phone=OTHER).json()["nickname"] is None


def updated(api: Api) -> None:
    assert api.act("update-contact", phone=PHONE, nickname="Nan").status_code == 200
    change = api.act("list-changes", phone=PHONE).json()["data"][-1]
    assert change["changes"] == {"nickname": {"old": "Annie", "new": "Nan"}}
    assert api.create(name="Ann")["Qyvo-Result"] == "updated", "left out, it is emptied"
    change = api.act("list-changes", phone=PHONE).json()["data"][-1]
    assert change["changes"] == {"nickname": {"old": "Nan", "new": None}}


def undone(api: Api) -> None:
    undo()
    assert nickname() == "Nan"


def merged(api: Api) -> None:
    """The newest value that is not empty."""
    other = Contact.objects.get(phone=OTHER)
    edit.change(other, nickname="Nancy")
    with caused_by("tests"):
        stays, goes = Contact.objects.order_by("pk")
        kept = merge.merge_into(stays.tenant, stays.pk, [goes.pk]).contact
    assert nickname(kept.phone) == "Nancy"
    undo()
    assert (nickname(), nickname(OTHER)) == ("Nan", "Nancy")


def deleted(api: Api) -> None:
    with caused_by("tests"):
        Contact.objects.filter(phone=OTHER).delete()
    undo()
    assert nickname(OTHER) == "Nancy"


def exported(api: Api) -> None:
    header, *rows = run("export_contacts", "--tenant", "acme").splitlines()
    at = header.split(",").index("nickname")
    assert [row.split(",")[at] for row in rows] == ["Nan", "Nancy"]


def imported(api: Api) -> None:
    """By another name that is known; and a file that was exported changes nothing."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "contacts.csv"
        file.write_text(run("export_contacts", "--tenant", "acme"))
        assert "unchanged 2" in run("import_contacts", str(file), "--tenant", "acme")
        file.write_text(f"Phone,Called by\n{PHONE},Hannah\n")
        assert "updated 1" in run("import_contacts", str(file), "--tenant", "acme")
    assert nickname() == "Hannah"


def edited(api: Api) -> None:
    """On the contact's page in the admin; the rule is the API's."""
    user = User.objects.create(
        email="staff@acme.example", is_staff=True, tenant=Tenant.objects.get()
    )
    user.user_permissions.set(Permission.objects.all())
    client = Client()
    client.force_login(user)
    page = reverse("admin:contacts_contact_change", args=[Contact.objects.get(phone=PHONE).pk])
    form: Any = client.get(page)
    assert 'name="nickname"' in form.content.decode()
    sent = {
        name: shown
        for field in form.context["adminform"].form
        for name in (field.html_name, field.html_initial_name)
        if (shown := field.field.prepare_value(field.value())) is not None
    }
    assert client.post(page, sent | {"nickname": "x" * 101}).status_code == 200, "it is refused"
    answer = client.post(page, sent | {"nickname": " Anneke "})
    assert answer.status_code == 302
    assert nickname() == "Anneke"
    history = client.get(
        reverse("admin:contacts_contact_history", args=[Contact.objects.get(phone=PHONE).pk])
    )
    assert "<bdi>Hannah</bdi> → <bdi>Anneke</bdi>" in history.content.decode()


def checked(api: Api) -> None:
    assert "rules broken: 0" in run("check_contacts", "--tenant", "acme")
    Contact.objects.filter(phone=PHONE).update(**{NICKNAME.name: " Anneke "})
    try:
        run("check_contacts", "--tenant", "acme")
    except SystemExit:
        return
    raise AssertionError("The nickname breaks its rule, and check_contacts finds nothing")


def documented(api: Api) -> None:
    shapes = api.get("/api/v1/openapi.json").json()["components"]["schemas"]
    having = {name for name, shape in shapes.items() if "nickname" in shape.get("properties", {})}
    # The other answers with a whole contact extend ContactDetail.
    assert having == {
        "ContactInput",
        "BatchRow",
        "ContactChanges",
        "ContactDetail",
        "DeliveredContact",
    }


STEPS = (
    created, updated, undone, merged, deleted, exported, imported, edited, checked, documented
)  # fmt: skip


def main() -> None:
    setup_test_environment()
    allow_all_tenants_outside_requests()
    api = Api(sys.argv[1])
    for step in STEPS:
        step(api)
    print(*(step.__name__ for step in STEPS))


main()
