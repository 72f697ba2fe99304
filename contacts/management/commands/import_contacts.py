from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import CommandError

from contacts.importing.columns import UnknownColumn
from contacts.importing.engine import Importer, fingerprint
from contacts.importing.error_file import ErrorFile
from contacts.importing.findings import description, findings, sheets_note
from contacts.importing.options import OPTIONS, STORED, BadOptions, clean
from contacts.importing.record_file import FileHead, RecordFile
from contacts.importing.records import UnreadableFile
from contacts.importing.remembered import digest_of
from contacts.importing.row import read_options
from contacts.jobs.files import max_unpacked_bytes
from contacts.jobs.lock import JobIsRunning
from contacts.management.bulk import print_undo_hint
from contacts.management.progress import Progress
from contacts.models import Import, fields_of
from tenants.management.base import EVERYTHING, BaseCommand, add_tenant, tenant_named

NOTHING_COULD_RUN = 2
OF_COMMAND = ("batch_size", "allow_erased")  # options that only the command has

# What is printed of each without --verbosity 2: at most 20 lines together.
COLUMNS, PROBLEMS = 5, 3

METAVARS = {"map": "COLUMN=FIELD", "tag": "NAME"}


def argument(name: str) -> dict[str, Any]:
    """What `add_argument` needs for an option of an import."""
    option = OPTIONS[name]
    kind = option.schema["type"]
    if kind == "boolean":
        return {"action": "store_true", "help": option.help}
    if kind == "array":
        return {"action": "append", "metavar": METAVARS[name], "help": option.help}
    return {"choices": option.schema.get("enum"), "default": option.default, "help": option.help}


class Command(BaseCommand):
    help = "Imports contacts from a file into a tenant: CSV, NDJSON, JSON, a workbook or vCard."
    example = "people.csv --tenant acme --rest-to-metadata --dry-run"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="gzipped or not")
        add_tenant(parser)
        for name in OPTIONS:
            parser.add_argument(f"--{name.replace('_', '-')}", **argument(name))
        parser.add_argument("--batch-size", type=int, default=5000, help="most rows a transaction")
        parser.add_argument(
            "--allow-erased", action="store_true", help="also import people who were erased"
        )
        parser.add_argument(
            "--resume", action="store_true", help="continue an import that was interrupted"
        )
        parser.add_argument(
            "--errors", type=Path, metavar="FILE",
            help="where to write the records that failed; default: beside FILE, such as "
            "FILE.TENANT.errors.csv",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            importer = self.prepare(options)
            self.show(importer)
            with error_file_of(importer, options["errors"]) as errors, Stages(self) as stages:
                importer.progress = stages
                self.run_import(importer)
        except (UnreadableFile, UnknownColumn, JobIsRunning, OSError) as error:
            raise CommandError(str(error), returncode=NOTHING_COULD_RUN) from error
        self.report(importer, errors)

    def run_import(self, importer: Importer) -> None:
        try:
            importer.run()
        except (KeyboardInterrupt, OSError):  # such as a full disk
            if not importer.is_dry:
                self.stderr.write("To continue this import, add --resume to the command.", str)
            raise

    def prepare(self, options: dict[str, Any]) -> Importer:
        tenant = tenant_named(options["tenant"], NOTHING_COULD_RUN)
        if not 1 <= options["batch_size"] <= 50_000:
            self.refuse("--batch-size takes a number from 1 to 50000.")
        if options["dry_run"] and options["resume"]:
            self.refuse("A dry run leaves nothing to resume; choose one of the two.")
        given = self.clean(options)
        file, delimiter, most = options["file"], given["delimiter"], max_unpacked_bytes()
        rows = {"header_line": given["header_line"], "sheet": given["sheet"]}
        source = RecordFile(file, given["encoding"], delimiter, most, **rows)
        read = read_options(source, given, tenant.default_region, fields_of(tenant))
        given |= findings(source, read)
        job = Import(
            tenant=tenant,
            actor="command:import_contacts",
            file_name=options["file"].name[:255],
            options=given,
            columns_digest=digest_of(
                given, source, lambda: FileHead(file, source.encoding, delimiter, most, **rows)
            ),
            dry_run=options["dry_run"],
            fingerprint=fingerprint(source, given),
        )
        if options["resume"]:
            job = self.interrupted(job, source)
        return Importer(job, source, read, batch_size=options["batch_size"])

    def clean(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options that the job stores. Raises `CommandError`."""
        try:
            given = clean(options)
        except BadOptions as error:
            name, sentence = next(iter(error.errors.items()))
            self.refuse(f"--{name.replace('_', '-')}: {sentence}")
        return {name: given[name] for name in STORED} | {name: options[name] for name in OF_COMMAND}

    def refuse(self, sentence: str) -> NoReturn:
        raise CommandError(sentence, returncode=NOTHING_COULD_RUN)

    def interrupted(self, job: Import, source: RecordFile) -> Import:
        """The import of the same file with the same options that was interrupted last."""
        unfinished = Import.objects.filter(tenant=job.tenant).exclude(fingerprint="").unfinished()
        for found in unfinished.order_by("-pk"):
            given = given_then(job.options, found.options)
            if given and found.fingerprint == fingerprint(source, given):
                break
        else:
            self.refuse("There is no interrupted import of this file with these options.")
        found.options = job.options
        return found

    # Output

    def show(self, importer: Importer) -> None:
        found = importer.job.options
        self.say(description(found["read_as"]))
        if note := sheets_note(found["read_as"]):
            self.say(note)
        columns = self.listing(self.say, COLUMNS, "more columns")
        for column in found["column_list"]:
            if column["field"]:
                columns.add(f"{column['header']} → {column['field']}")
        columns.end()
        headers = [column["header"] for column in found["column_list"] if not column["field"]]
        if left := [header for header in headers if header]:
            self.say(f"left out: {', '.join(left)}")

    def report(self, importer: Importer, errors: Path) -> None:
        job = importer.job
        counts = ", ".join(f"{name} {count}" for name, count in job.counts().items())
        self.say(f"{'dry run: ' if importer.is_dry else ''}{counts}")
        if job.hint:
            self.say(f"note: {job.hint}")
        report_warnings(self, job, "imported with a warning")
        if (job.created or job.updated) and not importer.is_dry:
            print_undo_hint(self, job.pk)
        if not job.failed:
            return
        if importer.is_dry:
            report_failures(self, importer)
        else:
            self.complain(f"failed records, with the reasons: {errors}")
        self.stdout.flush()
        raise SystemExit(1)


def report_warnings(command: BaseCommand, job: Import, what: str) -> None:
    """`what`: what has become of the records with warnings."""
    if job.warnings:
        command.say(f"warnings {job.warnings}: {what}")
        report_lines(command.say, job.warning_list, job.warnings, command.verbosity)


def report_failures(command: BaseCommand, importer: Importer) -> None:
    """The first failures of a dry run."""
    found = [(failure.line, failure.error) for failure in importer.first_failures]
    report_lines(command.complain, found, importer.job.failed, command.verbosity)


def report_lines(
    write: Callable[[str], object], kept: Sequence[tuple[int, str]], total: int, verbosity: int
) -> None:
    """Problems of lines of the file. Of all `total`, the import has kept the first, `kept`."""
    shown = kept if verbosity >= EVERYTHING else kept[:PROBLEMS]
    for line, problem in shown:
        write(f"line {line}: {problem}")
    if total > len(shown):
        more = f": --verbosity {EVERYTHING} lists {len(kept)}" if len(kept) > len(shown) else ""
        write(f"and {total - len(shown):,} more{more}")


def given_then(given: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """The options `given`, without those that the version which `stored` its options did not know.
    Empty if one of the unknown options has a value: then it is another import."""
    new = [name for name in OPTIONS if name in given and name not in stored]
    if any(given[name] != OPTIONS[name].default for name in new):
        return {}
    known = {name: value for name, value in given.items() if name in stored}
    read_as = stored.get("read_as", {})
    if "read_as" in known:
        known["read_as"] = {key: v for key, v in known["read_as"].items() if key in read_as}
    return known


@contextmanager
def error_file_of(importer: Importer, path: Path | None) -> Iterator[Path]:
    """The path of the error file. It is made before the import begins: no import runs if its errors
    cannot be written. It is renamed when it is complete, and may replace the imported file."""
    source, tenant = importer.source, importer.job.tenant
    if path is None:
        name = source.path.name.removesuffix(".gz")
        # With the tenant: the same file may be imported into another tenant, even at the same time.
        path = source.path.with_name(f"{name}.{tenant.slug}.errors.{source.kind.errors}")
    if importer.is_dry:
        yield path
        return
    importer.errors = ErrorsIfAny(
        importer.job, source, importer.options, path.with_name(f"{path.name}.unfinished"),
        lambda file: file.replace(path),
        as_json=source.kind.errors == "ndjson", as_workbook=path.suffix == ".xlsx",
    )  # fmt: skip
    importer.errors.unfinished.touch()
    try:
        yield path
    finally:
        importer.errors.unfinished.unlink(missing_ok=True)


class ErrorsIfAny(ErrorFile):
    """An error file that does not exist if no record failed."""

    def publish(self) -> None:
        if self.job.own_failures().exists():
            super().publish()


class Stages(Progress):
    """The progress of an import. A stage has as many rows as the stage before."""

    def __call__(self, stage: str, more: int) -> None:
        if stage != self.stage:
            self.begin(stage, self.done or None, "rows")
        self.add(more)
