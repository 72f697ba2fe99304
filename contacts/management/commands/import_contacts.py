import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from contacts.importing import columns
from contacts.importing.engine import Importer, fingerprint
from contacts.importing.error_file import ErrorFile
from contacts.importing.row import options_for
from contacts.importing.tabular import Source, UnreadableFile
from contacts.jobs.files import max_unpacked_bytes
from contacts.jobs.lock import JobIsRunning
from contacts.management.bulk import region, tell_how_to_undo
from contacts.models import Import
from tenants.models import Tenant

NOTHING_COULD_RUN = 2
# What the import itself has to know of the options.
OF_IMPORT = (
    "map", "rest_to_metadata", "region", "clear_marker", "encoding", "delimiter", "mode",
    "batch_size", "allow_erased",
)  # fmt: skip


class Command(BaseCommand):
    help = "Brings contacts from a CSV or NDJSON file (or one of them gzipped) into a tenant."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument(
            "--map", action="append", default=[], metavar="COLUMN=FIELD",
            help="e.g. 'Cell=phone' or 'Town=metadata.city'; an empty field leaves it out",
        )  # fmt: skip
        parser.add_argument(
            "--rest-to-metadata", action="store_true", help="other columns become metadata"
        )
        parser.add_argument(
            "--mode", choices=Import.Mode.values, default=Import.Mode.UPSERT,
            help="what becomes of contacts that exist, or do not; default: upsert",
        )  # fmt: skip
        parser.add_argument(
            "--region", metavar="XX", help="country of phones without +; default: the tenant's"
        )
        parser.add_argument(
            "--clear-marker", default="--", help="a cell that empties the field; default: --"
        )
        parser.add_argument("--encoding", default="", help="where the guess is wrong")
        parser.add_argument("--delimiter", default="", help="likewise")
        parser.add_argument("--batch-size", type=int, default=5000, help="most rows a transaction")
        parser.add_argument(
            "--allow-erased", action="store_true", help="bring people back who were erased"
        )
        parser.add_argument("--dry-run", action="store_true", help="count, and write nothing")
        parser.add_argument(
            "--resume", action="store_true", help="go on with an import that was interrupted"
        )
        parser.add_argument(
            "--errors", type=Path, metavar="FILE",
            help="where records that failed are written; default: FILE.errors.csv beside it",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            importer = self.prepare(options)
            self.show(importer)
            with errors_of(importer, options["errors"]) as told, Bars(self.stderr) as bars:
                importer.progress = bars
                importer.run()
        except (UnreadableFile, columns.UnknownColumn, JobIsRunning, OSError) as error:
            raise CommandError(str(error), returncode=NOTHING_COULD_RUN) from error
        self.report(importer, told)

    def prepare(self, options: dict[str, Any]) -> Importer:
        try:
            tenant = Tenant.objects.get(slug=options["tenant"])
        except Tenant.DoesNotExist:
            self.refuse(f"There is no tenant “{options['tenant']}”.")
        if not 1 <= options["batch_size"] <= 50_000:
            self.refuse("--batch-size takes a number from 1 to 50000.")
        if options["dry_run"] and options["resume"]:
            self.refuse("A dry run leaves nothing to resume; choose one of the two.")
        source = Source(
            options["file"], options["encoding"], options["delimiter"], at_most=max_unpacked_bytes()
        )
        given = {name: options[name] for name in OF_IMPORT} | {
            "map": dict(columns.pair(text) for text in options["map"]),
            "region": region(options["region"], NOTHING_COULD_RUN),
        }
        reading = options_for(source, given, tenant.default_region)
        given |= {"fields": reading.fields, "region": reading.region}
        job = Import(
            tenant=tenant,
            actor="command:import_contacts",
            file_name=options["file"].name[:255],
            options=given,
            dry_run=options["dry_run"],
            fingerprint=fingerprint(source, given),
        )
        if options["resume"]:
            job = self.interrupted(job)
        return Importer(job, source, reading, batch_size=options["batch_size"])

    def refuse(self, sentence: str) -> NoReturn:
        raise CommandError(sentence, returncode=NOTHING_COULD_RUN)

    def interrupted(self, job: Import) -> Import:
        alike = Import.objects.filter(tenant=job.tenant, fingerprint=job.fingerprint)
        found = alike.unfinished().order_by("-pk").first()
        if found is None:
            self.refuse("There is no interrupted import of this file with these options.")
        return found

    # What is said

    def show(self, importer: Importer) -> None:
        fields = importer.options.fields
        for column in importer.source.header:
            if column in fields:
                self.stdout.write(f"{column} → {fields[column]}")
        left = [column for column in importer.source.header if column and column not in fields]
        if left:
            self.stdout.write(f"left out: {', '.join(left)}")

    def report(self, importer: Importer, errors: Path) -> None:
        job = importer.job
        counts = ", ".join(f"{name} {count}" for name, count in job.counts().items())
        self.stdout.write(f"{'dry run: ' if importer.is_dry else ''}{counts}")
        if (job.created or job.updated) and not importer.is_dry:
            tell_how_to_undo(self, job.pk)
        if not job.failed:
            return
        if importer.is_dry:
            for failure in importer.first_failures:
                self.stdout.write(f"line {failure.line}: {failure.error}")
        else:
            self.stdout.write(f"failed records, with the reasons: {errors}")
        sys.stdout.flush()
        raise SystemExit(1)


@contextmanager
def errors_of(importer: Importer, path: Path | None) -> Iterator[Path]:
    """Where the records that fail are told: a file made before anything runs, under another name
    until it is whole. It may take the place of the file that is imported."""
    source = importer.source
    if path is None:
        name = source.path.name.removesuffix(".gz")
        path = source.path.with_name(f"{name}.errors.{'ndjson' if source.is_json else 'csv'}")
    if importer.is_dry:
        yield path
        return
    importer.errors = ErrorsIfAny(
        importer.job, source, importer.options, path, as_json=source.is_json
    )
    importer.errors.unfinished.touch()
    try:
        yield path
    finally:
        importer.errors.unfinished.unlink(missing_ok=True)


class ErrorsIfAny(ErrorFile):
    def publish(self) -> None:
        if self.job.failures.exists():
            super().publish()


class Bars:
    """A progress bar for each stage, where a person watches."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.bars: dict[str, tqdm] = {}

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *args: object) -> None:
        for bar in self.bars.values():
            bar.close()

    def __call__(self, stage: str, more: int) -> None:
        if stage not in self.bars:
            read = self.bars["reading"].n if "reading" in self.bars else None
            self.bars[stage] = tqdm(
                desc=stage, total=read, unit=" rows", file=sys.stderr, disable=None
            )
        self.bars[stage].update(more)
