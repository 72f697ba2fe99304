"""The tools: each is an action of the API under the name that assistants know it by."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from contacts.api import bulk, changes, contacts, finding, merging
from contacts.api.actions import ActionView
from contacts.api.fields import or_null
from contacts.values import rules

from . import actions, schemas
from .actions import DRY_RUN
from .listing import DEFAULT, MOST, UNBOUNDED, ListContacts
from .schemas import Schema

Json = dict[str, Any]
READS = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True}
ADDS = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": True}
LOSES = {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True}
# The hosted service's inputs that its API calls otherwise, or that have no effect here.
ID = {"id": {"type": ["string", "null"], "description": "The same as contact_id."}}
SOURCE = {
    "source": {"type": ["string", "null"], "description": "Ignored: the source is always `api`."}
}


def by_id(arguments: Json) -> Json:
    """`arguments` with the name that the API gives the key of a contact."""
    named = {"contact_id": arguments["id"]} if arguments.get("id") else {}
    return arguments | named


def changed(arguments: Json) -> Json:
    """As in the hosted service, `phone` is the new phone of the contact with an `id`. Without an
    id, the phone says which contact is meant."""
    body = by_id(arguments)
    if body.get("contact_id") and body.get("phone") and not body.get("new_phone"):
        body["new_phone"] = body.pop("phone")
    return body


@dataclass(frozen=True)
class Tool:
    """A tool. `view`: its action. `hints`: what clients tell people before they call it.

    `inputs`: schemas of inputs besides those of the action, or in their place. `as_body`: makes the
    action's body of the inputs. `limit`: the most records of an answer, if the action has a limit.
    """

    name: str
    view: type[ActionView]
    hints: Mapping[str, bool]
    description: str
    inputs: Mapping[str, Schema] = field(default_factory=dict)
    as_body: Callable[[Json], Json] = dict
    limit: int = 0

    def shown(self, document: Mapping[str, Any]) -> Json:
        """The tool as `tools/list` shows it. `document`: the OpenAPI document."""
        given = schemas.of_input(self.view.input_class, document)
        inputs = given["properties"] | self.inputs | self.limit_schema()
        return {
            "name": self.name,
            "title": self.name.replace("_", " ").capitalize(),
            "description": self.description,
            "inputSchema": given | {"properties": inputs},
            "outputSchema": self.output(document),
            "annotations": {**self.hints, "openWorldHint": False},
        }

    def limit_schema(self) -> dict[str, Schema]:
        if not self.limit:
            return {}
        schema = {"type": "integer", "minimum": 1, "maximum": self.limit, "default": DEFAULT}
        return {"limit": or_null(schema)}

    def output(self, document: Mapping[str, Any]) -> Schema:
        if self.view is ListContacts:
            return ListContacts.answer_schema(document)
        kind, is_list = self.view.output_class, self.view.is_list
        return schemas.of_output(kind, document, is_list=is_list)

    def body(self, arguments: Json) -> Json:
        """The body of the action that `arguments` ask for."""
        body = self.as_body(arguments)
        if self.limit:
            with suppress(ValueError):  # the action says what is wrong
                asked = rules.limit(body.get("limit"), UNBOUNDED, DEFAULT)
                body["limit"] = min(asked or DEFAULT, self.limit)
        return body


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "list_contacts", ListContacts, READS,
            "Lists contacts, the newest first, 25 on a page. `search` finds a part of a name, an "
            "e-mail address or a phone. Contacts that have opted out are left out unless "
            "`opted_in_only` is false.",
        ),
        Tool(
            "search_contacts", finding.SearchContacts, READS,
            "Finds contacts by a part of their name, e-mail address or phone, by tag, and by "
            "filters such as consent, country or metadata. The contact with the latest message "
            "comes first. With `filter`, a page can be empty although there are more contacts: go "
            "on with next_cursor until it is null.",
            limit=50,
        ),
        Tool(
            "get_contact", contacts.GetContact, READS,
            "Everything about one contact, which its id, phone or e-mail address names.",
            ID, by_id,
        ),
        Tool(
            "create_contact", contacts.CreateContact, LOSES,
            "Creates the contact with this phone, or replaces it: name, e-mail, tags and metadata "
            "that are left out are emptied. To change some fields of a contact, use "
            "update_contact.",
            SOURCE,
        ),
        Tool(
            "update_contact", contacts.UpdateContact, LOSES,
            "Changes the fields that are given; the others stay. `tags` replaces all tags; "
            "metadata is merged, and a key with null is removed. With an id, `phone` is the new "
            "phone.",
            ID | SOURCE, changed,
        ),
        Tool(
            "tag_contact", actions.TagContact, ADDS,
            "Adds tags to a contact and removes others. Unknown tags are created.",
            ID, by_id,
        ),
        Tool(
            "delete_contact", actions.DeleteContact, LOSES,
            "Deletes a contact. `undo` can bring it back.",
            ID | {"dry_run": DRY_RUN}, by_id,
        ),
        Tool(
            "import_contacts", bulk.CreateContacts, LOSES,
            "Creates or replaces up to 1,000 contacts, as create_contact does. A bad contact fails "
            "alone.",
        ),
        Tool(
            "list_tags", finding.ListTags, READS,
            "Lists the tags by name, each with the number of its contacts.",
            limit=MOST,
        ),
        Tool(
            "list_changes", changes.ListChanges, READS,
            "What was changed, by whom and when, the oldest first: of one contact, or of all. The "
            "change_set of a change is what `undo` takes.",
            limit=MOST,
        ),
        Tool(
            "record_consent", contacts.RecordConsent, ADDS,
            "Records that a person has opted in or out. Only the person decides this: ask for the "
            "source and the proof.",
            ID, by_id,
        ),
        Tool(
            "merge_contacts", merging.MergeContacts, LOSES,
            "Merges contacts of one person into the contact contact_id. `undo` takes it back.",
        ),
        Tool(
            "undo", merging.Undo, LOSES,
            "Takes back what a change set has changed, but for what has changed since, and for "
            "consent. Of more than 1,000 contacts, a worker does it, or counts for a dry run: then "
            "`restored` is null, and get_bulk_action tells the result.",
        ),
        Tool(
            "get_bulk_action", actions.GetBulkAction, READS,
            "The progress and the result of an undo, or of its dry run, that a worker does.",
        ),
    )
}  # fmt: skip
