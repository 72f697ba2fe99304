from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from contacts.models import Webhook
from contacts.webhooks import outbox
from contacts.webhooks.rules import endpoint, events
from tenants.management.base import BaseCommand, add_tenant, tenant_named


class Command(BaseCommand):
    help = "Creates a webhook, which gets events about a tenant's contacts; prints its secret once."
    example = "https://example.com/hook --tenant acme --event contact.created"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="where events are sent, such as https://example.com/hook")
        add_tenant(parser)
        parser.add_argument(
            "--event",
            action="append",
            help="an event to send, default: all; repeat the option for more",
        )
        parser.add_argument(
            "--import-rows",
            action="store_true",
            help="also an event for each contact that an import writes",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = tenant_named(options["tenant"])
        try:
            url, wanted = endpoint(options["url"]), events(options["event"])
            webhook = Webhook(
                tenant=tenant, url=url, events=wanted, import_rows=options["import_rows"]
            )
            outbox.create(webhook)
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.say(f"# {webhook.pk} sends {', '.join(webhook.events)} to {webhook.url}")
        self.stdout.write(f"secret: {webhook.secret}")
