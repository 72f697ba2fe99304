"""What the commands for bulk fixes share."""

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Exists, OuterRef
from tqdm import tqdm

from contacts.change_log.cause import caused_by
from contacts.db.pacing import Pace
from contacts.db.transactions import transactional, tried_twice
from contacts.models import Contact, ContactQuerySet, ContactTag, Tag
from contacts.values import rules
from tenants.fields import new_ulid
from tenants.isolation import tenant_context
from tenants.models import Tenant, validate_region

Item = TypeVar("Item")


class Refused(str):
    """A line about something that was not changed."""

    __slots__ = ()


def region(text: str | None, returncode: int = 1) -> str | None:
    """The value of an option --region. Raises `CommandError`."""
    try:
        if text is not None:
            validate_region(text)
    except ValidationError as error:
        raise CommandError(f"--region: {error.messages[0]}", returncode=returncode) from error
    return text


def age(text: str) -> timedelta:
    """The value of an option such as `--older-than 30d`."""
    if not (match := re.fullmatch(r"(\d{1,5})d", text)):
        raise ArgumentTypeError(f"an age is a number of days, such as 30d, not “{text}”")
    return timedelta(days=int(match[1]))


def tell_how_to_undo(command: BaseCommand, change_set: str) -> None:
    """To a person, not to a program that reads the output."""
    command.stderr.write(f"to take it back: undo --change-set {change_set}", lambda text: text)


class BulkFix(BaseCommand):
    """Goes through a tenant's rows in batches, each in a transaction of its own; see `pacing`.

    A command says which `batches` there are, and what to `fix` in one. It prints a line for
    each change and a total. A dry run does the same and takes each batch back.
    """

    noun = "changed"
    can_be_undone = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_whose(parser)
        parser.add_argument("--dry-run", action="store_true", help="show, and write nothing")
        parser.add_argument("--batch-size", type=int, default=1000, help="most rows a transaction")

    def add_whose(self, parser: ArgumentParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--tenant", metavar="SLUG")
        whose.add_argument("--all-tenants", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        self.change_set = new_ulid()
        with caused_by(f"command:{type(self).__module__.rpartition('.')[2]}", self.change_set):
            self.run_batches(options)

    def run_batches(self, options: dict[str, Any]) -> None:
        self.options = options
        if not 1 <= options["batch_size"] <= 50_000:
            raise CommandError("--batch-size takes a number from 1 to 50000.")
        self.pace = Pace(options["batch_size"])
        tenants = self.tenants()
        self.prepare(tenants)
        total = refused = 0
        with tqdm(unit=" rows", file=sys.stderr, disable=None) as bar:
            for tenant in tenants:
                with tenant_context(tenant.pk):
                    for batch in self.batches(tenant):
                        for line in self.run_batch(tenant, batch):
                            is_change = not isinstance(line, Refused)
                            total, refused = total + is_change, refused + (not is_change)
                            self.stdout.write(f"{tenant.slug} {line}")
                        bar.update(len(batch))
        self.stdout.write(f"{'dry run: ' if options['dry_run'] else ''}{self.noun}: {total}")
        if refused:
            self.stdout.write(f"not changed, see above: {refused}")
        if self.can_be_undone and total and not options["dry_run"]:
            tell_how_to_undo(self, self.change_set)
        self.finish(total)

    def run_batch(self, tenant: Tenant, batch: list[Any]) -> list[str]:
        with self.pace.turn(len(batch)):
            return tried_twice(lambda: self.try_batch(tenant, batch))

    @transactional
    def try_batch(self, tenant: Tenant, batch: list[Any]) -> list[str]:
        """One body for both: a dry run differs in its end only."""
        lines = list(self.fix(tenant, batch))
        if self.options["dry_run"]:
            transaction.set_rollback(True)
        return lines

    def tenants(self) -> list[Tenant]:
        if self.options["all_tenants"]:
            return list(Tenant.objects.order_by("slug"))
        found = list(Tenant.objects.filter(slug=self.options["tenant"]))
        if not found:
            raise CommandError(f"There is no tenant “{self.options['tenant']}”.")
        return found

    def prepare(self, tenants: list[Tenant]) -> None:
        """Raises `CommandError` where the command should not begin."""

    def finish(self, total: int) -> None:
        """What the exit status depends on."""

    def batches(self, tenant: Tenant) -> Iterator[list[Any]]:
        """By default all contacts of the tenant."""
        return self.by_key(tenant.contacts.all())

    def by_key(self, contacts: ContactQuerySet) -> Iterator[list[Contact]]:
        """Keyset batches by id: of what changes meanwhile, nothing is passed twice."""
        ordered, last = contacts.order_by("pk"), ""
        while batch := list((ordered.filter(pk__gt=last) if last else ordered)[: self.size]):
            yield batch
            last = batch[-1].pk

    def grouped(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        iterator = iter(items)
        while batch := list(islice(iterator, self.size)):
            yield batch

    @property
    def size(self) -> int:
        """Of the next batch."""
        return self.pace.size

    def fix(self, tenant: Tenant, batch: list[Any]) -> Iterable[str]:
        """Changes what is to be changed in `batch`; a line for each change."""
        raise NotImplementedError


def refuse_unknown_tags(tenants: list[Tenant], names: list[str]) -> None:
    """Raises `CommandError` if a tag is on no contact of these tenants: mostly it is mistyped, and
    without the error the command would seem to have worked."""
    carried = Exists(ContactTag.objects.filter(tag=OuterRef("pk")))
    found = Tag.objects.filter(carried, tenant__in=tenants, name__in=names)
    if unknown := {*names} - {*found.values_list("name", flat=True)}:
        quoted = " or ".join(f"“{name}”" for name in sorted(unknown))
        raise CommandError(f"No contact has the tag {quoted}.")


class ChosenFix(BulkFix):
    """One for contacts of a choice: by their phones, by a tag."""

    def add_choice(self, parser: ArgumentParser) -> Any:
        super().add_arguments(parser)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--phones", type=Path, metavar="FILE", help="one phone a line")
        which.add_argument("--tag", help="those that carry it")
        return which

    def prepare(self, tenants: list[Tenant]) -> None:
        self.numbers: dict[str, set[str]] = {tenant.pk: set() for tenant in tenants}
        if self.options["phones"]:
            self.refuse_unknown_phones(tenants, self.read_phones(tenants))
        elif self.options["tag"] is not None:
            refuse_unknown_tags(tenants, [self.options["tag"]])

    def read_phones(self, tenants: list[Tenant]) -> dict[int, set[tuple[str, str]]]:
        """Adds the phones of the file to `numbers`, each read in the region of each tenant. Returns
        the ids of tenants and the phones by line."""
        try:
            lines = self.options["phones"].read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{self.options['phones']}: {error}") from error
        read: dict[int, set[tuple[str, str]]] = {}
        for number, line in enumerate(lines, 1):
            for tenant in tenants:
                if line.strip():
                    try:
                        phone = rules.phone(line, tenant.default_region)
                    except ValueError as error:
                        raise CommandError(f"line {number}: {error}") from error
                    self.numbers[tenant.pk].add(phone)
                    read.setdefault(number, set()).add((tenant.pk, phone))
        return read

    def refuse_unknown_phones(
        self, tenants: list[Tenant], read: dict[int, set[tuple[str, str]]]
    ) -> None:
        """Names the lines with a phone that no contact has. Raises `CommandError` if these are all
        lines."""
        found = {
            (tenant.pk, phone)
            for tenant in tenants
            for chosen in self.choices(tenant)
            for phone in chosen.values_list("phone", flat=True)
        }
        unknown = [number for number, phones in read.items() if phones.isdisjoint(found)]
        if len(unknown) == len(read):
            raise CommandError(f"{self.options['phones']}: no contact has any of these phones.")
        for number in unknown:
            self.stderr.write(f"line {number}: no contact has this phone", lambda text: text)

    def choices(self, tenant: Tenant) -> Iterator[ContactQuerySet]:
        """Those chosen; phones some at a time, as many as a statement takes."""
        contacts = tenant.contacts.all()
        if self.options["phones"]:
            for some in self.grouped(sorted(self.numbers[tenant.pk])):
                yield contacts.filter(phone__in=some)
        else:
            yield contacts.with_tag(self.options["tag"])

    def batches(self, tenant: Tenant) -> Iterator[list[Any]]:
        for chosen in self.choices(tenant):
            self.chosen = chosen
            yield from self.by_key(chosen)

    def locked(self, batch: list[Contact]) -> list[Contact]:
        """Those of the batch that are still chosen, locked."""
        pks = [contact.pk for contact in batch]
        found = self.chosen.filter(pk__in=pks).order_by("phone")
        return list(found.select_for_update(of=("self",)))
