from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from contacts.management.bulk import BulkFix, Refused, refuse_unknown_tags
from contacts.models import ContactQuerySet, Tag
from contacts.values import rules
from contacts.writing import tags
from tenants.models import Tenant


class Command(BulkFix):
    help = "Renames, merges, splits or deletes tags on all contacts that have them."
    noun = "contacts retagged"
    example = "--rename newsletter=news --tenant acme --dry-run"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--rename", metavar="A=B", help="call the tag A B")
        what.add_argument("--merge", metavar="A,B=C", help="put C in the place of A and of B")
        what.add_argument("--split", metavar="A=B,C", help="put B and C in the place of A")
        what.add_argument("--delete", metavar="A", help="take the tag A off all contacts")

    def prepare(self, tenants: list[Tenant]) -> None:
        """Parses the option: the `old` names of tags, and the `new` names that replace them."""
        kind, text = next((k, self.options[k]) for k in KINDS if self.options[k] is not None)
        before, sign, after = text.partition("=")
        try:
            self.old, self.new = rules.tags(before), rules.tags(after)
        except ValueError as error:
            raise CommandError(f"--{kind}: {error}") from error
        fits = KINDS[kind](len(self.old), len(self.new)) and bool(sign) == (kind != "delete")
        if not fits:
            raise CommandError(f"--{kind} takes {SHAPES[kind]}, not “{text}”.")
        refuse_unknown_tags(tenants, self.old)

    def carriers(self, tenant: Tenant) -> ContactQuerySet:
        return tenant.contacts.with_tags_in(self.old).distinct()

    def expected(self, tenant: Tenant) -> int:
        return self.carriers(tenant).count()

    def batches(self, tenant: Tenant) -> Iterator[list[Any]]:
        """The contacts that have one of the old tags, then the old tags themselves."""
        yield from self.by_key(self.carriers(tenant))
        yield list(tenant.tags.filter(name__in={*self.old} - {*self.new}))

    def fix(self, tenant: Tenant, batch: list[Any]) -> Iterator[str]:
        if batch and isinstance(batch[0], Tag):
            self.finish_tags(tenant, batch)
            return
        done = tags.retag(tenant, [contact.pk for contact in batch], self.retagged)
        for phone, problem in done.refused:
            yield Refused(f"{phone}: {problem}")
        for phone, change in done.changed:
            yield f"{phone}: {', '.join(change.before)} → {', '.join(change.after)}"

    def retagged(self, names: list[str]) -> list[str]:
        """Raises `ValueError` where a contact would get too many tags."""
        return rules.tags(tags.replaced(names, self.old, self.new))

    def finish_tags(self, tenant: Tenant, old: list[Tag]) -> None:
        """A dry run has left each tag on its contacts, and renaming it would lock them all."""
        if self.options["merge"]:
            tags.delete_merged(tenant, [tag.name for tag in old], self.new[0])
        elif self.options["rename"] is None:
            tags.delete_unused(tenant.tags.filter(pk__in=[tag.pk for tag in old]))
        elif not self.options["dry_run"]:
            for tag in old:
                tags.rename(tag, self.new[0])


# For each option: whether the numbers of tags before and after the = are right.
KINDS = {
    "rename": lambda old, new: old == new == 1,
    "merge": lambda old, new: old > 1 and new == 1,
    "split": lambda old, new: old == 1 and new > 1,
    "delete": lambda old, new: old == 1 and new == 0,
}
SHAPES = {"rename": "A=B", "merge": "A,B=C", "split": "A=B,C", "delete": "A"}
