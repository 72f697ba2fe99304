"""How tests speak to the API, and the one place that knows the shape of an error."""

import json
from decimal import Decimal
from typing import Any

from django.test import Client

ACTIONS = "/api/v1/actions/"
CREATE = ACTIONS + "create-contact"
PHONE = "+14155550123"


def written_out(value: Any) -> Any:
    """The JSON `value` as it comes back: large floats are the integers that they are."""
    if isinstance(value, dict):
        return {key: written_out(item) for key, item in value.items()}
    if isinstance(value, list):
        return [written_out(item) for item in value]
    return int(Decimal(repr(value))) if isinstance(value, float) and abs(value) >= 1e16 else value


class Api:
    """The API as the holder of `token` sees it."""

    def __init__(self, token: str | None = None) -> None:
        self.client = Client()
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=self.headers | headers)

    def send(self, body: bytes | str, path: str = CREATE, **headers: str) -> Any:
        """POSTs `body` as it is."""
        content_type = headers.pop("content_type", "application/json")
        return self.client.post(
            path, data=body, content_type=content_type, headers=self.headers | headers
        )

    def act(self, action: str, **fields: Any) -> Any:
        """POSTs `fields` to the action of that name. Half a surrogate pair is escaped."""
        text = json.dumps(fields, ensure_ascii=False)
        return self.send(text.encode(errors="backslashreplace"), ACTIONS + action)

    def create(self, phone: Any = PHONE, **fields: Any) -> Any:
        return self.act("create-contact", phone=phone, **fields)


def assert_error(response: Any, status: int, code: str, *fields: str) -> dict[str, Any]:
    """The answer is an error of the documented shape, about exactly these `fields`."""
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Request-Id"]
    assert body["error"]
    if fields:
        assert body["message"].startswith(f"{body['error']} {next(iter(body['errors']))}: ")
    else:
        assert body["message"] == body["error"]
    assert set(body) == {"error", "message", "code"} | ({"errors"} if fields else set())
    assert sorted(body.get("errors", {})) == sorted(fields)
    for sentences in body.get("errors", {}).values():
        assert sentences
        assert all(isinstance(sentence, str) and sentence for sentence in sentences)
    return body


PASSWORD = "correct horse battery staple"
# A good body of each action on an existing contact, its key aside.
ON_A_CONTACT: dict[str, dict[str, Any]] = {
    "update-contact": {"name": "New", "tags": "new"},
    "get-contact": {},
    "add-tag": {"tag": "new"},
    "remove-tag": {"tag": "vip"},
    "record-consent": {"status": "opted_in"},
    "record-message": {},
    "delete-contact": {},
    "erase-contact": {},
}
ENDING = {"delete-contact", "erase-contact"}  # afterwards the contact is gone
# Ids of two contacts and of a change set, for actions that take no phone.
STAYS, GOES = "01J1Y3V8K2N6Q4R7S9T0W5X8ZA", "01J1Y3V8K4W8S5P2N7R6Q3Z1XB"
CHANGE_SET = "01J1Y3V8KMN3P5R7T9V2X4Z6B8"
ACTION_BODIES = ON_A_CONTACT | {
    "merge-contacts": {"contact_id": STAYS, "merge_ids": [GOES]},
    "undo": {"change_set": CHANGE_SET},
    "remove-former-phone": {"phone": "+14155550999"},
    "create-contact": {},
    "create-contacts": {"contacts": [{"phone": PHONE}]},
    "get-contacts": {"phones": [PHONE]},
    "list-fields": {},
    "list-views": {},
    "bulk-update": {"filter": {"tags_all": ["vip"]}, "add_tags": ["new"]},
    "bulk-delete": {"filter": {"tags_all": ["vip"]}},
    "rename-tag": {"tag": "vip", "new_tag": "new"},
    "merge-tags": {"tags": ["vip"], "into": "new"},
    "delete-tag": {"tag": "vip"},
    "list-contacts": {},
    "list-changes": {},
    "search-contacts": {},
    "list-tags": {},
}


def rows(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"phone": f"+1415555{n:04}", "tags": [f"t{n % 7}", f"u{n % 5}"], "metadata": {"n": n}}
        | fields
        for n in range(count)
    ]


ME = "/api/v1/me"


def remaining(response: Any) -> int:
    return int(response.headers["X-RateLimit-Remaining"])
