import gzip
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts.exporting.export import FORMATS, export, select_ids
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Writes a tenant's contacts as CSV or NDJSON; import_contacts takes the file back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--format", choices=FORMATS, default="csv")
        parser.add_argument("--tag", default="", help="only contacts with this tag")
        parser.add_argument(
            "--query", default="", help="only contacts that search-contacts finds for this query"
        )
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE",
            help="gzipped if the name ends in .gz; default: standard output",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = Tenant.objects.get(slug=options["tenant"])
        except Tenant.DoesNotExist:
            raise CommandError(f"There is no tenant “{options['tenant']}”.") from None
        contacts = tenant.contacts.all()
        if options["query"]:
            contacts = contacts.matching(options["query"], tenant.default_region)
        if options["tag"]:
            contacts = contacts.with_tag(options["tag"])
        ids = select_ids(contacts)
        filters = [f"--{name} “{options[name]}”" for name in ("tag", "query") if options[name]]
        if filters and not ids:
            raise CommandError(f"No contact matches {' and '.join(filters)}: nothing was written.")
        pieces = export(ids, options["format"])
        if options["output"]:
            write(options["output"], pieces)
        else:
            for piece in pieces:
                self.stdout.write(piece, ending="")


def write(path: Path, pieces: Any) -> None:
    """Writes the file under another name first, so that nobody finds half a file."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(unfinished, "wt", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
        unfinished.replace(path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
