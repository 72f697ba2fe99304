from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q
from django.utils import timezone

from contacts.management.bulk import age
from contacts.models import BulkAction, Change, Delivery, StoredAnswer, decisions_of_contacts
from contacts.webhooks import outbox


class Command(BaseCommand):
    help = "Deletes old log entries, bulk actions, deliveries and stored answers. Contacts stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than", type=age, required=True, metavar="400d")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["older_than"]:
            # Stored counts of tags, `TagCounts`, need the entries of the last twenty hours.
            raise CommandError("Name an age of at least one day, such as 400d.")
        before = timezone.now() - options["older_than"]
        outbox.enqueue_deliveries(wait=True)  # else changes would be deleted before they are sent
        outbox.prune(before)
        needed = Q(pk__in=Delivery.objects.pending_changes()) | decisions_of_contacts()
        number = Change.objects.prune(before, keep=needed)
        # Without their log entries, bulk actions could not be undone any more.
        BulkAction.objects.filter(finished_at__lt=before).delete()
        StoredAnswer.objects.expired().delete()
        self.stdout.write(f"changes deleted: {number}")
