import csv
import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from contacts import columns
from contacts.cleaning import Options
from contacts.imports import Importer, failed_records, fingerprint
from contacts.models import Import
from contacts.tabular import Source, UnreadableFile
from tenants.models import Tenant, validate_region

NOTHING_COULD_RUN = 2


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
        parser.add_argument("--batch-size", type=int, default=5000, help="rows a transaction")
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
            with Bars(self.stderr) as bars:
                importer.progress = bars
                importer.run()
        except (UnreadableFile, columns.UnknownColumn, OSError) as error:
            raise CommandError(str(error), returncode=NOTHING_COULD_RUN) from error
        self.report(importer, options["errors"])

    def prepare(self, options: dict[str, Any]) -> Importer:
        try:
            tenant = Tenant.objects.get(slug=options["tenant"])
        except Tenant.DoesNotExist:
            self.refuse(f"There is no tenant “{options['tenant']}”.")
        if not 1 <= options["batch_size"] <= 50_000:
            self.refuse("--batch-size takes a number from 1 to 50000.")
        source = Source(options["file"], options["encoding"], options["delimiter"])
        given = dict(self.pair(text) for text in options["map"])
        rest = options["rest_to_metadata"]
        reading = Options(
            columns.match(source.header, given, rest_to_metadata=rest),
            self.region(options["region"], tenant),
            options["clear_marker"],
            is_csv=not source.is_json,
        )
        if "phone" not in reading.fields.values():
            self.refuse(
                "No column is known to be the phone; name it: --map 'COLUMN=phone'. The columns"
                f" are: {', '.join(source.header)}."
            )
        said = reading._asdict()
        said |= {name: options[name] for name in ("mode", "batch_size", "allow_erased")}
        job = Import(
            tenant=tenant,
            file_name=options["file"].name[:255],
            options=said,
            fingerprint=fingerprint(source, said),
        )
        if options["resume"]:
            job = self.interrupted(job)
        elif not options["dry_run"]:
            job.save()
        return Importer(job, source, reading, batch_size=options["batch_size"])

    def refuse(self, sentence: str) -> NoReturn:
        raise CommandError(sentence, returncode=NOTHING_COULD_RUN)

    def pair(self, text: str) -> tuple[str, str]:
        column, sign, field = text.rpartition("=")
        if not sign:
            self.refuse(f"--map takes COLUMN=FIELD, such as 'Cell=phone', not “{text}”.")
        return column, field

    def region(self, given: str | None, tenant: Tenant) -> str:
        if given is None:
            return tenant.default_region
        try:
            validate_region(given)
        except ValidationError as error:
            self.refuse(f"--region: {error.messages[0]}")
        return given

    def interrupted(self, job: Import) -> Import:
        alike = Import.objects.filter(tenant=job.tenant, fingerprint=job.fingerprint)
        found = alike.exclude(state=Import.State.DONE).order_by("-pk").first()
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

    def report(self, importer: Importer, errors: Path | None) -> None:
        job = importer.job
        counts = ", ".join(f"{name} {count}" for name, count in job.counts().items())
        self.stdout.write(f"{'dry run: ' if importer.is_dry else ''}{counts}")
        if not job.failed:
            return
        if importer.is_dry:
            for failure in importer.first_failures:
                self.stdout.write(f"line {failure.line}: {failure.error}")
        else:
            path = errors or importer.source.path.with_name(errors_name(importer.source))
            write_errors(job, importer.source, path)
            self.stdout.write(f"failed records, with the reasons: {path}")
        sys.stdout.flush()
        raise SystemExit(1)


def errors_name(source: Source) -> str:
    name = source.path.name.removesuffix(".gz")
    return f"{name}.errors.{'ndjson' if source.is_json else 'csv'}"


def write_errors(job: Import, source: Source, path: Path) -> None:
    """The records that failed, as they came, with `line` and `error`: to be mended and imported."""
    with path.open("w", encoding="utf-8", newline="") as file:
        if source.is_json:
            for record, error in failed_records(job, source):
                cells = record.cells if None not in record.cells else {"text": record.cells[None]}  # type: ignore[index]
                told = {**cells, "line": record.line, "error": error}
                file.write(json.dumps(told, ensure_ascii=False) + "\n")
            return
        writer = csv.writer(file, delimiter=source.delimiter)
        kept = [name for name in source.header if name not in columns.OF_ERROR_FILE]
        writer.writerow([*kept, *columns.OF_ERROR_FILE])
        for record, error in failed_records(job, source):
            row = [record.cells.get(name, "") for name in kept]
            writer.writerow([*row, record.line, error, *record.cells.get(None, [])])  # type: ignore[call-overload]


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
