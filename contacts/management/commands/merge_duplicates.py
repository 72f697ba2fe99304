from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Count, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from contacts import phones
from contacts.management.bulk import BulkFix
from contacts.models import Contact
from tenants.models import Tenant


class Command(BulkFix):
    help = "Merges contacts that are one person: the oldest stays and takes over what others know."
    noun = "groups merged or refused"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--by", required=True, metavar="WHAT",
            help="phone-variant (Brazil's ninth digit, Mexico's 1, Argentina's 9), email, or"
            " metadata.KEY",
        )  # fmt: skip

    def prepare(self, tenants: list[Tenant]) -> None:
        by = self.options["by"]
        if by not in {"phone-variant", "email"} and by.removeprefix("metadata.") == by:
            raise CommandError(f"--by takes phone-variant, email or metadata.KEY, not “{by}”.")

    def batches(self, tenant: Tenant) -> Iterator[list[list[Contact]]]:
        by_key = self.by_variant(tenant) if self.options["by"] == "phone-variant" else {}
        keys = sorted(by_key) if by_key else self.repeated(tenant)
        for some in self.grouped(keys):
            groups: dict[Any, list[Contact]] = defaultdict(list)
            for key, contact in self.carriers(tenant, some, by_key):
                groups[key].append(contact)
            yield [groups[key] for key in some if len(groups[key]) > 1]

    def by_variant(self, tenant: Tenant) -> dict[str, list[str]]:
        """The ids of contacts whose phones are variants of each other."""
        found: dict[str, list[str]] = defaultdict(list)
        for country in ("+55", "+52", "+54"):
            for batch in self.by_key(tenant.contacts.filter(phone__startswith=country)):
                for contact in batch:
                    found[phones.variant_key(contact.phone)].append(contact.pk)
        return {key: pks for key, pks in found.items() if len(pks) > 1}

    def annotated(self, tenant: Tenant) -> Any:
        by = self.options["by"]
        if by == "email":
            return tenant.contacts.exclude(email_folded=""), "email_folded"
        text = Cast(KT(f"metadata__{by.removeprefix('metadata.')}"), TextField())
        contacts = tenant.contacts.annotate(shared=text)
        return contacts.filter(shared__gt=""), "shared"

    def repeated(self, tenant: Tenant) -> list[Any]:
        if self.options["by"] == "phone-variant":
            return []
        contacts, name = self.annotated(tenant)
        counted = contacts.order_by().values(name).annotate(number=Count("pk")).filter(number__gt=1)
        return sorted(counted.values_list(name, flat=True))

    def carriers(
        self, tenant: Tenant, keys: list[Any], by_key: dict[str, list[str]]
    ) -> Iterator[tuple[Any, Contact]]:
        if by_key:
            pks = {pk: key for key in keys for pk in by_key[key]}
            for contact in tenant.contacts.filter(pk__in=pks):
                yield pks[contact.pk], contact
            return
        contacts, name = self.annotated(tenant)
        for contact in contacts.filter(**{f"{name}__in": keys}):
            yield getattr(contact, name), contact

    def fix(self, tenant: Tenant, batch: list[list[Contact]]) -> Iterator[str]:
        phones_of = {contact.pk: contact.phone for group in batch for contact in group}
        groups = {min(contact.pk for contact in group): group for group in batch}
        for kept, problem in tenant.contacts.merge(batch):
            group = sorted(contact.pk for contact in groups[kept.pk])
            others = ", ".join(phones_of[pk] for pk in group if pk != kept.pk)
            yield (
                f"{kept.phone}: cannot be merged with {others}: {problem}"
                if problem
                else f"{others} merged into {kept.phone}"
            )
