from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Q
from django.utils import timezone

from contacts.management.bulk import add_age
from contacts.management.progress import Progress
from contacts.models import BulkAction, Change, Delivery, StoredAnswer, decisions_of_contacts
from contacts.webhooks import outbox
from contacts.writing import notes
from tenants.management.base import BaseCommand


class Command(BaseCommand):
    help = (
        "Deletes old log entries, bulk actions, deliveries and stored answers, and the notes of"
        " deleted contacts that no undo can bring back. Contacts stay."
    )
    example = "--older-than 400d"

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_age(parser, "400d")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["older_than"]:
            # Stored counts of tags, `TagCounts`, need the entries of the last twenty hours.
            raise CommandError("Name an age of at least one day, such as 400d.")
        before = timezone.now() - options["older_than"]
        outbox.enqueue_deliveries(wait=True)  # else changes would be deleted before they are sent
        outbox.prune(before)
        needed = Q(pk__in=Delivery.objects.pending_changes()) | decisions_of_contacts()
        number = self.prune(before, needed)
        # Without their log entries, bulk actions could not be undone any more.
        BulkAction.objects.filter(finished_at__lt=before).delete()
        StoredAnswer.objects.expired().delete()
        notes.lost().delete()
        self.say(f"changes deleted: {number}")

    def prune(self, before: datetime, needed: Q) -> int:
        with Progress(self) as progress:
            old = Change.objects.old(before, keep=needed)
            progress.begin(total=None if self.is_quiet else old.count(), unit="changes")
            return old.prune(progress.add)
