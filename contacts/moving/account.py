"""The contacts of a hosted account, as its MCP tool `list_contacts` shows them.

Source: the page "MCP tools: Contacts" of the hosted service. The HTTP action `search-contacts` ends
after 50 contacts.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

from contacts import schema
from contacts.change_log.difference import CONSENT
from contacts.importing.columns import FORMER
from contacts.values import dates

from .mcp import Client, Refused

PER_PAGE = 100  # the most that the service gives
FIELDS = [*(field.name for field in schema.FIELDS if field.aliases is not None), FORMER]
# Without one of these, people would come in without their tags, or as if they had not opted out.
NEEDED = ("phone", "tags", *CONSENT)


class Page(NamedTuple):
    """`contacts`: their fields, see `contact_of`, each with its `id`. `total`: how many contacts
    the account has. `is_last`: no page follows."""

    contacts: list[dict[str, Any]]
    total: int
    is_last: bool


class Account:
    """The account that the token of `client` belongs to.

    `with_details`: reads each contact with `get_contact` besides, one request for each.
    """

    def __init__(self, client: Client, *, with_details: bool = False) -> None:
        self.client = client
        self.with_details = with_details

    def page(self, number: int) -> Page:
        """The page `number`, from 1. Raises `Refused`."""
        given = {"opted_in_only": False, "page": number, "per_page": PER_PAGE}
        answer = self.client.call("list_contacts", given | self.extra)
        try:
            rows, meta = answer["data"], answer["meta"]
            total, size = int(meta["total"]), int(meta.get("per_page", PER_PAGE))
            is_last = not rows or number * size >= total
            return Page([self.contact(row) for row in rows], total, is_last)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            problem = "The tool list_contacts answers without data, or without meta.total."
            raise Refused(problem) from error

    @cached_property
    def extra(self) -> dict[str, Any]:
        """The argument for fields that the list has on request only, if the tool has it: another
        server of this project has, the hosted service always shows all fields."""
        argument = self.client.arguments_of("list_contacts").get("include", {})
        offered = argument.get("items", {}).get("enum", [])
        wanted = [name for name in FIELDS if name in offered]
        return {"include": wanted} if wanted else {}

    def contact(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.with_details and row.get("id"):
            row = row | self.details(row["id"])
        if lacking := [name for name in NEEDED if name not in row]:
            listed = " and ".join(lacking)
            raise Refused(f"The tool list_contacts does not show {listed}; try --details.")
        return contact_of(row)

    def details(self, pk: Any) -> dict[str, Any]:
        found = self.client.call("get_contact", {"id": pk})
        for name in ("contact", "data"):
            if isinstance(found.get(name), dict):
                return dict(found[name])
        return found


def contact_of(row: dict[str, Any]) -> dict[str, Any]:
    """The id and the fields of a contact as an import reads them; None for an empty field, which
    changes nothing. Raises `Refused` for a time of consent that cannot be read."""
    fields = {name: row.get(name) or None for name in FIELDS}
    fields["tags"] = [*names_of(row.get("tags") or [])]
    for name in CONSENT:
        fields[name] = decided(name, row[name])
    return {"id": row.get("id") or row["phone"]} | fields


def names_of(tags: Any) -> Iterator[str]:
    """The names of tags, which come as names or as objects. A comma parts two tags, as it does in
    `create-contact`: a contact must not stay behind because of the name of a tag."""
    for tag in tags if isinstance(tags, list) else [tags]:
        name = tag.get("name") if isinstance(tag, dict) else tag
        yield from filter(None, map(str.strip, str(name or "").split(",")))


def decided(field: str, raw: Any) -> str | None:
    """A time of consent in ISO 8601; a time without an offset is in UTC. An import would leave out
    a time that it cannot read, or that is in the future because two clocks differ: somebody who has
    opted out would come in as somebody who has not."""
    if not raw:
        return None
    try:
        moment = dates.moment(str(raw), zone=UTC)
    except ValueError:
        moment = None
    if moment is None or moment.year < 1970:
        raise Refused(f"{field} of a contact is no time that can be read: {str(raw)[:50]}")
    return min(moment, datetime.now(UTC)).isoformat()
