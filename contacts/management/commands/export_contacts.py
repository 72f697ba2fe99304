import gzip
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from contacts.exporting.export import CSV_FOR_SPREADSHEETS, FORMATS, export, select_ids
from contacts.exporting.formats import Format, NotExportable
from contacts.jobs.bulk_actions import ID_BYTES
from contacts.management.progress import Progress
from tenants.management.base import BaseCommand, add_tenant, tenant_named


class Command(BaseCommand):
    help = "Writes a tenant's contacts into a file; import_contacts takes the file back."
    example = "--tenant acme --format xlsx -o contacts.xlsx"

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_tenant(parser)
        parser.add_argument(
            "--format", choices=FORMATS, default="csv", help="of the file; default: csv"
        )
        parser.add_argument(
            "--for-spreadsheets", action="store_true",
            help="a CSV that people open: with a byte order mark and without formulas",
        )  # fmt: skip
        parser.add_argument("--tag", default="", help="only contacts with this tag")
        parser.add_argument(
            "--query", default="", help="only contacts that search-contacts finds for this query"
        )
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE",
            help="gzipped if the name ends in .gz; default: standard output",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        form = chosen_format(options)
        tenant = tenant_named(options["tenant"])
        contacts = tenant.contacts.all()
        if options["query"]:
            contacts = contacts.matching(options["query"], tenant.default_region)
        if options["tag"]:
            contacts = contacts.with_tag(options["tag"])
        ids = select_ids(contacts)
        filters = [f"--{name} “{options[name]}”" for name in ("tag", "query") if options[name]]
        if filters and not ids:
            raise CommandError(f"No contact matches {' and '.join(filters)}: nothing was written.")
        # Lines about the progress between those of the file would be taken for contacts.
        is_apart = bool(options["output"]) or not self.stdout.isatty()
        try:
            with Progress(self, is_shown=is_apart) as progress:
                progress.begin(total=len(ids) // ID_BYTES)
                self.write(export(ids, form, tenant, progress.add), options["output"])
        except NotExportable as error:
            raise CommandError(str(error)) from error

    def write(self, pieces: Iterator[bytes], path: Path | None) -> None:
        if path:
            write(path, pieces)
            return
        for piece in pieces:
            self.stdout.write(piece.decode(), ending="")


def chosen_format(options: dict[str, Any]) -> Format:
    name, form = options["format"], FORMATS[options["format"]]
    if options["for_spreadsheets"]:
        if name != "csv":
            raise CommandError("--for-spreadsheets is for --format csv.")
        return CSV_FOR_SPREADSHEETS
    if not (form.is_streamed or options["output"]):
        raise CommandError(f"A file of the format {name} is not text: name the file with -o FILE.")
    return form


def write(path: Path, pieces: Iterator[bytes]) -> None:
    """Writes the file under another name first, so that nobody finds half a file. What is no file,
    such as /dev/stdout or a named pipe, is written itself: a file would take its place."""
    is_file = path.is_file() or not path.exists()
    unfinished = path.with_name(f"{path.name}.unfinished") if is_file else path
    opened: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(unfinished, "wb") as file:
            file.writelines(pieces)
        if is_file:
            unfinished.replace(path)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
    finally:
        if is_file:
            unfinished.unlink(missing_ok=True)
