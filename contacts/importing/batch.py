"""A batch of clean rows → contacts: one transaction, which also stores that the batch is done."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from django.db import connection, transaction
from django.utils.translation import get_language, override

from contacts.change_log.cause import caused_by
from contacts.db import transactions
from contacts.db.pacing import Pace
from contacts.models import Contact, Import, ImportBatch, ImportFailure, Warned, with_folded
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop, grouped
from contacts.writing import former_phones, renumber, upsert
from contacts.writing.upsert import PhonesRefused
from tenants.isolation import tenant_context

from .columns import FORMER
from .erasures import erased
from .former import former_of, free
from .spool import SpoolLine, parse

WITH_LATER_ROW = gettext_noop(
    "The phone is repeated, and its rows fail together. Line %(line)s: %(error)s"
)
NO_CONTACT = gettext_noop("There is no contact with this phone to update.")  # mode update-only


class BatchResult(NamedTuple):
    """`rows`: how many rows the batch has. `counts`: what became of the rows."""

    rows: int
    counts: ImportBatch
    failures: list[SpoolLine]


class BatchWriter:
    """Writes batches of the import `job`. A dry run does the same, and rolls each batch back."""

    def __init__(self, job: Import, batch_size: int) -> None:
        self.job = job
        self.pace = Pace(batch_size)
        self.language = get_language()

    def write_in_thread(self, number: int, texts: list[str]) -> BatchResult:
        """`write`, and closes the connection of the thread: nobody else would close it. The thread
        writes messages in the language of the one that has made the writer."""
        try:
            with override(self.language):
                return self.write(number, texts)
        finally:
            connection.close()

    def write(self, number: int, texts: list[str]) -> BatchResult:
        """Writes the lines of the spool in `texts`.

        `number`: the number of the first line in the spool, from 0. Raises `IntegrityError` if
        another process has written the same batch.
        """
        lines = [parse(text) for text in texts]
        cause = caused_by(f"import:{self.job.pk}", change_set=self.job.pk)
        with tenant_context(self.job.tenant_id), cause, self.pace.turn(len(lines)):
            # Another writer may give somebody a former phone of the file at the same moment.
            return transactions.retry_after_race(lambda: self.write_lines(number, lines))

    @transactions.transactional
    def write_lines(self, number: int, lines: list[SpoolLine]) -> BatchResult:
        transactions.hold_tenant(self.job.tenant_id)
        counts = ImportBatch(tenant_id=self.job.tenant_id, job=self.job, number=number)
        if not self.job.dry_run:
            counts.save(force_insert=True)
        lines = self.with_free_phones(lines)
        failures = [line for line in lines if line.error]
        failures += self.write_rows([line for line in lines if line.values], counts)
        failures += earlier_rows(failures)
        failed = {line.line for line in failures}
        # Rows of other batches may be among the failures, and are counted as superseded there: the
        # counts of a batch are the number of its rows, with which an import goes on.
        counts.failed = sum(line.line in failed for line in lines)
        counts.superseded = sum(line.is_superseded and line.line not in failed for line in lines)
        counts.warn(warnings_of(lines, failed))
        if self.job.dry_run:
            transaction.set_rollback(True)
        else:
            counts.save(force_update=True)
            self.save_failures(failures)
        return BatchResult(len(lines), counts, failures)

    def save_failures(self, failures: list[SpoolLine]) -> None:
        job = self.job
        ImportFailure.objects.bulk_create(
            ImportFailure(tenant_id=job.tenant_id, job=job, line=failure.line, error=failure.error)
            for failure in failures
        )

    def with_free_phones(self, lines: list[SpoolLine]) -> list[SpoolLine]:
        """`lines` with the former phones that nobody has. They are locked together with the phones,
        in the order in which all writers lock contacts."""
        if not any(FORMER in line.given for line in lines):
            return lines
        rows = [line for line in lines if line.values]
        current = self.lock(phone for line in rows for phone in (line.phone, *former_of(line)))
        return [
            free(
                line, current, strict=self.job.options.get("strict", False),
                only_if_new=self.job.options["mode"] == Import.Mode.CREATE_ONLY,
            )
            if line.values
            else line
            for line in lines
        ]  # fmt: skip

    def write_rows(self, lines: list[SpoolLine], counts: ImportBatch) -> list[SpoolLine]:
        """Writes the rows, in groups that give the same fields. Returns the rows that failed."""
        groups: dict[tuple[str, ...], list[SpoolLine]] = defaultdict(list)
        for line in lines:
            groups[line.given].append(line)
        if len(groups) > 1:
            # Each group locks its contacts in the order of their phones, but one group after the
            # other. Without this lock, two writers could wait for each other.
            self.lock([line.phone for line in lines])
        failures: list[SpoolLine] = []
        for given, group in sorted(groups.items()):
            failures += self.write_group(given, group, counts)
        return failures

    def write_group(
        self, given: tuple[str, ...], lines: list[SpoolLine], counts: ImportBatch
    ) -> list[SpoolLine]:
        """Writes rows that give the same fields, and counts them. Returns the rows that failed."""
        mode = self.job.options["mode"]
        errors = self.without_contact(lines) if mode == Import.Mode.UPDATE_ONLY else {}
        if not self.job.options.get("allow_erased"):
            errors |= self.erased(lines)
        names = with_folded(name for name in given if name != FORMER)
        columns = [name.lstrip("-+") for name in names]
        changes = [] if mode == Import.Mode.CREATE_ONLY else names
        new = Contact(tenant=self.job.tenant, source=Contact.Source.CSV_IMPORT)
        while rows := {line.phone: line.values for line in lines if line.phone not in errors}:
            try:
                written = upsert.upsert_rows(rows, columns, changes, new)
            except PhonesRefused as error:
                errors |= error.reasons
            else:
                counts.add(row.outcome for row in written.values())
                got = self.add_former(line for line in lines if line.phone in rows) - {*written}
                counts.updated += len(got)
                counts.unchanged += len(rows) - len(written) - len(got)
                break
        return [line._replace(error=errors[line.phone]) for line in lines if line.phone in errors]

    def erased(self, lines: list[SpoolLine]) -> dict[str, str]:
        """The phones of the rows that have a phone or a former phone of an erased person, each with
        the error for its row."""
        owners = {phone: line.phone for line in lines for phone in (line.phone, *former_of(line))}
        return {owners[phone]: error for phone, error in erased(self.job.tenant, owners).items()}

    def add_former(self, lines: Iterable[SpoolLine]) -> set[str]:
        """Gives the contacts of the rows their former phones. Returns the phones of these rows."""
        given = {line.phone: phones for line in lines if (phones := former_of(line))}
        if given:
            former_phones.add_many(self.job.tenant, given)
        return {*given}

    def without_contact(self, lines: list[SpoolLine]) -> dict[str, str]:
        """The phones that no contact has, each with the error for its row."""
        phones = {line.phone for line in lines}
        return dict.fromkeys(phones - self.lock(phones).keys(), _(NO_CONTACT))

    def lock(self, phones: Iterable[str]) -> dict[str, str]:
        """Locks the contacts that have these phones or had them, in the order in which all writers
        lock contacts. Returns the current phone of the contact of each phone that some contact has
        or had."""
        phones = [*phones]
        renumber.bring_up_to_date(self.job.tenant_id, phones)
        return former_phones.lock_current(self.job.tenant_id, phones)


def earlier_rows(failures: list[SpoolLine]) -> list[SpoolLine]:
    """The rows whose values the rows in `failures` have taken over: they have failed too."""
    return [
        SpoolLine(line, "", "", (), "", with_later_row(failure))
        for failure in failures
        for line in failure.earlier
    ]


def with_later_row(failure: SpoolLine) -> str:
    return _(WITH_LATER_ROW) % {"line": grouped(failure.line), "error": failure.error}


def warnings_of(lines: list[SpoolLine], failed: set[int]) -> list[Warned]:
    """The warnings of the rows that are not in the lines `failed`."""
    return [
        Warned(line.line, line.warning)
        for line in lines
        if line.warning and line.line not in failed
    ]
