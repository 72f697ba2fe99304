from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts.models import Webhook
from contacts.models.webhook import events
from contacts.webhooks.addresses import endpoint
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Tells an address of what happens to a tenant's contacts; prints its secret, this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--event", action="append", help="one to send; repeat it for more")
        parser.add_argument(
            "--import-rows", action="store_true", help="also each contact that an import writes"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = Tenant.objects.get(slug=options["tenant"])
            url, wanted = endpoint(options["url"]), events(options["event"])
            made = Webhook(
                tenant=tenant, url=url, events=wanted, import_rows=options["import_rows"]
            )
            made.establish()
        except Tenant.DoesNotExist:
            raise CommandError(f"There is no tenant “{options['tenant']}”.") from None
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"# {made.pk} tells {made.url} of {', '.join(made.events)}")
        self.stdout.write(f"secret: {made.secret}")
