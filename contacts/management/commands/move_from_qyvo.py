import os
import sys
from argparse import ArgumentParser
from ipaddress import ip_address
from typing import Any, NoReturn
from urllib.parse import urlsplit

from django.core.management.base import CommandError

from contacts.importing.engine import Importer
from contacts.importing.records import UnreadableFile
from contacts.importing.storage import errors_of
from contacts.jobs.files import store
from contacts.jobs.lock import JobIsRunning
from contacts.management.bulk import print_undo_hint
from contacts.models import Import
from contacts.moving.account import Account
from contacts.moving.download import Downloaded, digest_of
from contacts.moving.mcp import Client, Refused
from contacts.moving.move import Moved, job_of, move
from tenants.management.base import BaseCommand, add_tenant, tenant_named

from .import_contacts import NOTHING_COULD_RUN, Stages, report_failures, report_warnings

HOSTED = "https://www.qyvo.io"
# Not QYVO_TOKEN: in a shell, that is the token of this server, and it must not go to another one.
TOKEN_VARIABLE = "QYVO_HOSTED_TOKEN"  # noqa: S105 - the name of the variable


class Command(BaseCommand):
    help = "Brings all contacts of a hosted Qyvo account, with tags, metadata and consent."
    example = "--tenant acme --dry-run"

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_tenant(parser)
        parser.add_argument(
            "--base-url", default=HOSTED, metavar="URL", help=f"the service; default: {HOSTED}"
        )
        parser.add_argument(
            "--token", default="",
            help="a token of the account; - reads it from standard input. Other users of this "
            f"machine can see arguments. Default: the environment variable {TOKEN_VARIABLE}",
        )  # fmt: skip
        parser.add_argument(
            "--details", action="store_true",
            help="read each contact with get_contact, too: one request for each, 300 a minute",
        )  # fmt: skip
        parser.add_argument(
            "--allow-erased", action="store_true", help="also bring people who were erased here"
        )
        parser.add_argument("--dry-run", action="store_true", help="count only, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = tenant_named(options["tenant"], NOTHING_COULD_RUN)
        url, token = endpoint(options["base_url"]), token_of(options["token"])
        erased, host = options["allow_erased"], urlsplit(url).netloc
        job = job_of(tenant, host, dry_run=options["dry_run"], allow_erased=erased)
        try:
            with Stages(self) as self.stages:
                account = Account(Client(url, token, self.tell), with_details=options["details"])
                moved = move(job, account, digest_of(url, token), self.stages)
        except Refused as error:
            refuse(f"{error} Nothing is lost: the same command goes on where this one has ended.")
        except (UnreadableFile, JobIsRunning, OSError) as error:
            refuse(str(error))
        self.report(job, moved)

    def tell(self, seconds: float, reason: str) -> None:
        self.stages.clear()
        if not self.is_quiet:
            self.stderr.write(f"{reason} Trying again in {seconds:.0f} s.", str)

    def report(self, job: Import, moved: Moved) -> None:
        prefix = "dry run: " if job.dry_run else ""
        self.say(f"account {moved.downloaded.total}, read {moved.downloaded.read}")
        counts = ", ".join(f"{name} {count}" for name, count in job.counts().items())
        self.say(f"{prefix}{counts}")
        if moved.importer:
            self.report_problems(job, moved.importer)
        doubt = difference(moved.downloaded)
        if doubt:
            self.complain(doubt)
        self.stdout.flush()
        if doubt or job.failed:
            raise SystemExit(1)

    def report_problems(self, job: Import, importer: Importer) -> None:
        if job.superseded:
            self.say(
                f"{job.superseded} contacts have the phone of another contact of the account, in "
                "another spelling; each became one contact with it"
            )
        report_warnings(self, job, "brought with a warning")
        if (job.created or job.updated) and not job.dry_run:
            print_undo_hint(self, job.pk)
        if not job.failed:
            return
        if job.dry_run:
            report_failures(self, importer)
        else:
            self.complain(f"not brought, with the reasons: {store().address(errors_of(job))}")


def refuse(sentence: str) -> NoReturn:
    raise CommandError(sentence, returncode=NOTHING_COULD_RUN)


def difference(downloaded: Downloaded) -> str:
    """What to do if the account does not have as many contacts as were read; empty if it has."""
    if downloaded.read == downloaded.total:
        return ""
    return (
        f"The account says that it has {downloaded.total} contacts, and {downloaded.read} were "
        "read: it has changed meanwhile. Run the command again while nobody changes the account; "
        "contacts that are here already stay as they are."
    )


def endpoint(base_url: str) -> str:
    """The address of the MCP server. The token must not cross a network in the clear."""
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname or "", parts.port  # reading a bad port raises ValueError
    except ValueError:
        host = ""
    if not host or not base_url.isascii() or not base_url.isprintable() or " " in base_url:
        refuse(f"--base-url takes an address such as {HOSTED}.")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        refuse("--base-url must begin with https://.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        refuse(f"--base-url takes an address such as {HOSTED}, without user, password or query.")
    path = parts.path.rstrip("/").removesuffix("/mcp")
    return f"{parts.scheme}://{parts.netloc}{path}/mcp"


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def token_of(given: str) -> str:
    token = (sys.stdin.readline() if given == "-" else given).strip()
    token = token or os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token or not token.isascii() or not token.isprintable():
        refuse(f"Give a token of the account in the environment variable {TOKEN_VARIABLE}.")
    return token
