from collections.abc import Iterator

from django.db.models import Exists, OuterRef

from contacts.management.bulk import BulkFix
from contacts.models import ContactTag, Tag, TagQuerySet
from contacts.writing.tags import delete_unused
from tenants.models import Tenant


class Command(BulkFix):
    help = "Deletes the tags that no contact has."
    noun = "tags deleted"
    unit = "tags"
    example = "--tenant acme --dry-run"
    can_be_undone = False  # the log has entries about contacts only

    def expected(self, tenant: Tenant) -> int:
        return unused(tenant).count()

    def batches(self, tenant: Tenant) -> Iterator[list[Tag]]:
        return self.grouped(list(unused(tenant).order_by("name")))

    def fix(self, tenant: Tenant, batch: list[Tag]) -> Iterator[str]:
        yield from delete_unused(tenant.tags.filter(pk__in=[tag.pk for tag in batch]))


def unused(tenant: Tenant) -> TagQuerySet:
    links = ContactTag.objects.filter(tenant=tenant, tag=OuterRef("pk"))
    return tenant.tags.filter(~Exists(links))
