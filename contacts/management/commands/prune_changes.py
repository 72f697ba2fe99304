from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Q
from django.utils import timezone

from contacts.management.bulk import age
from contacts.models import BulkAction, Change, Delivery, decisions_of_contacts
from contacts.webhooks.sender import derive


class Command(BaseCommand):
    help = (
        "Deletes what is old of changes, bulk actions and what webhooks were told. Contacts stay."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than", type=age, required=True, metavar="400d")

    def handle(self, *args: Any, **options: Any) -> None:
        before = timezone.now() - options["older_than"]
        derive(wait=True)  # what webhooks have not heard of yet
        Delivery.objects.prune(before)
        needed = Q(pk__in=Delivery.objects.changes()) | decisions_of_contacts()
        number = Change.objects.prune(before, keep=needed)
        BulkAction.objects.filter(finished_at__lt=before).delete()  # nothing can take them back
        self.stdout.write(f"changes deleted: {number}")
