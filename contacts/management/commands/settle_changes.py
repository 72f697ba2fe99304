from typing import Any

from django.db import transaction

from contacts.models import TagCounts
from tenants.management.base import BaseCommand
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "After the database was restored: lets every reader of list-changes get all changes to"
        " come, also a reader that has read changes which are lost now. Run it before servers and"
        " workers start."
    )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        TagCounts.objects.all().delete()  # they were counted up to a number of a transaction
        settled = sum(tenant.changes.settle() for tenant in Tenant.objects.order_by("pk"))
        self.say(f"changes settled: {settled}")
