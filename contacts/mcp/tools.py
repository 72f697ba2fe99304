"""The tools: each is an action of the API under the name that assistants know it by."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from contacts.api.actions import ActionView
from contacts.values import rules

from . import schemas
from .listing import DEFAULT, MOST, ListContacts
from .schemas import Schema

Json = dict[str, Any]
READS = {"readOnlyHint": True, "idempotentHint": True}
ADDS = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": True}
LOSES = {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True}


@dataclass(frozen=True)
class Tool:
    """A tool. `view`: its action. `hints`: what clients tell people before they call it.

    `inputs`: schemas of inputs besides those of the action, or in their place. `as_body`: makes the
    action's body of the inputs. `limit`: the most records of an answer, if the action has a limit.
    """

    name: str
    view: type[ActionView]
    description: str
    hints: Mapping[str, bool]
    inputs: Mapping[str, Schema] = field(default_factory=dict)
    as_body: Callable[[Json], Json] = dict
    limit: int = 0

    def shown(self, document: Mapping[str, Any]) -> Json:
        """The tool as `tools/list` shows it. `document`: the OpenAPI document."""
        given = schemas.of_input(self.view.input_class, document)
        return {
            "name": self.name,
            "title": self.name.replace("_", " ").capitalize(),
            "description": self.description,
            "inputSchema": given | {"properties": given["properties"] | self.inputs},
            "outputSchema": self.output(document),
            "annotations": {**self.hints, "openWorldHint": False},
        }

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
                asked = rules.limit(body.get("limit"), 1_000_000, DEFAULT)
                body["limit"] = min(asked or DEFAULT, self.limit)
        return body


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "list_contacts", ListContacts,
            "Lists contacts, the newest first, 25 on a page. `search` finds a part of a name, an "
            "e-mail address or a phone. Contacts that have opted out are left out unless "
            "`opted_in_only` is false.",
            READS,
        ),
    )
}  # fmt: skip
