"""What the commands share that change many contacts."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import transaction
from django.db.models import Exists, OuterRef

from contacts.change_log.cause import caused_by
from contacts.db.pacing import Pace
from contacts.db.transactions import retry_after_race, transactional
from contacts.models import Contact, ContactQuerySet, ContactTag, Tag
from contacts.values import rules
from contacts.writing import former_phones
from tenants.fields import new_ulid
from tenants.isolation import tenant_context
from tenants.management.base import BaseCommand, tenant_named
from tenants.models import Tenant, validate_region

from .progress import Progress

Item = TypeVar("Item")


class Refused(str):
    """A line of output about something that the command has not changed."""

    __slots__ = ()


def region(text: str | None, returncode: int = 1) -> str | None:
    """Checks the value of an option --region. Raises `CommandError` with this `returncode`."""
    try:
        if text is not None:
            validate_region(text)
    except ValidationError as error:
        raise CommandError(f"--region: {error.messages[0]}", returncode=returncode) from error
    return text


def age(text: str) -> timedelta:
    """The value of an option such as `--older-than 30d`, for argparse."""
    if not (match := re.fullmatch(r"(\d{1,5})d", text)):
        raise ArgumentTypeError(f"an age is a number of days, such as 30d, not “{text}”")
    return timedelta(days=int(match[1]))


def add_age(parser: ArgumentParser, example: str) -> None:
    parser.add_argument(
        "--older-than", type=age, required=True, metavar=example, help="the age, in days"
    )


def confirm(question: str, number: int, nothing: str) -> None:
    """Asks to type `number`; raises `CommandError` if somebody types something else. `nothing`: the
    sentence that says what has not happened."""
    try:
        typed = input(f"{question} Type the number: ")
    except EOFError:
        raise CommandError("Cannot ask for the number here. Add --yes.") from None
    if typed.strip() != str(number):
        raise CommandError(f"{nothing}: you typed another number.")


def print_undo_hint(command: BaseCommand, change_set: str) -> None:
    """On standard error: programs read the standard output of commands."""
    if not command.is_quiet:
        command.stderr.write(f"To undo: manage.py undo --change-set {change_set}", str)


class BulkFix(BaseCommand):
    """A command that goes through the rows of a tenant in batches, a transaction each; see
    `contacts.db.pacing`.

    A subclass has `batches`, and `fix`, which changes one batch and returns a line of output for
    each change. A dry run does the same and rolls each batch back. The first lines are printed, and
    all with --verbosity 2.

    `noun`: what the total at the end counts. `unit`: what `batches` consist of. `can_be_undone`:
    whether to print how to undo.
    """

    noun = "changed"
    unit = "contacts"
    can_be_undone = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_tenant_options(parser)
        parser.add_argument("--dry-run", action="store_true", help="show, and write nothing")
        parser.add_argument("--batch-size", type=int, default=1000, help="most rows a transaction")

    def add_tenant_options(self, parser: ArgumentParser) -> None:
        tenants = parser.add_mutually_exclusive_group(required=True)
        tenants.add_argument("--tenant", metavar="SLUG", help="one tenant, by its name in commands")
        tenants.add_argument("--all-tenants", action="store_true", help="one tenant after another")

    def handle(self, *args: Any, **options: Any) -> None:
        self.change_set = new_ulid()
        with caused_by(f"command:{type(self).__module__.rpartition('.')[2]}", self.change_set):
            self.run_batches(options)

    def run_batches(self, options: dict[str, Any]) -> None:
        self.options = options
        self.hides_changes = False
        if not 1 <= options["batch_size"] <= 50_000:
            raise CommandError("--batch-size takes a number from 1 to 50000.")
        self.pace = Pace(options["batch_size"])
        tenants = self.tenants()
        self.prepare(tenants)
        total, refused = self.go_through(tenants)
        self.say(f"{'dry run: ' if options['dry_run'] else ''}{self.noun}: {total}")
        if refused:
            self.complain(f"not changed, see above: {refused}")
        if self.can_be_undone and total and not options["dry_run"]:
            print_undo_hint(self, self.change_set)
        self.finish(total)

    def go_through(self, tenants: list[Tenant]) -> tuple[int, int]:
        """Returns how many changes there were, and how many were refused. Prints lines about both;
        if `hides_changes`, only about the refused."""
        with Progress(self) as self.progress:
            above = self.progress.above
            changes = self.listing(above(self.say_change))
            refusals = self.listing(above(self.complain), rest="more that were not changed")
            self.progress.begin(total=self.expected_of_all(tenants), unit=self.unit)
            try:
                for tenant in tenants:
                    with tenant_context(tenant.pk):
                        for batch in self.batches(tenant):
                            for line in self.run_batch(tenant, batch):
                                listing = refusals if isinstance(line, Refused) else changes
                                listing.add(f"{tenant.slug} {line}")
                            self.progress.add(len(batch))
            except BaseException:  # also Ctrl-C, and `| head`, which reads no more lines
                if changes.number and not self.options["dry_run"]:
                    self.say_unfinished()
                raise
        for listing in (changes, refusals):
            listing.end()
        return changes.number, refusals.number

    def say_unfinished(self) -> None:
        """Without this, nobody could undo what the batches before the end have changed."""
        self.stderr.write("Stopped before the end: a part was changed, and stays so.", str)
        if self.can_be_undone:
            print_undo_hint(self, self.change_set)

    def say_change(self, line: str) -> None:
        if not self.hides_changes:
            self.say(line)

    def expected_of_all(self, tenants: list[Tenant]) -> int | None:
        """How many rows there are to go through. None if that is not known, or not shown."""
        if self.is_quiet:
            return None
        total = 0
        for tenant in tenants:
            with tenant_context(tenant.pk):
                if (number := self.expected(tenant)) is None:
                    return None
            total += number
        return total

    def expected(self, tenant: Tenant) -> int | None:
        """How many rows `batches` will have, at least about. None if that is not known."""
        return tenant.contacts.count()

    def run_batch(self, tenant: Tenant, batch: list[Any]) -> list[str]:
        with self.pace.turn(len(batch)):
            return retry_after_race(lambda: self.try_batch(tenant, batch))

    @transactional
    def try_batch(self, tenant: Tenant, batch: list[Any]) -> list[str]:
        """A dry run has the same code, and differs only in the rollback at the end."""
        lines = list(self.fix(tenant, batch))
        if self.options["dry_run"]:
            transaction.set_rollback(True)
        return lines

    def tenants(self) -> list[Tenant]:
        if self.options["all_tenants"]:
            return list(Tenant.objects.order_by("slug"))
        return [tenant_named(self.options["tenant"])]

    def prepare(self, tenants: list[Tenant]) -> None:
        """Raises `CommandError` if the command must not begin."""

    def finish(self, total: int) -> None:
        """Called at the end; a subclass sets the exit status here."""

    def batches(self, tenant: Tenant) -> Iterator[list[Any]]:
        """The rows to go through; all contacts of the tenant unless a subclass says otherwise."""
        return self.by_key(tenant.contacts.all())

    def by_key(self, contacts: ContactQuerySet) -> Iterator[list[Contact]]:
        """Batches in the order of ids. A contact that changes meanwhile does not come twice."""
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
        """The number of rows of the next batch."""
        return self.pace.size

    def fix(self, tenant: Tenant, batch: list[Any]) -> Iterable[str]:
        """Changes the rows of `batch`. Returns a line of output for each change."""
        raise NotImplementedError


def refuse_unknown_tags(tenants: list[Tenant], names: list[str]) -> None:
    """Raises `CommandError` if no contact of these tenants has one of the tags. Such a tag is
    usually mistyped, and without the error the command would seem to have worked."""
    links = ContactTag.objects.filter(tenant=OuterRef("tenant"), tag=OuterRef("pk"))
    found = Tag.objects.filter(Exists(links), tenant__in=tenants, name__in=names)
    if unknown := {*names} - {*found.values_list("name", flat=True)}:
        quoted = " or ".join(f"“{name}”" for name in sorted(unknown))
        raise CommandError(f"No contact has the tag {quoted}.")


class ChosenFix(BulkFix):
    """A `BulkFix` for contacts that the user chooses by their phones or by a tag."""

    def add_choice(self, parser: ArgumentParser) -> Any:
        super().add_arguments(parser)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--phones", type=Path, metavar="FILE", help="one phone a line")
        which.add_argument("--tag", help="contacts with this tag")
        return which

    def prepare(self, tenants: list[Tenant]) -> None:
        self.phones: dict[str, set[str]] = {tenant.pk: set() for tenant in tenants}
        if self.options["phones"]:
            self.choose(tenants, self.read_phones(tenants))
        elif self.options["tag"] is not None:
            refuse_unknown_tags(tenants, [self.options["tag"]])

    def read_phones(self, tenants: list[Tenant]) -> dict[int, dict[str, str]]:
        """Reads the phones of the file in the region of each tenant. Returns them by line number
        and id of the tenant."""
        try:
            lines = self.options["phones"].read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{self.options['phones']}: {error}") from error
        read: dict[int, dict[str, str]] = {}
        for number, line in enumerate(lines, 1):
            for tenant in tenants:
                if line.strip():
                    try:
                        phone = rules.phone(line, tenant.default_region)
                    except ValueError as error:
                        raise CommandError(f"line {number}: {error}") from error
                    read.setdefault(number, {})[tenant.pk] = phone
        return read

    def choose(self, tenants: list[Tenant], read: dict[int, dict[str, str]]) -> None:
        """Adds the current phones of the contacts that have or had the phones in `read` to
        `phones`: so a contact is chosen once, however many of its phones the file has.

        Prints the lines whose phone no contact has. Raises `CommandError` if that is true for all
        lines."""
        unknown = {*read}
        for tenant in tenants:
            wanted = {phones[tenant.pk] for phones in read.values()}
            for part in self.grouped(sorted(wanted)):
                found = former_phones.current(tenant.pk, part)
                self.phones[tenant.pk].update(*found.values())
                unknown -= {number for number in unknown if read[number][tenant.pk] in found}
        if len(unknown) == len(read):
            raise CommandError(f"{self.options['phones']}: no contact has any of these phones.")
        for number in sorted(unknown):
            self.stderr.write(f"line {number}: no contact has this phone", str)

    def choices(self, tenant: Tenant) -> Iterator[ContactQuerySet]:
        """The chosen contacts. Phones come in parts, because a statement takes a limited number of
        parameters."""
        contacts = tenant.contacts.all()
        if self.options["phones"]:
            for phones in self.grouped(sorted(self.phones[tenant.pk])):
                yield contacts.filter(phone__in=phones)
        else:
            yield contacts.with_tag(self.options["tag"])

    def expected(self, tenant: Tenant) -> int:
        return sum(chosen.count() for chosen in self.choices(tenant))

    def batches(self, tenant: Tenant) -> Iterator[list[Any]]:
        for chosen in self.choices(tenant):
            self.chosen = chosen
            yield from self.by_key(chosen)

    def locked(self, batch: list[Contact]) -> list[Contact]:
        """The contacts of the batch that are still chosen, locked."""
        pks = [contact.pk for contact in batch]
        found = self.chosen.filter(pk__in=pks).order_by("phone")
        return list(found.select_for_update(of=("self",)))
