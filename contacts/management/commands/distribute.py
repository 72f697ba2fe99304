from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS

from contacts.change_log.feed import settle_restored
from contacts.db import distribution
from contacts.models import Contact
from tenants.management.base import BaseCommand
from tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Spreads the contacts over the workers of a Citus cluster, by tenant, in one transaction."
        " Stop servers and workers first. Run it again after each `migrate`."
    )
    example = "--dry-run"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="print the SQL and change nothing"
        )

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        try:
            plan = distribution.plan(tables(), Tenant._meta.db_table)
            if dry_run:
                self.print_sql(plan)
                return
            distribution.check_cluster()
            statements = self.listing(self.say)
            distribution.execute(plan.statements, statements.add)
            statements.end()
            distribution.analyze(tables())
            settle_restored(DEFAULT_DB_ALIAS)  # the changes come from another node, as of a dump
        except distribution.Refused as error:
            raise CommandError(str(error)) from error
        self.say(f"tables distributed: {len(tables()) - len(plan.done)}")
        self.say(f"tables distributed before: {len(plan.done)}")

    def print_sql(self, plan: distribution.Plan) -> None:
        for table in plan.done:
            self.stdout.write(f"-- {table} is distributed already.")
        for statement in ["BEGIN", *plan.statements, "COMMIT"]:
            self.stdout.write(f"{statement};")


def tables() -> list[str]:
    """Those with a tenant. The table of contacts is the first: the others are placed like it."""
    first = Contact._meta.db_table
    found = {model._meta.db_table for model in apps.get_app_config("contacts").get_models()}
    return [first, *sorted(found - {first})]
