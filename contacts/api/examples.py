"""An example of a body and its answer for each operation, for the OpenAPI document.

A test sends the bodies in this order and compares the answers, so that no example is wrong. One
module, because each example uses the data that the examples before it have stored.
"""

from typing import Any

from contacts import schema
from contacts.schema import Shape

ROMAIN: dict[str, Any] = {
    "id": "01J1Y3V8K2N6Q4R7S9T0W5X8ZA",
    "phone": "+14155550123",
    "name": "Romain",
    "email": "romain@example.com",
    "tags": ["vip", "fr-FR"],
}
ZOE_ID = "01J1Y3V8K4W8S5P2N7R6Q3Z1XB"
MERGE = "01J1Y3V8KMN3P5R7T9V2X4Z6B8"  # the change set of the example of merge-contacts
KEY = {"phone": "+1 415 555 0123"}
CREATED_AT = "2026-05-07T08:14:23+00:00"
UPDATED_AT = "2026-05-07T09:00:00+00:00"
METADATA = {"shopify_id": "12345", "lifetime_value": 8742.5}
DETAIL = {
    "id": ROMAIN["id"],
    "phone": ROMAIN["phone"],
    "name": "Romain R.",
    "email": ROMAIN["email"],
    "source": "api",
    "locale": None,
    "metadata": METADATA | {"city": "Paris"},
    "tags": ROMAIN["tags"],
    "opted_in_at": None,
    "opted_out_at": None,
    "last_message_at": None,
    "total_messages": 0,
    "created_at": CREATED_AT,
}
CHANGE = {
    "contact_id": ROMAIN["id"],
    "actor": "token:qyvo_mK3xZ9",
    "request_id": "01J1Y3V8K6A7R5N2C9D4F8G1HJ",
    "change_set": "01J1Y3V8K7B6S4P3D8E5G9H2JK",
    "at": UPDATED_AT,
}
FOUND = [field.name for field in schema.FIELDS if Shape.FOUND in field.shapes]

CSV = "Mobile,Full name,Tags,Town\r\n+33 6 12 34 56 78,Zoé,vip,Lyon\r\n12,Bob,,\r\n"
JOB = {
    "id": "01J1Y3V8K5Z2H8Q4W6E1R9T3YV",
    "state": "done",
    "file_name": "upload",
    "mode": "upsert",
    "dry_run": False,
    "encoding": "utf-8",
    "delimiter": ",",
    "header_line": 1,
    "sheet": None,
    "sheets": None,
    "columns": {"Mobile": "phone", "Full name": "name", "Tags": "tags"},
    "column_list": [
        {"index": 0, "header": "Mobile", "field": "phone"},
        {"index": 1, "header": "Full name", "field": "name"},
        {"index": 2, "header": "Tags", "field": "tags"},
        {"index": 3, "header": "Town", "field": None},
    ],
    "rows": 2,
    "created": 0,
    "updated": 1,
    "unchanged": 0,
    "superseded": 0,
    "failed": 1,
    "warnings": 0,
    "warning_list": [],
    "hint": None,
    "problem": None,
    "started_at": CREATED_AT,
    "finished_at": CREATED_AT,
}
QUEUED = {"state": "queued", "rows": None, "updated": 0, "failed": 0, "finished_at": None}
TOO_SHORT = "Write the phone in international form: + and the country code first."

EXPORT = {
    "id": "01J1Y3V8KEQ8R0T3V5X7Z9A2C4",
    "state": "done",
    "format": "csv",
    "filters": {"updated_since": None, "tag": "vip", "filter": {"consent": "unknown"}},
    "total": 1,
    "written": 1,
    "file": "/api/v1/exports/01J1Y3V8KEQ8R0T3V5X7Z9A2C4/file",
    "problem": None,
    "started_at": CREATED_AT,
    "finished_at": CREATED_AT,
    "expires_at": "2026-05-08T08:14:23+00:00",
}
WAITING = {
    "state": "queued", "total": None, "written": 0, "file": None, "finished_at": None,
    "expires_at": None,
}  # fmt: skip
EXPORTED = (
    "phone,name,email,tags,locale,metadata,opted_in_at,opted_out_at,former_phones\r\n"
    '+14155550123,Romain,romain@example.com,"vip,fr-FR",,,,,\r\n'
)

BULK: dict[str, Any] = {
    "id": "01J1Y3V8KRY6A8C0E3G5J7K9NP",
    "state": "done",
    "kind": "update",
    "dry_run": False,
    "total": 1,
    "done": 1,
    "changed": 1,
    "unchanged": 0,
    "refused": 0,
    "refusals": [],
    "change_set": "01J1Y3V8KRY6A8C0E3G5J7K9NP",
    "problem": None,
    "started_at": CREATED_AT,
    "finished_at": CREATED_AT,
}
DRY_RUN = {"id": None, "dry_run": True, "done": 0, "changed": 0, "change_set": None}
LARGE_UNDO = {
    "kind": "undo", "total": 2400, "done": 2400, "changed": 2398, "unchanged": 1, "refused": 1,
    "refusals": [{"phone": ROMAIN["phone"], "reason": "name has changed since"}],
}  # fmt: skip

WEBHOOK: dict[str, Any] = {
    "id": "01J1Y3V8KDN7P9S2T4V6X8Z1B3",
    "url": "https://shop.example.com/hooks/contacts",
    "events": ["contact.created", "contact.updated"],
    "import_rows": False,
    "created_at": CREATED_AT,
    "last_success_at": None,
    "failing_since": None,
    "paused_at": None,
}

DELIVERY: dict[str, Any] = {
    "id": "01J1Y3V8KEP5R7T9W2X4Z6B8D1",
    "event": "webhook.test",
    "sequence": None,
    "state": "pending",
    "attempts": 0,
    "next_attempt_at": CREATED_AT,
    "last_status": None,
    "problem": None,
    "created_at": CREATED_AT,
    "finished_at": None,
}
DEAD = {
    "event": "contact.updated", "sequence": 42, "state": "dead", "attempts": 12,
    "next_attempt_at": None, "last_status": 500, "problem": "It answered 500.",
    "finished_at": "2026-05-08T08:14:23+00:00",
}  # fmt: skip

# By operation: the body, or None, and the answer. If the body or the answer is a file, the text of
# the file.
EXAMPLES: dict[str, tuple[dict[str, Any] | str | None, Any]] = {
    "create-contact": (
        {
            "phone": "+1 (415) 555-0123",
            "name": "Romain",
            "email": "romain@example.com",
            "tags": "vip, fr-FR",
            "metadata": METADATA,
        },
        ROMAIN | {"created_at": CREATED_AT},
    ),
    "update-contact": (
        KEY | {"name": "Romain R.", "metadata": {"city": "Paris"}},
        ROMAIN | {"name": "Romain R.", "updated_at": UPDATED_AT},
    ),
    "get-contact": (
        KEY | {"include": ["former_phones"]},
        DETAIL | {"former_phones": ["+14155550199"]},
    ),
    "get-contacts": (
        {"phones": ["+1 415 555 0123", "+33 6 12 34 56 78"], "emails": ["nobody@example.com"]},
        {
            "data": [DETAIL | {"former_phones": ["+14155550199"]}],
            "not_found": ["+33 6 12 34 56 78", "nobody@example.com"],
        },
    ),
    "search-contacts": (
        {"query": "415 555", "tag": "vip", "filter": {"source": ["api"]}, "limit": 10},
        [{name: value for name, value in DETAIL.items() if name in ("id", *FOUND)}],
    ),
    "list-contacts": (
        {
            "limit": 100,
            "filter": {
                "tags_any": ["vip", "beta"],
                "country": ["US"],
                "created_since": "2026-05-01T00:00:00+00:00",
                "metadata": {"city": ["Paris", "Lyon"], "unsubscribed": {"exists": False}},
            },
        },
        {
            "data": [DETAIL | {"updated_at": UPDATED_AT, "former_phones": ["+14155550199"]}],
            "next_cursor": None,
        },
    ),
    "list-changes": (
        KEY | {"limit": 100},
        {
            "data": [
                CHANGE | {"sequence": 41, "kind": "created", "merged_into": None, "changes": {}},
                CHANGE
                | {
                    "sequence": 42,
                    "kind": "updated",
                    "merged_into": None,
                    "changes": {
                        "name": {"old": "Romain", "new": "Romain R."},
                        "metadata": {"city": {"new": "Paris"}},
                    },
                },
            ],
            "next_cursor": "WzEyMzQ1LDQyXQ:1wV8aK:u3o6n9YbqkS8JmU0c5bqRz2kT1v4x7yAeFgHiJkLmNo",
        },
    ),
    "add-tag": (
        KEY | {"tag": "beta"},
        {
            "id": ROMAIN["id"],
            "phone": ROMAIN["phone"],
            "tag_added": "beta",
            "tags": ["vip", "fr-FR", "beta"],
        },
    ),
    "remove-tag": (
        KEY | {"tag": "beta"},
        {
            "id": ROMAIN["id"],
            "phone": ROMAIN["phone"],
            "tag_removed": "beta",
            "tags": ["vip", "fr-FR"],
        },
    ),
    "list-fields": (
        {"name": "i"},
        {
            "data": [
                {"key": "city", "count": 1, "type": "string", "example": "Paris"},
                {"key": "lifetime_value", "count": 1, "type": "number", "example": 8742.5},
                {"key": "shopify_id", "count": 1, "type": "string", "example": "12345"},
            ],
            "contacts": 1,
            "is_complete": True,
        },
    ),
    "list-views": (
        {"name": "VIP"},
        [
            {
                "id": "01J1Y3V8K5VW3D2B6M1H5F9C0A",
                "name": "VIPs in France",
                "filter": {"tags_all": ["vip"], "country": ["FR"]},
                "shared": True,
            }
        ],
    ),
    "list-tags": (
        {"name": "VIP", "limit": 1000},
        [{"id": "01J1Y3V8K3D2B6M1H5F9C0A7TE", "name": "vip", "contacts_count": 1}],
    ),
    "create-contacts": (
        {
            "contacts": [
                {"phone": "+33 6 12 34 56 78", "name": "Zoé", "tags": ["vip"], "ref": "row-1"},
                {"phone": "+1 415", "ref": "row-2"},
            ]
        },
        {
            "created": 1,
            "updated": 0,
            "unchanged": 0,
            "superseded": 0,
            "failed": 1,
            "results": [
                {
                    "index": 0,
                    "ref": "row-1",
                    "status": "created",
                    "id": ZOE_ID,
                    "phone": "+33612345678",
                },
                {
                    "index": 1,
                    "ref": "row-2",
                    "status": "failed",
                    "errors": {"phone": ["The phone is too short for its country."]},
                },
            ],
        },
    ),
    "record-consent": (
        KEY
        | {
            "status": "opted_in",
            "at": "2026-05-07T08:00:00+02:00",
            "source": "checkout",
            "proof": "box ticked, order 1042",
        },
        {
            "id": ROMAIN["id"],
            "phone": ROMAIN["phone"],
            "opted_in_at": "2026-05-07T06:00:00+00:00",
            "opted_out_at": None,
        },
    ),
    "merge-contacts": (
        {
            "contact_id": ROMAIN["id"],
            "merge_ids": [ZOE_ID],
            "choose": {"name": ROMAIN["id"]},
        },
        DETAIL | {"merged": [ZOE_ID], "change_set": MERGE},
    ),
    "rename-tag": (
        {"tag": "beta", "new_tag": "beta-testers"},
        BULK | {"kind": "rename_tag", "total": 0, "done": 0, "changed": 0, "change_set": None},
    ),
    "merge-tags": (
        {"tags": ["beta-testers"], "into": "vip"},
        BULK | {"kind": "merge_tags", "total": 0, "done": 0, "changed": 0, "change_set": None},
    ),
    "undo": (
        {"change_set": MERGE},
        {
            "restored": 2,
            "kept": [
                {
                    "contact_id": ROMAIN["id"],
                    "phone": ROMAIN["phone"],
                    "field": "consent",
                    "reason": "consent",
                    "message": "consent stays as it was decided",
                }
            ],
            "change_set": "01J1Y3V8KQX5Z7B9D2F4H6K8MN",
        },
    ),
    "remove-former-phone": (
        {"contact_id": ROMAIN["id"], "phone": "+14155550199"},
        {"id": ROMAIN["id"], "phone": ROMAIN["phone"], "former_phones": []},
    ),
    "record-message": (
        KEY | {"at": "2026-05-07T09:30:00+00:00"},
        {"last_message_at": "2026-05-07T09:30:00+00:00", "total_messages": 1},
    ),
    "bulk-update": (
        {
            "filter": {"tags_all": ["vip"], "country": ["US"]},
            "add_tags": ["2026"],
            "locale": "en-US",
        },
        BULK,
    ),
    "delete-tag": ({"tag": "2026"}, BULK | {"kind": "delete_tags"}),
    "bulk-delete": (
        {
            "filter": {"never_messaged": True, "created_before": "2020-01-01T00:00:00Z"},
            "dry_run": True,
        },
        BULK | DRY_RUN | {"kind": "delete", "total": 0},
    ),
    "delete-contact": (
        {"contact_id": ROMAIN["id"]},
        {"id": ROMAIN["id"], "phone": ROMAIN["phone"], "deleted": True},
    ),
    "erase-contact": (
        {"contact_id": ZOE_ID},
        {
            "id": ZOE_ID,
            "erased": True,
            "merged_into": [],
            "waiting_imports": [],
            "unreadable_files": 0,
        },
    ),
    "create-import": (CSV, JOB | QUEUED),
    "get-import": (None, JOB),
    "get-import-errors": (
        None,
        f"Mobile,Full name,Tags,Town,line,error\r\n12,Bob,,,3,{TOO_SHORT}\r\n",
    ),
    "create-export": (
        {"tag": "vip", "filter": {"consent": "unknown"}, "format": "csv"},
        EXPORT | WAITING,
    ),
    "get-export": (None, EXPORT),
    "get-export-file": (None, EXPORTED),
    "get-bulk": (None, BULK | LARGE_UNDO),
    "create-webhook": (
        {key: WEBHOOK[key] for key in ("url", "events")},
        WEBHOOK | {"secret": "whsec_3f1c…"},
    ),
    "list-webhooks": (None, [WEBHOOK]),
    "get-webhook": (None, WEBHOOK),
    "update-webhook": ({"import_rows": False, "paused": False}, WEBHOOK),
    "rotate-webhook": (None, WEBHOOK | {"secret": "whsec_3f1c…"}),
    "test-webhook": (None, DELIVERY),
    "list-deliveries": (None, {"data": [DELIVERY | DEAD], "next_cursor": None}),
    "replay-webhook": ({"since": CREATED_AT}, {"replayed": 1, "next_cursor": None}),
    "delete-webhook": (None, None),
}
