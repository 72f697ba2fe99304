from collections.abc import Iterator

from contacts.management.bulk import BulkFix
from contacts.models import Tag
from contacts.writing.tags import delete_unused
from tenants.models import Tenant


class Command(BulkFix):
    help = "Deletes the tags that no contact has."
    noun = "tags deleted"
    unit = "tags"
    example = "--tenant acme --dry-run"
    can_be_undone = False  # the log has entries about contacts only

    def expected(self, tenant: Tenant) -> int:
        return tenant.tags.filter(links=None).count()

    def batches(self, tenant: Tenant) -> Iterator[list[Tag]]:
        return self.grouped(list(tenant.tags.filter(links=None).order_by("name")))

    def fix(self, tenant: Tenant, batch: list[Tag]) -> Iterator[str]:
        yield from delete_unused(tenant.tags.filter(pk__in=[tag.pk for tag in batch]))
