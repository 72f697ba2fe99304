from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.text import slugify

from tenants.management.base import BaseCommand
from tenants.models import Tenant, User


class Command(BaseCommand):
    help = "Creates a tenant, and its first user if --email is given."
    example = "'Acme Co.' --slug acme --region US --email shop@acme.example"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="for people, such as “Acme Co.”")
        parser.add_argument(
            "--slug", help="name of the tenant in commands; default: derived from the name"
        )
        parser.add_argument(
            "--region", default="", help="country of phone numbers without +, such as US"
        )
        parser.add_argument(
            "--email", help="e-mail address of the first user, who can have API tokens"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant(
            name=options["name"],
            slug=options["slug"] or slugify(options["name"])[:50].strip("-"),
            default_region=options["region"].upper(),
        )
        try:
            tenant.full_clean()
            user = self.first_user(options["email"])
            tenant.save_with_user(user)
        except ValidationError as error:
            reasons = [f"{field}: {' '.join(said)}" for field, said in error.message_dict.items()]
            raise CommandError(" ".join(reasons)) from error
        self.say(f"tenant  {tenant.name} ({tenant.slug})")
        self.say(f"id      {tenant.pk}")
        if user:
            self.say(f"user    {user.email}")

    def first_user(self, email: str | None) -> User | None:
        if not email:
            return None
        user = User(email=email)
        user.set_unusable_password()
        user.full_clean()
        return user
