"""The tools of the Model Context Protocol: what they show, what they do, and for whom."""

import gzip
import json
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from django.utils import timezone

from contacts.jobs import bulk_actions
from contacts.mcp.schemas import resolved
from contacts.mcp.tools import TOOLS
from contacts.models import Change, Contact
from qyvo.views import openapi
from tests.support.api import PHONE, Api
from tests.support.documents import table
from tests.support.factories import ContactFactory
from tests.support.mcp import call, refusal, result, send, tools

pytestmark = pytest.mark.django_db
READ, WRITE, DELETE = "contacts:read", "contacts:write", "contacts:delete"


def scoped(member: SimpleNamespace, *scopes: str) -> Api:
    member.token.scopes = list(scopes)
    member.token.save()
    return member.api


def test_every_tool_describes_itself_for_clients_that_know_little_of_json_schema(api: Api) -> None:
    listed = tools(api)
    assert [*listed] == [*TOOLS]
    for tool in listed.values():
        assert tool["title"]
        assert len(tool["description"]) > 20
        given = tool["inputSchema"]
        assert {*given} <= {"type", "properties", "required"}
        assert given["type"] == tool["outputSchema"]["type"] == "object"
        assert "$ref" not in json.dumps(tool)
        assert {"readOnlyHint", "destructiveHint", "idempotentHint"} < {*tool["annotations"]}
        for schema in (given, tool["outputSchema"]):
            jsonschema.Draft202012Validator.check_schema(schema)
    actions = openapi()["components"]["schemas"]
    described = resolved(actions["ContactInput"], actions)["properties"]
    assert described.items() <= listed["create_contact"]["inputSchema"]["properties"].items()


@pytest.mark.parametrize(
    ("scopes", "count", "hidden"),
    [
        ((READ,), 6, {"create_contact", "undo"}),
        ((WRITE,), 6, {"list_contacts", "delete_contact", "undo"}),
        ((DELETE,), 1, {"undo"}),
        ((), 0, {"list_contacts"}),
    ],
)
def test_only_what_the_token_allows_is_listed(
    acme: SimpleNamespace, scopes: tuple[str, ...], count: int, hidden: set[str]
) -> None:
    listed = tools(scoped(acme, *scopes))
    assert len(listed) == count
    assert not hidden & {*listed}
    for name in hidden:
        error = refusal(acme.api, name, id="x")
        assert error["code"] == "forbidden"
        assert "lacks the scope" in error["error"]


def test_a_tool_is_listed_in_the_documentation() -> None:
    assert [row[0].strip("`") for row in table("| tool |")] == [*TOOLS]


@pytest.mark.both
def test_every_tool_answers_as_it_says(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    api, listed = acme.api, tools(acme.api)

    def act(tool: str, **arguments: Any) -> Any:
        jsonschema.validate(arguments, listed[tool]["inputSchema"])
        answer = call(api, tool, **arguments)
        jsonschema.validate(answer, listed[tool]["outputSchema"])
        seen.add(tool)
        return answer

    seen: set[str] = set()
    ann = act("create_contact", phone=PHONE, name="Ann", tags=["vip"], locale="fr", source="zapier")
    bob = act("import_contacts", contacts=[{"phone": "+14155550199", "name": "Bob"}])["results"][0]
    assert act("get_contact", id=ann["id"])["locale"] == "fr"
    assert (
        act("update_contact", id=ann["id"], name="Anna", phone="+14155550124")["phone"][-1] == "4"
    )
    tagged = act("tag_contact", id=ann["id"], add_tags=["a", "b"], remove_tags=["vip"])
    assert tagged["tags"] == ["a", "b"]
    assert act("record_consent", id=ann["id"], status="opted_in")["opted_in_at"]
    assert [row["name"] for row in act("list_contacts", search="ann")["data"]] == ["Anna"]
    assert [row["id"] for row in act("search_contacts", query="bob")["data"]] == [bob["id"]]
    assert [row["name"] for row in act("list_tags")["data"]] == ["a", "b", "vip"]
    assert len(act("list_changes", phone="+14155550199")["data"]) == 1
    merged = act("merge_contacts", contact_id=ann["id"], merge_ids=[bob["id"]])
    assert merged["merged"] == [bob["id"]]
    assert act("undo", change_set=merged["change_set"])["restored"] == 2
    pks = [ann["id"], bob["id"]]
    job = bulk_actions.plan(acme.tenant, acme.token.actor, "undo", merged["change_set"], pks)
    assert act("get_bulk_action", change_set=job.pk)["total"] == 2
    assert refusal(globex.api, "get_bulk_action", change_set=job.pk)["code"] == "not_found"
    assert act("delete_contact", id=bob["id"])["deleted"]
    assert seen == {*TOOLS}
    actors = {*Change.objects.values_list("actor", flat=True)}
    assert actors == {acme.token.actor}


@pytest.mark.both
def test_a_dry_run_changes_nothing(acme: SimpleNamespace) -> None:
    ann, bob = (ContactFactory.create(tenant=acme.tenant) for _ in range(2))
    answer = call(acme.api, "delete_contact", phone=ann.phone, dry_run=True)
    assert answer == {"id": ann.pk, "phone": ann.phone, "deleted": True, "dry_run": True}
    call(acme.api, "merge_contacts", contact_id=ann.pk, merge_ids=[bob.pk], dry_run=True)
    assert Contact.objects.count() == 2
    call(acme.api, "update_contact", id=ann.pk, name="New")
    change_set = call(acme.api, "list_changes", contact_id=ann.pk)["data"][-1]["change_set"]
    assert call(acme.api, "undo", change_set=change_set, dry_run="true")["restored"] == 1
    assert Contact.objects.get(pk=ann.pk).name == "New"
    assert refusal(acme.api, "undo", change_set=change_set, dry_run="x")["errors"] == {
        "dry_run": ["Send true or false."]
    }


def test_a_refusal_is_the_error_of_the_api(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    error = refusal(acme.api, "create_contact", phone="12")
    assert error == acme.api.create("12").json()
    assert refusal(acme.api, "list_tags", limit="x")["code"] == "validation_failed"
    big = "x" * 200_000
    assert refusal(acme.api, "create_contact", phone=PHONE, name=big)["code"] == "payload_too_large"


def test_another_tenant_is_not_reached(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    theirs = ContactFactory.create(tenant=globex.tenant, tags=["secret"])
    of_a_contact: dict[str, dict[str, Any]] = {
        "get_contact": {}, "update_contact": {"name": "x"}, "tag_contact": {"add_tags": ["x"]},
        "delete_contact": {}, "record_consent": {"status": "opted_out"}, "list_changes": {},
    }  # fmt: skip
    for tool, inputs in of_a_contact.items():
        for key in ({"contact_id": theirs.pk}, {"phone": theirs.phone}):
            assert refusal(acme.api, tool, **key, **inputs)["code"] == "not_found"
    mine = ContactFactory.create(tenant=acme.tenant)
    merged = refusal(acme.api, "merge_contacts", contact_id=mine.pk, merge_ids=[theirs.pk])
    assert merged["code"] == "not_found"
    change_set = call(globex.api, "update_contact", id=theirs.pk, name="y") and (
        Change.objects.latest("pk").change_set
    )
    assert refusal(acme.api, "undo", change_set=str(change_set))["code"] == "not_found"
    for tool in ("search_contacts", "list_contacts"):
        assert [row["id"] for row in call(acme.api, tool)["data"]] == [mine.pk]
    assert call(acme.api, "list_tags")["data"] == []


@pytest.mark.both
def test_contacts_are_listed_as_the_hosted_service_does(acme: SimpleNamespace) -> None:
    first, second, third = (
        ContactFactory.create(tenant=acme.tenant, tags=["vip"], metadata={"n": n}, name=f"Ann {n}")
        for n in range(3)
    )
    gone = ContactFactory.create(tenant=acme.tenant, opted_out_at=timezone.now(), name="Bob")

    def page(**inputs: Any) -> tuple[list[str], Any]:
        answer = call(acme.api, "list_contacts", **inputs)
        assert not any("metadata" in row for row in answer["data"])
        return [row["id"] for row in answer["data"]], answer["meta"]

    newest = [third.pk, second.pk, first.pk]
    meta = {"current_page": 1, "last_page": 1, "per_page": 25, "total": 3}
    assert page() == (newest, meta)
    assert page(opted_in_only=False)[0] == [gone.pk, *newest]
    assert page(per_page=500) == (newest, meta | {"per_page": 100})
    assert page(page=2, per_page=2) == (
        [first.pk], {"current_page": 2, "last_page": 2, "per_page": 2, "total": 3},
    )  # fmt: skip
    assert page(page=9)[0] == []
    assert page(tag="vip", search="ann 1")[0] == [second.pk]
    assert page(tag="nobody")[1]["total"] == 0
    shown = call(acme.api, "list_contacts", include=["metadata"])["data"]
    assert [row["metadata"] for row in shown] == [{"n": 2}, {"n": 1}, {"n": 0}]
    assert not any("former_phones" in row for row in shown)
    former = first.phone
    acme.api.act("update-contact", contact_id=first.pk, new_phone="+14155550188", keep_former=True)
    shown = call(acme.api, "list_contacts", include=["former_phones"])["data"]
    assert [row["former_phones"] for row in shown] == [[], [], [former]]


@pytest.mark.both
def test_a_list_goes_on_at_its_cursor(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    ContactFactory.create_batch(5, tenant=acme.tenant, tags=["a"])
    for tool, size in {"list_contacts": "per_page", "search_contacts": "limit"}.items():
        found: list[str] = []
        cursor = None
        while cursor or not found:
            answer = call(acme.api, tool, **{size: 2}, cursor=cursor)
            found += [row["id"] for row in answer["data"]]
            cursor = answer["next_cursor"]
        assert len({*found}) == len(found) == 5
    foreign = call(acme.api, "list_contacts", per_page=2)["next_cursor"]
    meta = call(acme.api, "list_contacts", per_page=2, cursor=foreign)["meta"]
    assert meta == {"current_page": None, "last_page": None, "per_page": 2, "total": None}
    assert [*refusal(globex.api, "list_contacts", cursor=foreign)["errors"]] == ["cursor"]
    assert [*refusal(acme.api, "list_contacts", cursor=foreign, tag="a")["errors"]] == ["cursor"]
    assert len(call(acme.api, "list_changes", limit=3)["data"]) <= 3


def test_a_body_that_is_repeated_with_a_key_is_no_replay_of_another_tool(api: Api) -> None:
    for name in ("list_tags", "list_contacts"):
        headers = {"Idempotency-Key": "k"}
        answer = send(api, "tools/call", {"name": name, "arguments": {}}, **headers)
        assert answer.json()["result"]["structuredContent"]["data"] == []


def test_a_compressed_message_is_read(api: Api) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_tags"}}
    body = gzip.compress(json.dumps(message).encode())
    answer = api.send(body, "/mcp", **{"Content-Encoding": "gzip"})
    assert answer.json()["result"]["isError"] is False
    assert result(api, "list_tags")["isError"] is False


def test_a_list_has_25_records_unless_more_are_asked_for_and_100_at_most(
    acme: SimpleNamespace,
) -> None:
    for tags in ([f"a{n}" for n in range(100)], ["b"]):
        ContactFactory.create(tenant=acme.tenant, tags=tags)
    for limit, count in {None: 25, 30: 30, "30": 30, 500: 100, 100_000: 100}.items():
        assert len(call(acme.api, "list_tags", limit=limit)["data"]) == count


def test_the_access_line_names_the_tool(
    acme: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    call(acme.api, "list_tags")
    assert caplog.messages[-1].startswith("mcp list_tags 200 in ")
