"""Verifies a delivery with the published libraries of receivers, for `generated_clients.py`."""

import json
import sys

import standardwebhooks
import svix.webhooks

given = json.loads(sys.argv[1])
for library in (standardwebhooks, svix.webhooks):
    for secret in given["secrets"]:
        library.Webhook(secret).verify(given["body"], given["headers"])  # raises if it is wrong
    try:
        library.Webhook(given["wrong"]).verify(given["body"], given["headers"])
    except library.WebhookVerificationError:
        continue
    raise AssertionError(f"{library.__name__} accepts a wrong secret")
